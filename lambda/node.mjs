// The runtime client for Node.js: it asks the Lambda Runtime API for events, hands them to the handler, and posts what
// comes of them. https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html
import http from 'node:http';
import fs from 'node:fs';
import path from 'node:path';
import { Module, createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inspect } from 'node:util';

const { env } = process;
const root = env.LAMBDA_TASK_ROOT;
const [hostname, port] = env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true });

// current is the event that the handler has; none while there is nothing to be said about one.
let current = null;
// whenIdle is called when nothing is left in the event loop.
let whenIdle = () => {};
// dying is true when an error that nobody caught is being reported: nothing else is said, and no event taken, any more.
let dying = false;
let loaded = false;

process.on('beforeExit', () => whenIdle());
process.on('uncaughtException', (error) => die(error, 129));
process.on('unhandledRejection', (reason) => {
  const error = named('Runtime.UnhandledPromiseRejection', reason instanceof Error ? reason.message : String(reason));
  error.stack = reason?.stack ?? error.stack;
  die(error, 128, `Unhandled promise rejection: ${readable(reason)}`);
});

helpOldSDK();
let handler;
try {
  if (env._CRIER_ALIAS && !globalThis[Symbol.for('crier.alias')]) { // alias.cjs was not loaded
    throw named('Runtime.Alias', 'NODE_OPTIONS has no effect: what this function sends to its API would leave the machine');
  }
  handler = await load(env._HANDLER);
} catch (error) {
  await fail('init/error', error).catch(() => {});
  process.exit(1);
}
loaded = true;
await take();

// take waits for an event and hands it over. The next one is taken when it has been answered.
async function take() {
  if (dying) return;
  const { headers, body } = await call('GET', 'invocation/next');
  const id = headers['lambda-runtime-aws-request-id'];
  env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'];
  current = id;
  const answer = async (send) => {
    whenIdle = () => {};
    await send(`invocation/${id}`);
    current = null;
    setImmediate(take);
  };
  const succeed = (result) => {
    let text;
    try {
      text = JSON.stringify(result === undefined ? null : result);
    } catch (error) {
      return refuse(error);
    }
    // A promise that was rejected meanwhile and that nobody waits for is told of first: it fails this event, not the next.
    setImmediate(() => dying || answer((event) => call('POST', `${event}/response`, text)).catch(lost));
  };
  const refuse = (error) => answer((event) => fail(`${event}/error`, error ?? 'handled')).catch(lost);

  // Whatever the handler says first counts: by its callback, its context or its promise.
  let said = false;
  const first = (then) => (...words) => {
    if (said) return;
    said = true;
    then(...words);
  };
  const context = newContext(headers, {
    succeed: first(succeed),
    fail: first(refuse),
    done: first((error, result) => (error == null ? succeed(result) : refuse(error))),
  });
  const callback = first((error, result) => {
    if (error != null) refuse(error);
    else if (!context.callbackWaitsForEmptyEventLoop) succeed(result);
    else whenIdle = () => setImmediate(succeed, result);
  });
  // A handler that neither returns a promise nor calls back is done when nothing is left to do.
  const forgotten = handler.constructor.name === 'AsyncFunction';
  whenIdle = first(() => (forgotten ? refuse(named('Runtime.NodeJsExit', 'the promise was never resolved')) : succeed(null)));
  try {
    const result = handler(JSON.parse(body), context, callback);
    if (typeof result?.then === 'function') result.then(context.succeed, context.fail);
  } catch (error) {
    callback(error);
  }
}

function newContext(headers, callbacks) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    getRemainingTimeInMillis: () => deadline - Date.now(),
    ...callbacks,
  };
}

// load finds the function that a handler such as src/index.handler names.
async function load(name) {
  const directory = path.dirname(name);
  const [, module, member] = /^([^.]*)\.(.+)$/.exec(path.basename(name)) ?? [];
  if (!member) throw named('Runtime.MalformedHandlerName', `the handler must be like index.handler, not ${name}`);
  const stem = path.resolve(root, directory, module);
  const file = ['.js', '.mjs', '.cjs'].map((extension) => stem + extension).find((f) => fs.existsSync(f));
  if (!file) throw named('Runtime.ImportModuleError', `there is no file ${stem}.js, .mjs or .cjs`);
  const loaded = isESModule(file) ? await import(pathToFileURL(file)) : createRequire(file)(file);
  const found = member.split('.').reduce((value, key) => value?.[key], loaded);
  if (typeof found !== 'function') {
    throw named('Runtime.HandlerNotFound', `${path.relative(root, file)} does not export a function ${member}`);
  }
  return found;
}

