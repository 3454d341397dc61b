// crier.js: a WebSocket that comes back.
//
// What it promises is in README.md, what it is called in crier.d.ts.

const inFlight = 4096; // messages handed to a connection that have yet to come back
const mostBytes = 16 << 20; // of all messages that are kept
const mostUnread = 10_000; // messages that a for await may be behind
const mostSenders = 1000; // whose last number is remembered
const stable = 5000; // ms
const slept = 90_000; // ms: no timer is so late otherwise; hidden pages have one a minute

// It was meant, or is this client's fault: coming back would not help.
const forGood = (code) => code === 1000 || code === 1002 || code === 1003 || (code > 1006 && code < 1011) || code > 2999;

// crier closes so behind all that it has published: what has not come back was not published.
const settled = /^(the server is going away|no message for too long|Connection Closed Normally)$/;

// Apps in which one's own messages do not come back marked.
const unmarked = /\/(bridge|chat|rooms|directory)\/?$/;

class Heard extends Event {
  #json;
  constructor(data) {
    super("message");
    this.data = data;
  }
  get json() {
    try {
      return (this.#json ??= JSON.parse(this.data));
    } catch {} // undefined: it is no JSON
  }
}

export const connect = (url, options) =>
  url === undefined || url instanceof URL || typeof url === "string" ? new Crier(url, options) : new Crier(undefined, url);

export class Crier extends EventTarget {
  state = "connecting"; // → open → waiting → connecting …, until it is closed
  ended = null; // how the last connection ended
  retryAt = 0; // while waiting

  #o;
  #confirms; // one's own messages come back

  // All that is kept, in order. The first #sent were handed to the socket and have yet to come back.
  #queue = [];
  #sent = 0;
  #bytes = 0;

  #socket = null;
  #counts; // every copy comes back on this connection
  #opened = 0;
  #alive = 0; // its last sign of life
  #heard = 0;
  #beating = false; // nothing was heard since a heartbeat
  #buffered = 0;
  #tries = 0;
  #ticked = Date.now();
  #ticking;
  #retrying;
  #leaving = []; // whom to tell of the end, once close was called

  #name = Math.random().toString(36).slice(2, 10);
  #count = 0; // ids are name-count
  #last = new Map(); // the last count heard of each name

