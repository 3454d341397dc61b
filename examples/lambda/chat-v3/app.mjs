import { ApiGatewayManagementApiClient, PostToConnectionCommand } from '@aws-sdk/client-apigatewaymanagementapi';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DeleteCommand, DynamoDBDocumentClient, PutCommand, ScanCommand } from '@aws-sdk/lib-dynamodb';

const db = DynamoDBDocumentClient.from(new DynamoDBClient({}));
const { TABLE_NAME: TableName } = process.env;

export const connect = async ({ requestContext: { connectionId } }) => {
  await db.send(new PutCommand({ TableName, Item: { connectionId } }));
  return { statusCode: 200 };
};

export const disconnect = async ({ requestContext: { connectionId } }) => {
  await db.send(new DeleteCommand({ TableName, Key: { connectionId } }));
  return { statusCode: 200 };
};

export const send = async ({ body, requestContext: { domainName, stage } }) => {
  const api = new ApiGatewayManagementApiClient({ endpoint: `https://${domainName}/${stage}` });
  const { Items } = await db.send(new ScanCommand({ TableName }));
  const { data } = JSON.parse(body);
  await Promise.all(Items.map(async ({ connectionId }) => {
    try {
      await api.send(new PostToConnectionCommand({ ConnectionId: connectionId, Data: data }));
    } catch (error) {
      if (error.name !== 'GoneException') throw error;
      await db.send(new DeleteCommand({ TableName, Key: { connectionId } }));
    }
  }));
  return { statusCode: 200 };
};
