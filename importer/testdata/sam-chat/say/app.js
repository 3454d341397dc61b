const { ApiGatewayManagementApiClient } = require('@aws-sdk/client-apigatewaymanagementapi');
exports.handler = async () => ({ statusCode: 200 });
