const AWS = require('aws-sdk');

const db = new AWS.DynamoDB.DocumentClient({ apiVersion: '2012-08-10', region: process.env.AWS_REGION });
const { TABLE_NAME: TableName } = process.env;

exports.connect = async (event) => {
  await db.put({ TableName, Item: { connectionId: event.requestContext.connectionId } }).promise();
  return { statusCode: 200, body: 'Connected.' };
};

exports.disconnect = async (event) => {
  await db.delete({ TableName, Key: { connectionId: event.requestContext.connectionId } }).promise();
  return { statusCode: 200, body: 'Disconnected.' };
};

exports.send = async (event) => {
  const { Items } = await db.scan({ TableName, ProjectionExpression: 'connectionId' }).promise();
  const api = new AWS.ApiGatewayManagementApi({
    apiVersion: '2018-11-29',
    endpoint: event.requestContext.domainName + '/' + event.requestContext.stage,
  });
  const Data = JSON.parse(event.body).data;
  await Promise.all(Items.map(async ({ connectionId }) => {
    try {
      await api.postToConnection({ ConnectionId: connectionId, Data }).promise();
    } catch (e) {
      if (e.statusCode !== 410) throw e;
      await db.delete({ TableName, Key: { connectionId } }).promise();
    }
  }));
  return { statusCode: 200, body: 'Data sent.' };
};
