// crier.js against the real server, through restarts, sleeps and a network that stops. README.md of the client says what
// it promises; the tests say it again.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test as nodeTest } from "node:test";
import { gzipSync } from "node:zlib";
import WebSocket, { WebSocketServer } from "ws";
import { connect } from "../../console/client/crier.js";
import { Home, Network, becomes, happens, join, listen, patience } from "./home.mjs";

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const soon = () => new Promise(setImmediate);

const test = (name, run) => nodeTest(name, { timeout: 2 * patience }, run);

test("is small", () => {
  const size = gzipSync(readFileSync(new URL("../../console/client/crier.js", import.meta.url)), { level: 9 }).length;
  assert.ok(size <= 5120, `${size} bytes, compressed`);
});

test("what one says all hear", async (t) => {
  const home = await Home.open(t);
  const [ann, bob] = [join(t, home.url, { topic: "talk" }), join(t, home.url + "/?topic=talk")];
  await Promise.all([becomes(ann, "open"), becomes(bob, "open")]);
  const hears = (crier) => happens(crier, "message");
  let [mine, others] = [hears(ann), hears(bob)];
  assert.equal(await ann.send("hi there"), "confirmed");
  assert.match((await mine).data, /^\{"data":"hi there","_now":\d+,"_me":true\}$/);
  assert.deepEqual([(await others).json.data, (await others).json._me], ["hi there", false]);
  [mine, others] = [hears(ann), hears(bob)];
  assert.equal(await ann.send(new Uint8Array([0, 255, 1])), "sent");
  assert.deepEqual(new Uint8Array((await others).data), new Uint8Array([0, 255, 1]));
  assert.equal((await mine).json, undefined);
  assert.equal(ann.pending, 0);
});

test("topics, and no echo", async (t) => {
  const home = await Home.open(t);
  const quiet = join(t, home.http, { topic: ["a", "b"], echo: false });
  const [a, b, c] = ["a", "b", "c"].map((topic) => join(t, home.url, { topic }));
  await Promise.all([quiet, a, b, c].map((crier) => becomes(crier, "open")));
  const heard = [quiet, a, b, c].map(listen);
  const arrived = [happens(a, "message"), happens(b, "message")];
  assert.equal(await quiet.send('{"n":1}'), "sent");
  await Promise.all(arrived);
  assert.equal(await c.send('{"n":2}'), "confirmed");
  assert.deepEqual(heard, [[], [1], [1], [2]]);
});

test("for await ends when it is closed, and close waits for what is on its way", async (t) => {
  const home = await Home.open(t);
  const crier = join(t, home.url);
  const fates = range(1, 100).map((n) => crier.send(`{"n":${n}}`)); // before there is a connection
  const heard = [];
  const reading = (async () => {
    for await (const { json } of crier) heard.push(json.n);
  })();
  await becomes(crier, "open");
  await crier.close();
  await reading;
  assert.deepEqual(new Set(await Promise.all(fates)), new Set(["confirmed"]));
  assert.deepEqual(heard, range(1, 100));
  assert.equal(crier.state, "closed");
  await crier.close(); // once more does no harm
  assert.equal(await crier.send("too late"), "dropped");
});

test("for await that is too slow is told", async (t) => {
  const home = await Home.open(t);
  const crier = join(t, home.url);
  const reader = crier[Symbol.asyncIterator]();
  const first = reader.next();
  await becomes(crier, "open");
  for (let n = 0; n < 11_000; n += 1000) await Promise.all(range(n, n + 999).map((n) => crier.send(`{"n":${n}}`)));
  assert.equal((await first).value.json.n, 0);
  await assert.rejects(async () => {
    for (;;) await reader.next();
  }, /too slow/);
});

test("while it is down it keeps so many messages, and tells of those it does not", async (t) => {
  const home = await Home.open(t);
  await home.stop();
  const crier = join(t, home.url, { queue: 3 });
  const dropped = [];
  crier.addEventListener("drop", ({ data, fate, why }) => dropped.push([data, fate, why]));
  const fates = ["a", "b", "c", "d", "e"].map((text) => crier.send(text));
  await becomes(crier, "waiting");
  assert.deepEqual(dropped, [["d", "dropped", "full"], ["e", "dropped", "full"]]);
  assert.equal(crier.pending, 3);
  assert.deepEqual(crier.ended.code, 1006);
  const heard = [];
  crier.addEventListener("message", ({ json }) => heard.push(json.data));
  await home.start();
  assert.deepEqual(await Promise.all(fates), ["confirmed", "confirmed", "confirmed", "dropped", "dropped"]);
  assert.deepEqual(heard, ["a", "b", "c"]);
  const large = "x".repeat(9 << 20);
  await home.stop();
  await becomes(crier, "waiting");
  const [kept, refused] = [crier.send(large), crier.send(large)];
  assert.equal(await refused, "dropped");
  await crier.close();
  assert.equal(await kept, "dropped");
});