// isESModule follows https://nodejs.org/api/packages.html#determining-module-system
function isESModule(file) {
  if (!file.endsWith('.js')) return file.endsWith('.mjs');
  for (let directory = path.dirname(file); ; directory = path.dirname(directory)) {
    const description = path.join(directory, 'package.json');
    if (fs.existsSync(description)) return JSON.parse(fs.readFileSync(description)).type === 'module';
    if (directory === path.dirname(directory)) return false;
  }
}

// helpOldSDK has aws-sdk v2 go where AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_DYNAMODB say, as all later SDKs do themselves.
function helpOldSDK() {
  const endpoints = {};
  for (const [name, endpoint] of Object.entries(env)) {
    if (name === 'AWS_ENDPOINT_URL') endpoints.endpoint = endpoint;
    const [, service] = /^AWS_ENDPOINT_URL_(\w+)$/.exec(name) ?? [];
    if (service) endpoints[oldName(service)] = { endpoint };
  }
  if (Object.keys(endpoints).length === 0) return;
  const compile = Module._extensions['.js'];
  Module._extensions['.js'] = (module, file) => {
    compile(module, file);
    // This file makes AWS.config, which the constructors of all services look at.
    if (/[\\/]aws-sdk[\\/]lib[\\/]node_loader\.js$/.test(file)) createRequire(file)('./core').config.update(endpoints, true);
  };
}

// oldName is what aws-sdk v2 calls a service.
function oldName(service) {
  const name = service.toLowerCase().replaceAll('_', '');
  return { sfn: 'stepfunctions', elasticloadbalancing: 'elb', elasticloadbalancingv2: 'elbv2' }[name] ?? name;
}

function named(name, message) {
  const error = new Error(message);
  error.name = name;
  return error;
}

// fail reports an error, here and to the Runtime API.
function fail(route, error, text = readable(error)) {
  console.error(text);
  return call('POST', route, JSON.stringify(describe(error)));
}

function describe(error) {
  if (typeof error?.message === 'string' && typeof error?.stack === 'string') {
    return { errorType: error.name, errorMessage: error.message, trace: tidy(error.stack).split('\n') };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

// readable is an error as console.error shows it, with a tidy stack.
function readable(error) {
  if (typeof error?.stack !== 'string') return typeof error === 'string' ? error : inspect(error);
  // The message has the list already.
  if (Array.isArray(error.requireStack)) Object.defineProperty(error, 'requireStack', { enumerable: false });
  return tidy(inspect(error));
}

// tidy leaves in stacks what is the user's: the frames of this file go, those of Node's module loader, and those of Node that
// called the first. Paths become relative to the function's directory.
function tidy(text) {
  const kept = [];
  let stack = [];
  const endOfStack = () => {
    if (stack.length === 0) return;
    const [after] = /(,| \{)?$/.exec(stack.at(-1)); // what follows may be more of the error
    stack[stack.length - 1] = stack.at(-1).slice(0, -after.length || undefined);
    stack = stack.filter((frame) => !frame.includes(import.meta.url) && !frame.includes('(node:internal/modules/'));
    while (/node:internal\/|^\s+\.\.\. /.test(stack.at(-1))) stack.pop();
    kept.push(...stack.map(shorten));
    kept[kept.length - 1] += after;
    stack = [];
  };
  for (const line of text.split('\n')) {
    if (/^\s+(at |\.\.\. \d+ lines matching )/.test(line)) {
      stack.push(line);
      continue;
    }
    endOfStack();
    const short = /^(file:|\/|[A-Z]:\\).*:\d+$|^- /.test(line) ? shorten(line) : line;
    if (short !== kept.at(-1) || !short.startsWith('- ')) kept.push(short); // of who required what: once is enough
  }
  endOfStack();
  return kept.join('\n');
}

// shorten makes the path in a line relative to the function's directory, where that is shorter.
function shorten(line) {
  return line.replace(/file:\/\/[^()]+?(?=:\d+)|(?<=^|[ (])(\/|[A-Z]:\\)[^():]+/, (file) => {
    const absolute = file.startsWith('file:') ? fileURLToPath(file) : file;
    const relative = path.relative(root, absolute);
    return relative.length < file.length ? relative : file;
  });
}

// die reports an error that nobody caught, and ends the process.
function die(error, status, text = readable(error)) {
  if (dying) return;
  dying = true;
  if (loaded && !current) { // it waits for an event, which another process should get
    console.error(text);
    process.exit(status);
  }
  const route = current ? `invocation/${current}/error` : 'init/error';
  fail(route, error, text).catch(() => {}).finally(() => process.exit(status));
}

// lost ends the process when nobody is there who gives it work.
function lost() {
  process.exit(1);
}

function call(method, route, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    const request = http.request({ hostname, port, agent, method, headers, path: `/2018-06-01/runtime/${route}` }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ headers: response.headers, body: Buffer.concat(chunks) }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}
