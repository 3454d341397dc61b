// Handlers that do what handlers do, right and wrong.
let count = 0;
exports.echo = async (event) => event;
exports.count = async () => ++count;
exports.pid = async () => process.pid;
exports.late = (event, context, callback) => setTimeout(callback, event.ms, null, 'late');
exports.callback = (event, context, callback) => callback(null, 'called');
exports.callbackError = (event, context, callback) => callback(new TypeError('no'));
exports.callbackText = (event, context, callback) => callback('just text');
exports.waits = (event, context, callback) => {
  let done = false;
  setTimeout(() => { done = true; }, 50);
  callback(null, { toJSON: () => done });
};
exports.waitsNot = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false;
  let done = false;
  setTimeout(() => { done = true; }, 50);
  callback(null, { toJSON: () => done });
};
exports.twice = (event, context, callback) => { callback(null, 'first'); callback(null, 'second'); };
exports.asyncCallback = async (event, context, callback) => { await null; callback(null, 'called'); };
exports.asyncCallbackLate = async (event, context, callback) => { setTimeout(callback, 20, null, 'late'); };
exports.both = async (event, context, callback) => { callback(null, 'called'); throw new Error('ignored'); };
exports.throwsLate = (event, context, callback) => { callback(null, 'called'); throw new Error('ignored'); };
exports.nothing = () => {};
exports.undefined = async () => {};
exports.never = async () => new Promise(() => {});
exports.succeed = (event, context) => context.succeed('succeeded');
exports.fail = (event, context) => context.fail(new Error('failed'));
exports.throws = () => { throw new RangeError('thrown'); };
exports.rejects = async () => { throw new RangeError('rejected'); };
exports.rejectsNothing = async () => { throw undefined; };
exports.uncaught = (event, context, callback) => { setTimeout(() => { throw new Error('nobody caught this'); }, 1); };
exports.unhandled = (event, context, callback) => { Promise.reject(new Error('nobody handled this')); setTimeout(() => {}, 60000); };
exports.forgets = async () => { Promise.reject(new Error('forgotten')); return 'fine'; };
exports.exits = async () => { console.log('I leave'); process.exit(3); };
exports.killed = async () => process.kill(process.pid, 'SIGKILL');
exports.hangs = async () => { for (;;); };
exports.sleeps = (event) => new Promise((resolve) => setTimeout(resolve, event.ms ?? 60000, 'awake'));
exports.circle = async () => { const a = {}; a.a = a; return a; };
exports.big = async () => 'x'.repeat(7 << 20);
exports.context = async (event, context) => ({
  name: context.functionName, version: context.functionVersion, memory: context.memoryLimitInMB,
  arn: context.invokedFunctionArn, trace: process.env._X_AMZN_TRACE_ID, id: context.awsRequestId, remaining: context.getRemainingTimeInMillis(),
  handler: process.env._HANDLER, root: process.env.LAMBDA_TASK_ROOT === process.cwd(), mine: process.env.MINE,
});
exports.prints = async () => { process.stdout.write('one\ntwo\n\nthr'); process.stdout.write('ee\n'); console.error('four'); process.stdout.write('five'); process.exit(0); };
exports.child = async () => require('child_process').spawn('sleep', ['1000'], { stdio: 'inherit' }).pid;
exports.diesLater = async () => { setTimeout(() => process.exit(9), 200); return 'well'; };
exports.deep = { handler: async () => 'deep' };
exports.notAFunction = 5;
exports.moody = async ({ mood }) => {
  switch (mood) {
    case 0: process.exit(1);
    case 1: process.kill(process.pid, 'SIGKILL');
    case 2: throw new Error('moody');
    case 3: setTimeout(() => process.exit(2), 3);
  }
  await new Promise((resolve) => setTimeout(resolve, mood));
  return 'well';
};