test("queue: 0 keeps nothing, but talks", async (t) => {
  const home = await Home.open(t);
  const crier = join(t, home.url, { queue: 0 });
  assert.equal(await crier.send("too early"), "dropped");
  await becomes(crier, "open");
  assert.deepEqual(await Promise.all(range(1, 1000).map((n) => crier.send(String(n)))), range(1, 1000).map(() => "confirmed"));
});

test("through restarts of the server nothing is lost and nothing doubled", async (t) => {
  const home = await Home.open(t);
  const [ann, bob] = [join(t, home.url), join(t, home.url)];
  await Promise.all([becomes(ann, "open"), becomes(bob, "open")]);
  const [own, others] = [listen(ann), listen(bob)];
  const talk = talkative(ann);
  for (let restart = 0; restart < 4; restart++) {
    const before = own.length;
    await happens(ann, "message", () => own.length > before + 300);
    await home.stop();
    await home.start();
    await Promise.all([becomes(ann, "open"), becomes(bob, "open")]);
  }
  const { fates, last } = await talk.stop();
  assert.deepEqual(count(fates), { confirmed: last });
  assert.deepEqual(own, range(1, last));
  ascends(others); // what was said while bob was away he has missed
});

test("of a server that is killed what is in doubt is told, and nothing doubled", async (t) => {
  const home = await Home.open(t);
  const ann = join(t, home.url);
  await becomes(ann, "open");
  const own = listen(ann);
  const unsure = [];
  ann.addEventListener("drop", ({ data, fate }) => fate === "unsure" && unsure.push(JSON.parse(data).n));
  const talk = talkative(ann);
  for (let restart = 0; restart < 4; restart++) {
    const before = own.length;
    await happens(ann, "message", () => own.length > before + 300);
    await home.stop("SIGKILL");
    await home.start();
    await becomes(ann, "open");
  }
  const { fates, last } = await talk.stop();
  ascends(own);
  assert.deepEqual(confirmed(fates), own);
  assert.equal(own.length + unsure.length, last);
  assert.deepEqual(fates.flatMap((fate, i) => (fate === "unsure" ? [i + 1] : [])), unsure);
});

for (const late of [false, true]) {
  test(`over a network that stops${late ? ", and delivers much later," : ""} what is in doubt is told`, async (t) => {
    const home = await Home.open(t);
    const network = await Network.open(t, home);
    const [ann, witness] = [join(t, network.url), join(t, home.url)];
    await Promise.all([becomes(ann, "open"), becomes(witness, "open")]);
    const heard = listen(witness);
    const talk = talkative(ann);
    for (let stop = 0; stop < 3; stop++) await interrupt(ann, network, heard, witness, late);
    const { fates } = await talk.stop();
    await tell(witness, home);
    assert.equal(new Set(heard).size, heard.length, "nothing is heard twice");
    const got = new Set(heard);
    assert.deepEqual(confirmed(fates).filter((n) => !got.has(n)), [], "what is confirmed was heard");
    assert.deepEqual(fates.filter((fate) => fate !== "confirmed" && fate !== "unsure"), []);
  });

  test(`with once, over a network that stops${late ? " and delivers much later" : ""}, all is heard once`, async (t) => {
    const home = await Home.open(t);
    const network = await Network.open(t, home);
    const [ann, witness] = [join(t, network.url, { once: true }), join(t, home.url, { once: true })];
    await Promise.all([becomes(ann, "open"), becomes(witness, "open")]);
    const heard = listen(witness);
    const talk = talkative(ann);
    for (let stop = 0; stop < 3; stop++) await interrupt(ann, network, heard, witness, late);
    const { fates, last } = await talk.stop();
    await tell(witness, home);
    assert.deepEqual(count(fates), { confirmed: last });
    assert.deepEqual(heard, range(1, last));
  });
}

