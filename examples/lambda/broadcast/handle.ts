import { ApiGatewayManagementApi, DynamoDB } from 'aws-sdk';

declare const process: { env: Record<string, string | undefined> };

interface Event {
  body?: string;
  requestContext: { eventType: string; connectionId: string; domainName: string; stage: string };
}

const db = new DynamoDB.DocumentClient();
const TableName = process.env.TABLE_NAME!;

export async function handle(event: Event) {
  const { eventType, connectionId } = event.requestContext;
  switch (eventType) {
    case 'CONNECT':
      await db.put({ TableName, Item: { connectionId } }).promise();
      break;
    case 'DISCONNECT':
      await db.delete({ TableName, Key: { connectionId } }).promise();
      break;
    default:
      await broadcast(event);
  }
  return { statusCode: 200, body: 'OK' };
}

async function broadcast({ body, requestContext: { connectionId, domainName, stage } }: Event) {
  const api = new ApiGatewayManagementApi({ endpoint: `${domainName}/${stage}` });
  const message = parse(body ?? '');
  const _now = Date.now();
  const { Items = [] } = await db.scan({ TableName, ProjectionExpression: 'connectionId' }).promise();
  await Promise.all(Items.map(async ({ connectionId: id }) => {
    const Data = JSON.stringify({ ...message, _now, _me: id === connectionId });
    try {
      await api.postToConnection({ ConnectionId: id, Data }).promise();
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode !== 410) throw error;
      await db.delete({ TableName, Key: { connectionId: id } }).promise();
    }
  }));
}

function parse(body: string): object {
  try {
    const message = JSON.parse(body);
    return typeof message === 'object' ? message : { data: message };
  } catch {
    return { data: body };
  }
}
