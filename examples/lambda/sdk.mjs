// The SDKs for JavaScript, v2 and v3, against the management API at an address: what the test TestSDKs runs.
//   node sdk.mjs https://localhost:8080/dev ws://localhost:8080/dev
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import {
  ApiGatewayManagementApiClient, DeleteConnectionCommand, GetConnectionCommand, PostToConnectionCommand,
} from '@aws-sdk/client-apigatewaymanagementapi';
import WebSocket from 'ws';

const AWS = createRequire(import.meta.url)('aws-sdk');
const [endpoint, url] = process.argv.slice(2);
const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalr/XUtn+FEMI=' };
const region = 'eu-west-1';
const stranger = 'AAAAAAAAAAAAAAA='; // the id of nobody

const v2 = (credentials = keys) => {
  const api = new AWS.ApiGatewayManagementApi({ endpoint, region, credentials: new AWS.Credentials(credentials), maxRetries: 0 });
  return {
    post: (ConnectionId, Data) => api.postToConnection({ ConnectionId, Data }).promise(),
    get: (ConnectionId) => api.getConnection({ ConnectionId }).promise(),
    remove: (ConnectionId) => api.deleteConnection({ ConnectionId }).promise(),
    name: (error) => error.code,
    status: (error) => error.statusCode,
  };
};

const v3 = (credentials = keys) => {
  const api = new ApiGatewayManagementApiClient({ endpoint, region, credentials, maxAttempts: 1 });
  return {
    post: (ConnectionId, Data) => api.send(new PostToConnectionCommand({ ConnectionId, Data })),
    get: (ConnectionId) => api.send(new GetConnectionCommand({ ConnectionId })),
    remove: (ConnectionId) => api.send(new DeleteConnectionCommand({ ConnectionId })),
    name: (error) => error.name,
    status: (error) => error.$metadata.httpStatusCode,
  };
};

// rejects checks that a call fails with a status and an error's name.
async function rejects(sdk, call, status, name) {
  const error = await call.then(() => assert.fail('it succeeded'), (e) => e);
  assert.deepEqual([sdk.status(error), sdk.name(error)], [status, name], String(error.stack));
}

for (const make of [v2, v3]) {
  const socket = new WebSocket(url);
  const frames = [];
  socket.on('message', (data, binary) => frames.push([String(data), binary]));
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  const id = await ownID(socket, frames);
  const sdk = make();

  for (const text of ['hello', 'ü€😀', JSON.stringify({ a: [1.5, null] }), 'x'.repeat(100_000)]) {
    await sdk.post(id, text);
    await arrives(frames, text);
  }
  await sdk.post(id, new TextEncoder().encode('bytes'));
  await arrives(frames, 'bytes');

  const info = await sdk.get(id);
  const identity = info.identity ?? info.Identity;
  assert.match(identity.sourceIp ?? identity.SourceIp, /^(127\.0\.0\.1|::1)$/);
  const connectedAt = info.connectedAt ?? info.ConnectedAt;
  assert.ok(Math.abs(Date.now() - new Date(connectedAt)) < 60_000, String(connectedAt));

  for (const unknown of [stranger, 'AAAA-AAAA_AAAAA=']) {
    await rejects(sdk, sdk.post(unknown, 'x'), 410, 'GoneException').catch((e) => { throw new Error(unknown, { cause: e }); });
  }
  for (const wrong of ['a+b/c==', 'AAAAAAA+AAAAAA/=', 'x y', '~!*\'()', 'ü', '..%2F']) {
    await rejects(sdk, sdk.post(wrong, 'x'), 400, 'BadRequestException').catch((e) => { throw new Error(wrong, { cause: e }); });
  }
  await rejects(sdk, sdk.post(id, 'x'.repeat(131_073)), 413, 'PayloadTooLargeException');
  await rejects(make({ ...keys, secretAccessKey: 'wrong' }), make({ ...keys, secretAccessKey: 'wrong' }).post(id, 'x'), 403, 'InvalidSignatureException');
  await rejects(sdk, make({ ...keys, accessKeyId: 'AKIDOTHER' }).post(id, 'x'), 403, 'UnrecognizedClientException');

  const closed = new Promise((resolve) => socket.on('close', (code, reason) => resolve([code, String(reason)])));
  await sdk.remove(id);
  assert.deepEqual(await closed, [1000, 'Connection Closed Normally']);
  await rejects(sdk, sdk.get(id), 410, 'GoneException');
  await rejects(sdk, sdk.remove(id), 410, 'GoneException');
  assert.deepEqual(frames, []);
}
console.log('all of it');

// ownID asks for an error frame, which has the connection's id.
async function ownID(socket, frames) {
  socket.send('fail');
  while (frames.length === 0) await new Promise((resolve) => socket.once('message', resolve));
  return JSON.parse(frames.shift()[0]).connectionId;
}

async function arrives(frames, text) {
  for (let deadline = Date.now() + 20_000; frames.length === 0; await new Promise((r) => setTimeout(r, 1))) {
    assert.ok(Date.now() < deadline, `${text.slice(0, 20)} does not arrive`);
  }
  assert.deepEqual(frames.shift(), [text, false]);
}
