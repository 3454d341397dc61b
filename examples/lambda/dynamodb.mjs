// A DynamoDB on this machine, with the tables of these examples:  node dynamodb.mjs [PORT]
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import dynalite from 'dynalite';

const tables = { connections: ['connectionId'], topics: ['topicName', 'connectionId'] };

const server = dynalite({ createTableMs: 0, deleteTableMs: 0 });

// Only programs of this machine are answered: any page in a browser can find a port.
const [answer] = server.listeners('request');
server.removeAllListeners('request').on('request', (request, response) => {
  const { host = '', origin, 'sec-fetch-site': site } = request.headers;
  if (/^(localhost|127\.0\.0\.1)(:\d+)?$/.test(host) && origin === undefined && site === undefined) return answer(request, response);
  response.writeHead(403).end();
});
server.listen(Number(process.argv[2] ?? 8000), '127.0.0.1', async () => {
  const endpoint = `http://127.0.0.1:${server.address().port}`;
  const db = new DynamoDBClient({ endpoint, region: 'us-east-1', credentials: { accessKeyId: 'x', secretAccessKey: 'x' } });
  for (const [TableName, keys] of Object.entries(tables)) {
    await db.send(new CreateTableCommand({
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: keys.map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
      KeySchema: keys.map((AttributeName, i) => ({ AttributeName, KeyType: i === 0 ? 'HASH' : 'RANGE' })),
    }));
  }
  console.log(endpoint);
});
