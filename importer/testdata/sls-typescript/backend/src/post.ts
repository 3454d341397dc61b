import { ApiGatewayManagementApi } from '@aws-sdk/client-apigatewaymanagementapi';
export const post = async () => ({ statusCode: 200 });
