import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
export const onConnect = async () => ({ statusCode: 200 });
export const onDisconnect = onConnect;