test("with once, what was on its way at the end is in doubt", async (t) => {
  const home = await Home.open(t);
  const network = await Network.open(t, home);
  const crier = join(t, network.url, { once: true });
  await becomes(crier, "open");
  network.freeze();
  const tried = crier.send("published or not");
  await becomes(crier, "waiting");
  const waits = crier.send("never sent");
  await crier.close();
  assert.deepEqual(await Promise.all([tried, waits]), ["unsure", "dropped"]);
});

test("with once, messages are what they are without, and an id", async (t) => {
  const home = await Home.open(t);
  const [plain, named] = [join(t, home.url), join(t, home.url, { once: true })];
  const witness = join(t, home.url);
  await Promise.all([plain, named, witness].map((crier) => becomes(crier, "open")));
  for (const text of ["hi", "", " ", '"quoted"', "1.0", " 12 ", "true", "null", "{}", "{ }", ' { "a" : 1.0 }\n', '{"a":12345678901234567890}', "[]", '[1,{"b":2}]', '{"_id":"mine"}', "{broken", "ü\u0000"]) {
    const frames = [];
    const both = happens(witness, "message", ({ data }) => frames.push(data.replace(/"_now":\d+/, '"_now":0')) === 2);
    assert.equal(await plain.send(text), "confirmed");
    assert.equal(await named.send(text), "confirmed");
    await both;
    const strip = (frame) => {
      const { _id, ...rest } = JSON.parse(frame);
      return rest;
    };
    assert.deepEqual(strip(frames[1]), strip(frames[0]), text);
    assert.match(JSON.parse(frames[1])._id, /^\w+-\d+$/);
    if (!/^\s*\[|_id/.test(text)) assert.equal(frames[1].replace(/"_id":"[\w-]+",/, ""), frames[0], text);
  }
});

test("after a sleep it comes back", async (t) => {
  const home = await Home.open(t);
  const crier = join(t, home.url);
  await becomes(crier, "open");
  const now = Date.now;
  t.after(() => (Date.now = now));
  Date.now = () => now() + 120_000;
  await becomes(crier, "waiting");
  assert.deepEqual(crier.ended, { code: 1006, reason: "slept" });
  Date.now = now;
  await becomes(crier, "open");
  assert.equal(await crier.send("good morning"), "confirmed");
});

test("a network that comes back is tried at once", async (t) => {
  const home = await Home.open(t);
  const target = new EventTarget();
  globalThis.addEventListener = target.addEventListener.bind(target);
  globalThis.removeEventListener = target.removeEventListener.bind(target);
  t.after(() => {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  });
  const crier = join(t, home.url, { retry: [1e9, 1e9] });
  await becomes(crier, "open");
  await home.stop();
  await becomes(crier, "waiting");
  await home.start();
  target.dispatchEvent(new Event("online"));
  await becomes(crier, "open");
  const waits = happens(crier, "state", () => crier.state === "waiting");
  target.dispatchEvent(new Event("online")); // the connection may be dead without knowing it
  await waits;
  target.dispatchEvent(new Event("online"));
  await becomes(crier, "open");
});

test("heartbeats find out that a silent connection is dead, and are not heard", async (t) => {
  const home = await Home.open(t);
  const network = await Network.open(t, home);
  const [a, b] = [join(t, network.url, { heartbeat: 100 }), join(t, home.url, { heartbeat: 100 })];
  await Promise.all([becomes(a, "open"), becomes(b, "open")]);
  const anybody = new WebSocket(home.url);
  const [beat] = await once(anybody, "message"); // a message like any other
  assert.match(String(beat), /^\{"_beat":true,/);
  anybody.close();
  const heard = listen(a);
  network.freeze();
  await becomes(a, "waiting");
  assert.equal(a.ended.reason, "no answer");
  network.thaw();
  await becomes(a, "open");
  assert.deepEqual(heard, []);
});

test("a connection that does not open is given up", async (t) => {
  const home = await Home.open(t);
  const network = await Network.open(t, home);
  network.freeze();
  const crier = join(t, network.url);
  await becomes(crier, "waiting");
  assert.equal(crier.ended.reason, "no answer");
  network.thaw();
  await becomes(crier, "open");
});

test("it comes back after some closes, and not after others", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  const url = `ws://127.0.0.1:${server.address().port}`;
  for (const [back, codes] of [[true, [1001, 1011, 1012, 1013, 1014]], [false, [1000, 1002, 1003, 1007, 1008, 1009, 1010, 3000, 4000]]]) {
    for (const code of codes) {
      server.once("connection", (socket) => socket.close(code, "because"));
      const crier = join(t, url);
      await becomes(crier, back ? "waiting" : "closed");
      assert.deepEqual(crier.ended, { code, reason: "because" });
      if (back) await becomes(crier, "open");
      await crier.close();
    }
  }
});

test("kicked, it stays away", async (t) => {
  const home = await Home.open(t);
  const crier = join(t, home.url);
  await becomes(crier, "open");
  const [{ connectionId }] = await (await fetch(`${home.http}/@connections`)).json();
  await fetch(`${home.http}/@connections/${connectionId}`, { method: "DELETE" });
  await becomes(crier, "closed");
  assert.deepEqual(crier.ended, { code: 1000, reason: "Connection Closed Normally" });
});

test("it waits longer each time, and never longer than it may", async (t) => {
  const home = await Home.open(t);
  await home.stop();
  const random = Math.random;
  t.after(() => (Math.random = random));
  Math.random = () => 0.999_999;
  const crier = join(t, home.url, { retry: [1, 16] });
  const waits = [];
  await happens(crier, "state", () => crier.state === "waiting" && waits.push(Math.round(crier.retryAt - Date.now())) === 8);
  for (const [i, wait] of waits.entries()) assert.ok(wait <= Math.min(16, 2 ** i), `wait ${i} is ${wait} ms`);
  assert.ok(waits[7] > waits[0], `it waits ${waits}`);
});

test("a frame with several messages is taken apart, and another one is not", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  const frames = ['{"a":1,"_me":false}\n{"data":1,"_me":true}\n{"b":2,"_me":false}', '{"c":{\n}}', "no {\n}\n{", '{"d":4}\n'];
  server.on("connection", (socket) => socket.on("message", () => frames.forEach((frame) => socket.send(frame))));
  const crier = join(t, `ws://127.0.0.1:${server.address().port}`);
  const got = [];
  const all = happens(crier, "message", ({ data }) => got.push(data) === 6);
  assert.equal(await crier.send("1"), "confirmed");
  await all;
  assert.deepEqual(got, ['{"a":1,"_me":false}', '{"data":1,"_me":true}', '{"b":2,"_me":false}', '{"c":{\n}}', "no {\n}\n{", '{"d":4}\n']);
});