  constructor(url = new URL(".", import.meta.url), options) {
    super();
    const o = (this.#o = {
      WebSocket: globalThis.WebSocket,
      topic: [],
      echo: true,
      queue: 1000,
      retry: [500, 30_000],
      timeout: 15_000,
      heartbeat: 0,
      beat: '{"_beat":true}',
      ...options,
    });
    const at = new URL(url, globalThis.location?.href);
    const query = at.searchParams;
    at.protocol = at.protocol.replace("http", "ws");
    for (const name of [o.topic].flat()) query.append("topic", name);
    if (o.user !== undefined) query.set("user", o.user);
    if (!o.echo) query.set("echo", "0");
    this.url = at.href;
    this.#confirms = o.confirm ?? (query.get("echo") !== "0" && !unmarked.test(at.pathname));
    if (o.once && !this.#confirms) throw new TypeError("once needs an app that marks what is one's own");
    if (!o.WebSocket) throw new TypeError('no WebSocket here: connect(url, { WebSocket }) with that of the package "ws"');
    this.#dial();
    this.#ticking = setInterval(this.#tick, Math.min(1000, o.timeout / 4));
    globalThis.addEventListener?.("online", this.#online);
  }

  get pending() {
    return this.#queue.length;
  }

  send(data) {
    return new Promise((fate) => {
      const text = typeof data === "string";
      const m = { data, fate, text, size: text ? data.length : (data.byteLength ?? data.size) };
      const waiting = this.#queue.length - this.#sent;
      const now = this.#open() && !waiting && this.#sent < inFlight;
      if (this.state === "closed" || this.#leaving.length) return this.#drop(m, "dropped", "closed");
      if ((!now && waiting >= this.#o.queue) || this.#bytes + m.size > mostBytes) return this.#drop(m, "dropped", "full");
      this.#queue.push(m);
      this.#bytes += m.size;
      this.#flush();
    });
  }

  close() {
    return new Promise((left) => {
      if (this.state === "closed") return left();
      this.#leaving.push(left);
      this.#leave();
    });
  }

  async *[Symbol.asyncIterator]() {
    const unread = [];
    let lost = 0;
    let wake;
    const listen = (event) => {
      if (event.type === "message") lost || unread.length === mostUnread ? lost++ : unread.push(event);
      wake?.();
    };
    this.addEventListener("message", listen);
    this.addEventListener("state", listen);
    try {
      for (;;) {
        while (unread.length) yield unread.shift();
        if (lost) throw new Error(`for await is too slow: ${lost} messages were lost`);
        if (this.state === "closed") return;
        await new Promise((resolve) => (wake = resolve));
      }
    } finally {
      this.removeEventListener("message", listen);
      this.removeEventListener("state", listen);
    }
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  #dial = () => {
    clearTimeout(this.#retrying);
    const socket = (this.#socket = new this.#o.WebSocket(this.url));
    const on = (type, then) => socket.addEventListener(type, (event) => socket === this.#socket && then(event));
    socket.binaryType = "arraybuffer";
    on("open", () => this.#welcome());
    on("message", ({ data }) => this.#hear(data));
    on("close", ({ code, reason, wasClean }) => this.#end(code, reason, wasClean && settled.test(reason)));
    on("error", () => {}); // close follows
    this.#alive = Date.now();
    this.#become("connecting");
  };

  #welcome() {
    this.#opened = this.#alive = this.#heard = Date.now();
    this.#counts = true;
    this.#beating = false;
    this.#become("open");
    this.#flush();
  }

  #open() {
    return this.state === "open" && this.#socket?.readyState === 1;
  }

  #flush() {
    while (this.#open() && this.#sent < Math.min(this.#queue.length, inFlight)) {
      const m = this.#queue[this.#sent];
      if (!this.#sent) this.#alive = Date.now();
      if (this.#o.once && m.text) m.id ??= ++this.#count;
      this.#socket.send(m.id ? named(m.data, `${this.#name}-${m.id}`) : m.data);
      if (m.text && this.#confirms && this.#counts) this.#sent++;
      else this.#take(this.#sent, 1, "sent");
    }
    this.#leave();
  }

  // take tells n messages, from index on, what became of them; why, if it is bad news.
  #take(index, n, fate, why) {
    const taken = this.#queue.splice(index, n);
    if (index < this.#sent) this.#sent -= taken.length;
    for (const m of taken) {
      this.#bytes -= m.size;
      if (why) this.#drop(m, fate, why);
      else m.fate(fate);
    }
  }

  #drop(m, fate, why) {
    m.fate(fate);
    if (m.data !== this.#o.beat) this.dispatchEvent(Object.assign(new Event("drop"), { data: m.data, fate, why }));
  }

  #hear(data) {
    this.#heard = this.#alive = Date.now();
    this.#beating = false;
    const event = new Heard(data);
    const text = typeof data === "string" ? data : "";
    const known = this.#confirms && this.#account(event, text);
    if (!known && !text.startsWith('{"_beat":true')) this.dispatchEvent(event);
    this.#flush();
  }

  // account looks for what came back. It returns true for what was heard before.
  #account(event, text) {
    if (this.#o.once) return text.includes('"_id":"') && this.#again(event.json);
    if (text.includes('"_me":true') && event.json?._me === true) this.#take(0, Math.min(1, this.#sent), "confirmed");
    else if (text.startsWith('{"_skipped":') && event.json?._me === undefined) {
      this.#counts = false; // some of what was skipped may be our own
      this.#take(0, this.#sent, "unsure", "skipped");
    }
  }

  #again(json) {
    const [, name, count] = /^(\w+)-(\d+)$/.exec(json?._id) ?? [];
    if (!name) return false;
    const last = this.#last.get(name) ?? 0;
    if (name === this.#name) {
      json._me = true; // though an earlier connection of ours may have said it
      while (this.#sent && this.#queue[0].id <= count) this.#take(0, 1, "confirmed");
    }
    if (count <= last) return true;
    this.#last.delete(name); // to the end: who spoke last is forgotten last
    this.#last.set(name, +count);
    if (this.#last.size > mostSenders) this.#last.delete(this.#last.keys().next().value);
    return false;
  }

  #tick = () => {
    const now = Date.now();
    const late = now - this.#ticked > slept;
    this.#ticked = now;
    if (!this.#socket) return;
    if (late) return this.#lose("the machine slept");
    const { bufferedAmount } = this.#socket;
    if (bufferedAmount !== this.#buffered) this.#alive = now; // it takes what we say
    this.#buffered = bufferedAmount;
    const waits = this.#sent || this.#beating || this.state !== "open";
    if (waits && now - this.#alive > this.#o.timeout) return this.#lose("no answer");
    const { heartbeat, beat } = this.#o;
    if (heartbeat && !this.#beating && this.#open() && now - this.#heard > heartbeat * (0.75 + Math.random() / 2)) {
      this.#alive = now;
      this.#beating = true;
      this.send(beat);
    }
  };

  #online = () => {
    if (this.state === "waiting") this.#dial();
    else if (this.state === "open") this.#lose("the network was gone");
  };

  // lose gives up a connection.
  #lose(reason) {
    const socket = this.#socket;
    this.#end(1006, reason);
    socket.close();
  }

  #end(code, reason, settled) {
    const now = Date.now();
    this.#socket = null;
    this.ended = { code, reason };
    if (!settled && !this.#o.once) this.#take(0, this.#sent, "unsure", "lost");
    this.#sent = 0; // what is left is sent again
    if (forGood(code) || this.#leaving.length) return this.#quit();
    if (this.#opened && now - this.#opened > stable) this.#tries = 0;
    this.#opened = 0;
    const [first, longest] = this.#o.retry;
    const wait = Math.random() * Math.min(longest, first * 2 ** this.#tries++);
    this.retryAt = now + wait;
    this.#retrying = setTimeout(this.#dial, wait);
    this.#become("waiting");
  }

  // leave ends it all, if that is wished and nothing is on its way.
  #leave() {
    if (!this.#leaving.length || (this.#open() && this.#queue.length)) return;
    const socket = this.#socket;
    this.#socket = null;
    this.ended = { code: 1000, reason: "" };
    this.#quit();
    socket?.close(1000);
  }

  #quit() {
    clearInterval(this.#ticking);
    clearTimeout(this.#retrying);
    globalThis.removeEventListener?.("online", this.#online);
    this.#become("closed");
    while (this.#queue.length) this.#take(0, 1, this.#sent || this.#queue[0].id ? "unsure" : "dropped", "closed");
    for (const left of this.#leaving.splice(0)) left();
  }
}

// named returns what the server makes of a text, before its stamps, with an id.
function named(text, id) {
  const member = `"_id":"${id}"}`;
  let value;
  try {
    value = JSON.parse(text);
    text = text.trim();
  } catch {
    value = text = JSON.stringify(text);
  }
  if (value === null) return "{" + member;
  if (typeof value !== "object") return `{"data":${text},${member}`;
  if (Array.isArray(value)) text = JSON.stringify({ ...value });
  return text.slice(0, -1) + (/^{\s*}$/.test(text) ? "" : ",") + member;
}
