// A DynamoDB in memory, at a port of 127.0.0.1 that it prints. The argument is where dynalite is. It ends when its
// standard input does, which is when crier ends, however that happens.
'use strict';

const [, directory] = process.argv;

let dynalite;
try {
  dynalite = require(directory);
} catch (error) {
  const [message] = String(error?.message ?? error).split('\n');
  console.error(`Error: Node ${process.version} cannot load ${directory}: ${message}`);
  process.exit(1);
}
const server = dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 });

// Only programs of this machine are answered: a page in a browser could find the port, or have a name point to it.
const [answer] = server.listeners('request');
server.removeAllListeners('request').on('request', (request, response) => {
  const { host = '', origin, 'sec-fetch-site': site } = request.headers;
  if (/^(localhost|127\.0\.0\.1)(:\d+)?$/.test(host) && origin === undefined && site === undefined) return answer(request, response);
  response.writeHead(403).end();
});

// ctrl-C reaches this process, too. Functions may still have something to write.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
process.stdin.on('end', () => process.exit()).resume();

server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