test("what it skipped leaves its own in doubt", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  server.on("connection", (socket) => {
    socket.on("message", (data) => socket.send(String(data) === "skip" ? '{"_skipped":2,"_now":1}' : `{"data":${data},"_now":1,"_me":true}`));
  });
  const crier = join(t, `ws://127.0.0.1:${server.address().port}`);
  assert.equal(await crier.send("1"), "confirmed");
  assert.deepEqual(await Promise.all([crier.send("skip"), crier.send("2")]), ["unsure", "unsure"]);
  assert.equal(await crier.send("3"), "sent"); // it can no longer count
});

test("a message that stays on its way is told of, and so is what a drop makes one say", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  const crier = join(t, `ws://127.0.0.1:${server.address().port}`, { timeout: 100 });
  const again = [];
  crier.addEventListener("drop", ({ data, why }) => why === "lost" && again.push(crier.send(data + "!")));
  await becomes(crier, "open");
  const fates = [crier.send("a"), crier.send("b")];
  assert.deepEqual(await Promise.all(fates), ["unsure", "unsure"]);
  assert.equal(again.length, 2);
  await crier.close();
  assert.deepEqual(new Set(await Promise.all(again)).size, 1);
});

test("it says what it cannot do", async (t) => {
  assert.throws(() => connect("ws://localhost:1", { WebSocket: null }), /package ws/);
  assert.throws(() => connect("ws://localhost:1", { WebSocket, once: true, echo: false }), /needs echoes/);
  assert.throws(() => connect("ws://localhost:1", { WebSocket, heartbeat: 1000, echo: false }), /echoes/);
  assert.throws(() => connect("ws://localhost:1/chat", { WebSocket, once: true }), TypeError);
  assert.throws(() => connect({ WebSocket }), /./); // in Node crier.js comes from no server
});

