// Posts to its own client, in many ways.
const { fork } = require('child_process');
const dns = require('dns');
const http = require('http');
const https = require('https');
const net = require('net');
const path = require('path');
const tls = require('tls');
const { once } = require('events');
const { promisify } = require('util');
const { Worker } = require('worker_threads');

const elsewhere = '127.66.66.66'; // where the name would lead

// post sends a request with options of its own, and returns its status.
async function post(url, text, options = {}) {
  const request = https.request(url, { method: 'POST', ...options });
  request.end(text);
  const [response] = await once(request, 'response');
  response.resume();
  await once(response, 'end');
  return response.statusCode;
}

const ways = {
  async v2({ endpoint, id }, text) {
    const AWS = require('aws-sdk');
    const api = new AWS.ApiGatewayManagementApi({ apiVersion: '2018-11-29', ...(endpoint && { endpoint }) });
    await api.postToConnection({ ConnectionId: id, Data: text }).promise();
    return 200;
  },
  // Without a scheme, as AWS's own samples do.
  v2bare: ({ endpoint, id }, text) => ways.v2({ endpoint: endpoint.replace('https://', ''), id }, text),
  async v3({ endpoint, id }, text) {
    const { ApiGatewayManagementApiClient, PostToConnectionCommand } = require('@aws-sdk/client-apigatewaymanagementapi');
    const api = new ApiGatewayManagementApiClient(endpoint ? { endpoint } : {});
    return (await api.send(new PostToConnectionCommand({ ConnectionId: id, Data: text }))).$metadata.httpStatusCode;
  },
  // What the environment says, if the code says nothing.
  v3environment: ({ id }, text) => ways.v3({ id }, text),
  v2environment: ({ id }, text) => ways.v2({ id }, text),
  https: ({ url }, text) => post(url, text),
  // A name server of its own is not asked.
  lookup: ({ url }, text) => post(url, text, { lookup: (name, options, found) => found(null, elsewhere, 4), family: 4 }),
  resolver: ({ url }, text) => post(url, text, {
    lookup: (name, options, found) => new dns.Resolver().resolve4(name, (error, [address]) => found(error, address, 4)),
  }),
  // Look first, and connect then.
  looked: async ({ url }, text) => {
    const { address } = await dns.promises.lookup(url.hostname);
    return post(url, text, { host: address, servername: url.hostname, headers: { host: url.host } });
  },
  calledBack: async ({ url }, text) => {
    const { address } = await promisify(dns.lookup)(url.hostname);
    return post(url, text, { host: address, servername: url.hostname, headers: { host: url.host } });
  },
  resolved: ({ url }, text) => post(url, text, { host: elsewhere, servername: url.hostname, headers: { host: url.host } }),
  // TLS over a connection that somebody else has made.
  tls: async ({ url }, text) => {
    const socket = net.connect(443, url.hostname);
    await once(socket, 'connect');
    return post(url, text, { createConnection: () => tls.connect({ socket, servername: url.hostname }) });
  },
  stranger: async ({ url }, text) => {
    const home = http.createServer().listen(0, '127.0.0.1');
    await once(home, 'listening');
    const socket = net.connect(home.address().port);
    await once(socket, 'connect');
    home.close();
    return post(url, text, { createConnection: () => tls.connect({ socket, servername: url.hostname }) });
  },
  fetch: async ({ url }, text) => (await fetch(url, { method: 'POST', body: text })).status,
  dispatcher: async ({ url }, text) => {
    await fetch('data:,'); // which makes the dispatcher
    const { constructor: Agent } = globalThis[Symbol.for('undici.globalDispatcher.1')];
    const lookup = (name, options, found) => found(null, [{ address: elsewhere, family: 4 }]);
    return (await fetch(url, { method: 'POST', body: text, dispatcher: new Agent({ connect: { lookup } }) })).status;
  },
  worker: ({ url }, text) => message(new Worker(__filename, { workerData: { job: [url.href, text] } })),
  bareWorker: ({ url }, text) => message(new Worker(__filename, { workerData: { job: [url.href, text] }, env: {} })),
  async child({ url }, text) {
    const child = fork(__filename, ['child']);
    child.send([url.href, text]);
    return message(child);
  },
  async otherRegion({ url }, text) {
    url.hostname = url.hostname.replace(/[^.]*\.amazonaws/, 'mars-north-1.amazonaws');
    return post(url, text).catch((error) => error.message);
  },
  async plain({ url }) {
    const request = http.request({ host: url.hostname });
    request.end();
    return once(request, 'error').then(([error]) => error.message);
  },
};

async function message(from) {
  const [status] = await once(from, 'message');
  return status;
}

exports.handler = async ({ body, requestContext: { apiId, domainName, stage, connectionId: id } }) => {
  const { by, way, at: where } = JSON.parse(body);
  const endpoint = {
    alias: `https://${apiId}.execute-api.${process.env.AWS_REGION}.amazonaws.com/${stage}`,
    domain: `https://${domainName}`,
    stage: `https://${domainName}/${stage}`,
  }[where];
  const at = { endpoint, id, url: new URL(`${endpoint}/@connections/${encodeURIComponent(id)}`) };
  const status = await ways[way](at, `${by} ${way}`);
  if (status !== 200) throw new Error(`${way}: ${status}`);
  return { statusCode: 200 };
};

// As a worker thread, and as a child process.
const here = ([url, text], answer) => post(url, text).then(answer, (error) => answer(error.message));
const { workerData, parentPort } = require('worker_threads');
if (workerData && workerData.job) here(workerData.job, (status) => parentPort.postMessage(status));
if (process.argv[2] === 'child') process.once('message', (job) => here(job, (status) => process.send(status, () => process.exit())));
