// What the npm package ws makes of crier: node ws.mjs ws://localhost:8080
import assert from "node:assert/strict";
import WebSocket from "ws";

const server = process.argv[2];
const open = [];

// connect returns a client: next() is a promise of its next event, [what, ...].
function connect(path, options, protocols = []) {
  const socket = new WebSocket(server + path, protocols, options);
  const events = [];
  const waiting = [];
  const happen = (...event) => (waiting.length ? waiting.shift()(event) : events.push(event));
  socket.on("message", (data, binary) => happen(binary ? "binary" : "text", data.toString(binary ? "hex" : "utf8")));
  socket.on("pong", (data) => happen("pong", data.toString()));
  socket.on("close", (code, reason) => happen("close", code, reason.toString()));
  socket.on("unexpected-response", (request, response) => {
    let body = "";
    response.on("data", (chunk) => (body += chunk));
    response.on("end", () => happen("refused", response.statusCode, body.trim()));
  });
  socket.on("error", (error) => happen("error", error.message));
  open.push(socket);
  return {
    socket,
    next: () => (events.length ? Promise.resolve(events.shift()) : new Promise((resolve) => waiting.push(resolve))),
    opened: () => new Promise((resolve) => socket.on("open", resolve)),
  };
}

async function join(path, options) {
  const client = connect(path, options);
  await client.opened();
  return client;
}

// text returns the next message, as it is, the time in it replaced.
async function text(client) {
  const [what, data] = await client.next();
  assert.equal(what, "text", data);
  return data.replace(/"_now":\d{13}/, '"_now":0');
}

const tests = {
  async broadcast() {
    const [ann, bob] = [await join("/"), await join("/")];
    ann.socket.send("hi there");
    assert.equal(await text(ann), '{"data":"hi there","_now":0,"_me":true}');
    assert.equal(await text(bob), '{"data":"hi there","_now":0,"_me":false}');
    ann.socket.send('{"big":12345678901234567890}');
    assert.equal(await text(bob), '{"big":12345678901234567890,"_now":0,"_me":false}');
  },
  async binary() {
    const [ann, bob] = [await join("/?topic=bin"), await join("/?topic=bin")];
    ann.socket.send(Buffer.from([0, 255, 1]));
    for (const client of [ann, bob]) assert.deepEqual(await client.next(), ["binary", "00ff01"]);
  },
  async fragments() {
    const ann = await join("/?topic=fragments");
    ann.socket.send("in ", { fin: false });
    ann.socket.ping("between");
    ann.socket.send("three ", { fin: false });
    ann.socket.send("pieces", { fin: true });
    assert.deepEqual(await ann.next(), ["pong", "between"]);
    assert.equal(await text(ann), '{"data":"in three pieces","_now":0,"_me":true}');
  },
  async "128 KiB, and a byte more"() {
    const ann = await join("/?topic=large");
    ann.socket.send("x".repeat(128 * 1024));
    assert.equal((await text(ann)).length, 128 * 1024 + '{"data":"","_now":0,"_me":true}'.length);
    ann.socket.send("x".repeat(128 * 1024 + 1));
    const [what, code, reason] = await ann.next();
    assert.deepEqual([what, code], ["close", 1009]);
    assert.match(reason, /131072/);
  },
  async "no compression"() {
    const ann = await join("/?topic=deflate", { perMessageDeflate: true });
    assert.equal(ann.socket.extensions, "");
    ann.socket.send("plain");
    assert.equal(await text(ann), '{"data":"plain","_now":0,"_me":true}');
  },
  async "no subprotocol"() {
    const [what, message] = await connect("/", {}, ["x"]).next();
    assert.equal(what, "error"); // ws insists, as browsers do
    assert.match(message, /subprotocol/);
  },
  async closing() {
    const ann = await join("/");
    ann.socket.close(4321, "enough");
    assert.deepEqual(await ann.next(), ["close", 4321, ""]);
  },
  async refusals() {
    for (const [path, status, sentence, options] of [
      ["/nowhere", 404, /ws:\/\/.*\/rooms/],
      ["/bridge", 400, /append \?topicName=/],
      ["/", 403, /--allow-origin/, { origin: "https://elsewhere.example.com" }],
    ]) {
      const [what, got, body] = await connect(path, options).next();
      assert.deepEqual([what, got], ["refused", status]);
      assert.match(body, sentence);
    }
  },
  async bridge() {
    const [ann, bob] = [await join("/bridge?topicName=Something"), await join("/bridge?topicName=Other")];
    const message = '{"topic":"Something","message":"Some Data"}';
    bob.socket.send(message);
    assert.equal(await text(ann), message);
  },
  async chat() {
    const [ann, bob] = [await join("/chat"), await join("/chat")];
    ann.socket.send('{"action":"sendMessage","data":"hello"}');
    for (const client of [ann, bob]) assert.equal(await text(client), "hello");
    ann.socket.send('{"action":"shout"}');
    assert.match(await text(ann), /^\{"message": "Forbidden", "connectionId":"[\w-]{15}=", "requestId":"[\w-]{15}="\}$/);
  },
  async rooms() {
    const ann = await join("/rooms", { headers: { "X-WhoAmI": "ann" } });
    ann.socket.send('{"action":"subscribe","topic":"t1"}');
    assert.equal(await text(ann), '{"action":"subscribe","topic":"t1","ok":true}');
    ann.socket.send('{"action":"broadcast","topic":"t1","payload":{"x":1}}');
    assert.equal(await text(ann), '{"x":1,"_topic":"t1","_now":0,"_me":true}');
    assert.equal(await text(ann), '{"action":"broadcast","ok":true}');
  },
  async directory() {
    const ann = await join("/directory");
    ann.socket.send("who is there?");
    assert.match(await text(ann), /^\{"Items":\[\{"connectionId":"[\w-]{15}="\}\],"Count":1,"ScannedCount":1\}$/);
  },
};

for (const [name, test] of Object.entries(tests)) {
  const tooLong = setTimeout(() => {
    console.error(`${name}: nothing more happens`);
    process.exit(1);
  }, 10_000); // it matters only when it fails
  await test();
  clearTimeout(tooLong);
  console.log(name);
}
for (const socket of open) socket.terminate();
console.log("all of it");