test("options that are undefined are not given", async (t) => {
  const home = await Home.open(t);
  const all = ["topic", "user", "echo", "once", "confirm", "queue", "retry", "timeout", "heartbeat", "beat", "first"];
  for (const nothing of [undefined, null]) {
    const crier = join(t, home.url + "#fragment", Object.fromEntries(all.map((name) => [name, nothing])));
    await becomes(crier, "open");
    assert.equal(crier.url, home.url + "/");
    assert.equal(await crier.send("hi"), "confirmed");
  }
});

test("what cannot be sent does no harm", async (t) => {
  const home = await Home.open(t);
  const crier = join(t, home.url, { once: true });
  for (const data of [undefined, null, true, 1, {}, { x: 1 }, () => {}]) assert.throws(() => crier.send(data), TypeError);
  const deep = "[".repeat(9000) + "]".repeat(9000); // more than JSON.stringify can take
  const fates = [crier.send("before"), crier.send(deep), crier.send("behind")];
  assert.deepEqual(await Promise.all(fates), ["confirmed", "dropped", "confirmed"]);
  await crier.close();
});

test("who closes because something was dropped has closed", async (t) => {
  const home = await Home.open(t);
  const network = await Network.open(t, home);
  const crier = join(t, network.url, { retry: [1, 1] });
  await becomes(crier, "open");
  const states = [];
  crier.addEventListener("state", () => states.push(crier.state));
  crier.addEventListener("drop", () => crier.close());
  network.freeze();
  assert.equal(await crier.send("hi"), "unsure");
  await new Promise((resolve) => setTimeout(resolve, 50)); // much longer than it would wait
  assert.deepEqual(states, ["closed"]);
});

test("who says again at once whatever is dropped does not go round in circles", async (t) => {
  const home = await Home.open(t);
  await home.stop();
  const crier = join(t, home.url, { queue: 2 });
  let told = 0;
  const again = [];
  crier.addEventListener("drop", ({ data }) => again.push(crier.send(data)) && told++);
  const fates = ["a", "b", "c"].map((text) => crier.send(text));
  assert.deepEqual([await fates[2], await again[0], told], ["dropped", "dropped", 1]);
  await crier.close();
  assert.deepEqual([...new Set(await Promise.all([...fates, ...again]))], ["dropped"]);
});

// A server that says what it likes: answer is given what it heard, the number of the message, and how to say something.
async function pretend(t, answer) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  let count = 0;
  server.on("connection", (socket) =>
    socket.on("message", (data) => {
      const stamped = (mine) => `${String(data).slice(0, -1)},"_now":1,"_me":${mine}}`;
      const all = () => server.clients.forEach((other) => other.send(stamped(other === socket)));
      answer(++count, { all, say: (text) => socket.send(text), end: (code, reason) => socket.close(code, reason) });
    }),
  );
  return `ws://127.0.0.1:${server.address().port}`;
}

test("with once, nothing is lost where messages overtake each other", async (t) => {
  const held = [];
  const url = await pretend(t, (n, { all }) => {
    held.push(all);
    if (n % 8 === 0) for (const say of held.splice(0).reverse()) say();
  });
  const [ann, bob] = [join(t, url, { once: true }), join(t, url, { once: true })];
  await Promise.all([becomes(ann, "open"), becomes(bob, "open")]);
  const [own, others] = [listen(ann), listen(bob)];
  const last = happens(bob, "message", () => others.length === 4000);
  for (let n = 0; n < 4000; n += 400) {
    const fates = range(n + 1, n + 400).map((n) => ann.send(`{"n":${n}}`));
    assert.deepEqual(count(await Promise.all(fates)), { confirmed: 400 });
  }
  await last;
  for (const heard of [own, others]) assert.deepEqual(heard.sort((a, b) => a - b), range(1, 4000));
});

test("with once, many fewer are on their way than ids are remembered", async (t) => {
  let first;
  let arrived = 0;
  const url = await pretend(t, (n, { all }) => {
    arrived = n;
    if (n === 1) first = all;
    else all();
  });
  const ann = join(t, url, { once: true, timeout: patience });
  const bob = join(t, url, { once: true });
  await Promise.all([becomes(ann, "open"), becomes(bob, "open")]);
  const others = listen(bob);
  const fates = [ann.send('{"n":1}')];
  for (let n = 2; n <= 1024; n++) fates.push(ann.send(`{"n":${n}}`));
  await Promise.all(fates.slice(1));
  const waits = ann.send('{"n":1025}');
  assert.deepEqual([arrived, ann.pending], [1024, 2]);
  const last = happens(bob, "message", () => others.length === 1025);
  first();
  assert.deepEqual(await Promise.all([fates[0], waits]), ["confirmed", "confirmed"]);
  await last;
});

