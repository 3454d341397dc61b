const { ApiGatewayManagementApi } = require('aws-sdk');
const db = require('./db');

exports.handler = async (event) => {
  const { domainName, stage, connectionId } = event.requestContext;
  const api = new ApiGatewayManagementApi({ endpoint: `https://${domainName}/${stage}` });
  const Data = JSON.stringify({ you: connectionId, connections: await db.all() });
  await api.postToConnection({ ConnectionId: connectionId, Data }).promise();
  return { statusCode: 200 };
};
