const { DynamoDBClient } = require('@aws-sdk/client-dynamodb');
exports.handler = async (event) => {
  console.log(event.requestContext.connectionId, process.env.TABLE);
  return { statusCode: 200 };
};