test("who answers with an error has failed to publish the message", async (t) => {
  const url = await pretend(t, (n, { all, say }) => (n === 1 ? say('{"message": "Internal server error", "connectionId":"x", "requestId":"y"}') : all()));
  const crier = join(t, url);
  const told = [];
  crier.addEventListener("drop", ({ why }) => told.push(why));
  assert.deepEqual(await Promise.all([crier.send('{"n":1}'), crier.send('{"n":2}')]), ["unsure", "confirmed"]);
  assert.deepEqual(told, ["failed"]);
});

for (const once of [false, true]) {
  test(`a message that stays away is given up, whatever else is heard${once ? ", and said again" : ""}`, async (t) => {
    const url = await pretend(t, (n, { all }) => n !== 1 && all());
    const [ann, other] = [join(t, url, { once, timeout: 100 }), join(t, url)];
    await Promise.all([becomes(ann, "open"), becomes(other, "open")]);
    const fate = ann.send('{"n":0}');
    const talk = setInterval(() => other.send('{"n":1}'), 20);
    t.after(() => clearInterval(talk));
    assert.equal(await fate, once ? "confirmed" : "unsure");
    assert.equal(ann.ended.reason, "no answer");
  });
}

test("close does not wait for ever", async (t) => {
  const url = await pretend(t, (n, { all }) => n !== 1 && all());
  const [ann, other] = [join(t, url, { timeout: 200 }), join(t, url)];
  await Promise.all([becomes(ann, "open"), becomes(other, "open")]);
  const fate = ann.send('{"n":0}');
  const talk = setInterval(() => other.send('{"n":1}'), 20);
  t.after(() => clearInterval(talk));
  const begun = Date.now();
  await ann.close();
  assert.equal(await fate, "unsure");
  assert.ok(Date.now() - begun < 700, "before the message is given up");
});

test("with once, who says one's own ids does not silence one", async (t) => {
  const home = await Home.open(t);
  const crier = join(t, home.url, { once: true });
  const ids = [];
  crier.addEventListener("message", ({ json }) => ids.push(json._id));
  await crier.send("hi");
  const thief = join(t, home.url);
  for (const count of ["999999", "999999999999999", "1" + "0".repeat(400)]) await thief.send(`{"_id":"${ids[0].replace(/-.*/, "-" + count)}"}`);
  await thief.send(`{"_id":"thief-${"9".repeat(400)}"}`);
  assert.equal(await crier.send("still there"), "confirmed");
  assert.equal(ids.length, 6);
});

test("what is said first goes before what waited, on each connection", async (t) => {
  const home = await Home.open(t);
  const topic = { action: "subscribe", topic: "t" };
  const rooms = join(t, home.url + "/rooms", { user: "ann", first: JSON.stringify(topic) });
  const heard = [];
  rooms.addEventListener("message", ({ json }) => heard.push(json.text ?? json.action));
  const hears = (what) => happens(rooms, "message", () => heard.at(-1) === what);
  for (const text of ["one", "two"]) {
    const comes = hears(text);
    rooms.send(JSON.stringify({ action: "broadcast", topic: "t", payload: { text } }));
    await comes;
    await home.stop();
    await becomes(rooms, "waiting");
    const waited = hears("meanwhile");
    rooms.send(JSON.stringify({ action: "broadcast", topic: "t", payload: { text: "meanwhile" } }));
    await home.start();
    await waited;
  }
  const talks = join(t, home.url, { first: ["I", "am here"] });
  const all = [];
  talks.addEventListener("message", ({ json }) => all.push(json.data));
  assert.equal(await talks.send("hi"), "confirmed");
  assert.deepEqual(all, ["I", "am here", "hi"]);
});

