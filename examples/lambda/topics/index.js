'use strict';

const AWS = require('aws-sdk');

const db = new AWS.DynamoDB.DocumentClient();
const TableName = process.env.TABLE_NAME;

module.exports.connect = (event, context, callback) => {
  const { topicName } = event.queryStringParameters || {};
  if (!topicName) {
    callback(null, { statusCode: 400, body: 'topicName is missing' });
    return;
  }
  const Item = { topicName, connectionId: event.requestContext.connectionId };
  db.put({ TableName, Item }, (error) => {
    callback(error, { statusCode: 200, body: 'connected' });
  });
};

module.exports.disconnect = (event, context, callback) => {
  const { connectionId } = event.requestContext;
  db.scan({ TableName, FilterExpression: 'connectionId = :id', ExpressionAttributeValues: { ':id': connectionId } }, (error, found) => {
    if (error) return callback(error);
    const gone = found.Items.map(({ topicName }) => db.delete({ TableName, Key: { topicName, connectionId } }).promise());
    Promise.all(gone).then(() => callback(null, { statusCode: 200 }), callback);
  });
};

module.exports.publish = (event, context, callback) => {
  const { domainName, stage } = event.requestContext;
  const { topic } = JSON.parse(event.body);
  const api = new AWS.ApiGatewayManagementApi({ apiVersion: '2018-11-29', endpoint: domainName + '/' + stage });
  db.query({ TableName, KeyConditionExpression: 'topicName = :t', ExpressionAttributeValues: { ':t': topic } }, (error, found) => {
    if (error) return callback(error);
    const posts = found.Items.map(({ connectionId }) => api.postToConnection({ ConnectionId: connectionId, Data: event.body }).promise());
    Promise.all(posts).then(() => callback(null, { statusCode: 200 }), callback);
  });
};
