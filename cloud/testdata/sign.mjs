// What aws-sdk v2 signs, at a fixed time: one JSON object for each request.
import AWS from 'aws-sdk';

const date = new Date('2026-11-21T10:15:30Z');
const endpoint = 'https://abc123.execute-api.eu-west-1.amazonaws.com/live';
const ids = ['JC1dgf9yoAMCK-g=', 'AAAA-AAAA_AAAAA=', 'a+b/c==', 'x y', '~.!*', 'ü'];
const bodies = ['', 'hi there', '{"data":"ü€😀","_me":false}', 'x'.repeat(40_000)];

for (const sessionToken of [undefined, 'token/with+signs==']) {
  const credentials = new AWS.Credentials('AKIDEXAMPLE', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', sessionToken);
  const api = new AWS.ApiGatewayManagementApi({ endpoint, region: 'eu-west-1', credentials });
  for (const id of ids) {
    for (const body of bodies) {
      const request = api.postToConnection({ ConnectionId: id, Data: body });
      await new Promise((resolve) => request.build(resolve));
      new AWS.Signers.V4(request.httpRequest, 'execute-api', {}).addAuthorization(credentials, date);
      console.log(JSON.stringify({ method: 'POST', id, body, sessionToken, authorization: request.httpRequest.headers.Authorization }));
    }
    const request = api.deleteConnection({ ConnectionId: id });
    await new Promise((resolve) => request.build(resolve));
    new AWS.Signers.V4(request.httpRequest, 'execute-api', {}).addAuthorization(credentials, date);
    console.log(JSON.stringify({ method: 'DELETE', id, body: '', sessionToken, authorization: request.httpRequest.headers.Authorization }));
  }
}