test("it works in Deno, from the server's own address, through a restart", async (t) => {
  const home = await Home.open(t);
  const dir = mkdtempSync(path.join(tmpdir(), "deno-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const deno = spawn("node_modules/.bin/deno", ["run", "--no-lock", "--allow-net=127.0.0.1", `--allow-import=127.0.0.1:${home.port}`, "-"], {
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1", DENO_DIR: dir, NO_COLOR: "1" },
    stdio: ["pipe", "pipe", "pipe"],
  });
  t.after(() => deno.kill("SIGKILL"));
  let complaints = "";
  deno.stderr.on("data", (data) => (complaints += data));
  deno.stdin.end(`
    import { connect } from "${home.http}/crier.js";
    const crier = connect({ topic: "deno", retry: [10, 100] });
    crier.addEventListener("state", () => console.log(crier.state));
    console.log(await crier.send("before"));
    for await (const { json } of crier) {
      console.log(json.data);
      if (json.data === "bye") break;
    }
    console.log(await crier.send("after"));
    await crier.close();`);
  let said = "";
  const news = new EventTarget();
  deno.stdout.on("data", (data) => {
    said += data;
    news.dispatchEvent(new Event("said"));
  });
  const ended = once(deno, "close").then(([code]) => assert.equal(code, 0, complaints));
  const says = async (line) => {
    const holds = () => `\n${said}`.includes(`\n${line}\n`);
    if (!holds()) await Promise.race([happens(news, "said", holds), ended.then(() => assert.ok(holds(), `it said ${said}`))]);
  };
  await says("confirmed");
  await home.stop();
  await says("waiting");
  said = "";
  await home.start();
  await says("open");
  await home.publish("bye", "?topic=deno");
  await says("bye");
  await says("closed");
  await says("confirmed");
  await ended;
});

test("live knows who is there and what was set", async (t) => {
  const home = await Home.open(t);
  const ann = join(t, home.url, { app: "live", topic: ["a", "b"], user: "ann" });
  await becomes(ann, "open");
  const arrives = happens(ann, "join", ({ user }) => user === "bob");
  const bob = join(t, () => home.url + "/live", { app: "live", topic: "a", user: "bob", token: undefined });
  const { id } = await arrives;
  await becomes(bob, "open");
  assert.deepEqual([bob.id, bob.user, bob.here], [id, "bob", ann.here]);
  const all = happens(bob, "message", ({ json }) => json.data === "psst");
  for (const value of [5, [1], { v: 1 }, { data: 1 }, { _v: 1 }, null, "text"]) {
    assert.equal(await bob.set("q", value), "confirmed");
    assert.deepEqual([bob.state.get("q"), bob.room().state.get("q")], [value, value]);
  }
  await Promise.all([ann.set("t", 1, { tied: true }), ann.set("o", 2, { own: true }), ann.to(id, "psst")]);
  await all;
  assert.deepEqual([bob.room().theirs.get(ann.id).get("t"), bob.room().theirs.get("ann").get("o")], [1, 2]);
  assert.deepEqual([await ann.to("nobody", 1), await ann.send({ n: 1 }, { keep: false }), await bob.send(new Uint8Array(3))], ["refused", "confirmed", "confirmed"]);
  assert.deepEqual([await ann.leave("b"), await ann.join("c"), ann.room("b"), ann.room("c").here.length], ["confirmed", "confirmed", undefined, 1]);
  const leaves = happens(bob, "leave");
  await ann.close();
  assert.equal((await leaves).why, "left");
  assert.deepEqual([bob.here, bob.room().theirs.get(ann.id).size], [[{ id, user: "bob" }], 0]);
});

for (const late of [false, true]) {
  test(`in live, over a network that stops${late ? " and delivers much later" : ""}, all is published once`, async (t) => {
    const home = await Home.open(t);
    const network = await Network.open(t, home);
    const ann = join(t, network.url, { app: "live", topic: "a", user: "ann" });
    const witness = join(t, home.url, { app: "live", topic: "a" });
    await Promise.all([becomes(ann, "open"), becomes(witness, "open")]);
    const [own, heard] = [listen(ann), listen(witness)];
    const { id } = ann;
    let missed = false;
    ann.addEventListener("hello", (event) => (missed ||= event.missed));
    const talk = talkative(ann);
    for (let stop = 0; stop < 3; stop++) await interrupt(ann, network, heard, witness, late);
    const { fates, last } = await talk.stop();
    assert.deepEqual(count(fates), { confirmed: last });
    if (heard.at(-1) !== last) await happens(witness, "message", () => heard.at(-1) === last);
    assert.deepEqual([heard, ann.id], [range(1, last), id]);
    if (!missed) assert.deepEqual(own, range(1, last)); // the server keeps a hundred messages
  });
}

