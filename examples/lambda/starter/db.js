const { DynamoDB } = require('aws-sdk');

const client = new DynamoDB.DocumentClient();
const TableName = process.env.TABLE_NAME;

exports.add = (connectionId, connectedAt) => client.put({ TableName, Item: { connectionId, connectedAt } }).promise();

exports.remove = (connectionId) => client.delete({ TableName, Key: { connectionId } }).promise();

exports.all = async () => {
  const { Items } = await client.scan({ TableName }).promise();
  return Items.sort((a, b) => a.connectedAt - b.connectedAt).map((item) => item.connectionId);
};
