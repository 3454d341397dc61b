'use strict';
// Leads the alias of an API (see alias.go) to crier, in this process, its worker threads and its child processes. Node
// loads this file before everything else, because NODE_OPTIONS says so.
const dns = require('dns');
const net = require('net');
const threads = require('worker_threads');
const tls = require('tls');
const { syncBuiltinESMExports } = require('module');

const { _CRIER_ALIAS, NODE_OPTIONS } = process.env;
const [alias, to] = (_CRIER_ALIAS || '').split('=');
const relatives = alias.split('.', 2).join('.') + '.'; // how the names of this API begin in all regions
const standIn = '127.99.114.105'; // the address that the alias has here: wherever it is used, it is this machine's
const mark = Symbol.for('crier.alias');
const told = new Set();

if (alias && !globalThis[mark]) {
  globalThis[mark] = alias;
  lead();
  syncBuiltinESMExports();
}

function lead() {
  const led = new WeakSet(); // sockets

  // All connections begin here: those of http, https, tls, and those of fetch and undici.
  const { connect } = net.Socket.prototype;
  net.Socket.prototype.connect = function (...args) {
    const [options, callback] = Array.isArray(args[0]) ? args[0] : net._normalizeArgs(args);
    const name = [options.servername, options.host].find(isOurs);
    if (!name) return connect.apply(this, args);
    const refused = refusal(name, options.port);
    if (refused) {
      process.nextTick(() => this.destroy(refused));
      return this;
    }
    led.add(this);
    this._host = name; // for TLS that begins later
    const [host, port] = split(to);
    const direct = { ...options, host, port, path: undefined, lookup: undefined, localAddress: undefined, localPort: undefined };
    return typeof callback === 'function' ? connect.call(this, direct, callback) : connect.call(this, direct);
  };

  // TLS over a connection that is there already, such as one to a proxy: it must lead to crier, too.
  inPlaceOf(tls, 'connect', (original) => function (options, ...rest) {
    const { socket, servername, host } = Object(options);
    const name = [servername, host, socket && socket._host].find(Boolean);
    if (!socket || led.has(socket) || !isOurs(name)) return original.call(this, options, ...rest);
    socket.destroy();
    return original.call(this, { ...options, socket: undefined, host: name, port: 443 }, ...rest);
  });

  // Code that looks the name up before it connects gets an address that is led, too; no name server is asked.
  const numeric = (original) => function (name, ...rest) {
    return original.call(this, isOurs(name) ? standIn : name, ...rest);
  };
  inPlaceOf(dns, 'lookup', numeric);
  inPlaceOf(dns.promises, 'lookup', numeric);

  // A worker thread that is given an environment of its own would have neither this file nor the alias.
  inPlaceOf(threads, 'Worker', (original) => class Worker extends original {
    constructor(file, options) {
      const { env } = Object(options);
      super(file, env === Object(env) ? { ...options, env: { NODE_OPTIONS, _CRIER_ALIAS, ...env } } : options);
    }
  });
}

function inPlaceOf(module, name, make) {
  const original = module[name];
  module[name] = make(original);
  for (const symbol of Object.getOwnPropertySymbols(original)) module[name][symbol] = original[symbol]; // util.promisify's
}

function isOurs(name) {
  return typeof name === 'string' && (name === standIn || name.toLowerCase().startsWith(relatives));
}

// refusal returns why there is no connection, or nothing.
function refusal(name, port) {
  const plain = name.toLowerCase().replace(/\.$/, '');
  let why = '';
  if (plain !== alias && name !== standIn) why = `this function's API is ${alias} (AWS_REGION, which crier.yaml can set)`;
  else if (!to) why = 'there is no crier that it could lead to';
  else if (Number(port) !== 443) why = 'it has port 443 only';
  if (!why) return undefined;
  const error = new Error(`${name}:${port} is not there: ${why}`);
  Error.captureStackTrace(error, net.Socket.prototype.connect);
  if (!told.has(name)) console.error(`crier: ${error.message}`); // because many programs hide such an error, or try again
  told.add(name);
  return Object.assign(error, { code: 'ECONNREFUSED', syscall: 'connect' });
}

function split(address) {
  const i = address.lastIndexOf(':');
  return [address.slice(0, i).replace(/^\[|\]$/g, ''), Number(address.slice(i + 1))];
}