test("in live, a page that is loaded again goes on with its session, and a copy of its tab does not", async (t) => {
  const home = await Home.open(t);
  const network = await Network.open(t, home);
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  const { sessionStorage } = globalThis;
  globalThis.sessionStorage = Object.defineProperty({}, "removeItem", { value() {} });
  t.after(() => {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
    globalThis.sessionStorage = sessionStorage;
  });
  const load = async (retry) => {
    const crier = join(t, network.url, { app: "live", topic: "a", user: "ann", retry });
    await becomes(crier, "open");
    return crier;
  };
  const first = await load([1e9, 1e9]);
  await first.set("q", 1, { tied: true });
  page.dispatchEvent(new Event("pagehide"));
  network.freeze();
  network.thaw();
  await becomes(first, "waiting");
  const [again, copy] = [await load(), await load()];
  assert.equal(again.id, first.id);
  assert.notEqual(copy.id, first.id);
  if (again.here.length < 2) await happens(again, "join");
  assert.equal(again.room().theirs.get(first.id).get("q"), 1);
});

test("in live, it comes back from some ends only", async (t) => {
  const home = await Home.open(t);
  const thief = join(t, home.url, { app: "live", topic: "a" });
  const greeted = happens(thief, "hello");
  const { resume } = await greeted;
  new WebSocket(`${home.url}/live?topic=a&resume=${resume}`).on("error", () => {});
  await becomes(thief, "closed");
  assert.match(thief.ended.reason, /^taken-over/);
  thief.reconnect();
  await becomes(thief, "open");
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  const url = `ws://127.0.0.1:${server.address().port}`;
  const asked = [];
  server.on("connection", (socket, request) => {
    asked.push(tokenOf(request));
    if (asked.length === 1) socket.close(1008, "expired: this token has expired");
    else socket.close(4401, "no-access: this token is not valid");
  });
  const crier = join(t, url, { app: "live", topic: "a", token: () => `t${asked.length}` });
  await becomes(crier, "closed");
  assert.deepEqual([asked, crier.ended], [["t0", "t1"], { code: 4401, reason: "no-access: this token is not valid" }]);
});

// tokenOf returns the token that a handshake shows, which must not be in the address.
function tokenOf({ url, headers }) {
  assert.doesNotMatch(url, /token/);
  const [name, token] = headers["sec-websocket-protocol"].split(",");
  assert.equal(name, "crier");
  return Buffer.from(token.replace("crier.token.", ""), "base64url").toString();
}

// talkative has a client say {"n":1}, {"n":2} … until it is stopped. It then returns what became of each.
function talkative(crier) {
  const fates = [];
  let going = true;
  const done = (async () => {
    for (let n = 1; going; n++) {
      fates.push(crier.send(`{"n":${n}}`));
      if (crier.pending > 500) await Promise.race(fates.slice(-200)); // no more than are kept
      else await soon();
    }
  })();
  return {
    async stop() {
      going = false;
      await done;
      return { fates: await Promise.all(fates), last: fates.length };
    },
  };
}

// interrupt stops the network in the middle of a talk, until the client has noticed, and waits until it talks again.
async function interrupt(ann, network, heard, witness, late) {
  const before = heard.length;
  await happens(witness, "message", () => heard.length > before + 200);
  network.freeze();
  await becomes(ann, "waiting");
  network.thaw(late);
  const now = heard.at(-1);
  await happens(witness, "message", () => heard.at(-1) > now + 100);
}

// tell has the witness hear a last message, behind all others.
async function tell(witness, home) {
  const heard = happens(witness, "message", ({ json }) => json.n === undefined);
  await home.publish("that is all");
  await heard;
  await becomes(witness, "open");
}

function count(fates) {
  const counts = {};
  for (const fate of fates) counts[fate] = (counts[fate] ?? 0) + 1;
  return counts;
}

function confirmed(fates) {
  return fates.flatMap((fate, i) => (fate === "confirmed" ? [i + 1] : []));
}

function ascends(numbers) {
  for (let i = 1; i < numbers.length; i++) assert.ok(numbers[i] > numbers[i - 1], `${numbers[i]} comes after ${numbers[i - 1]}`);
}
