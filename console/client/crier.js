// A WebSocket that comes back: see README.md and crier.d.ts.

const inFlight = 1024;
const mostIds = 8192; // of a sender
const mostBytes = 16 << 20;
const mostUnread = 10_000;
const mostSenders = 1000;
const stable = 5000; // ms
const slept = 90_000;

const forGood = /^(100[0237-9]|1010|[34]...)$/;

// Behind all that was published.
const settled = /^(going-away|idle|topic-removed|Connection Closed Normally)\b/;

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
    } catch {}
  }
}

export const connect = (url, options) =>
  url instanceof URL || typeof url === "string" ? new Crier(url, options) : new Crier(undefined, url ?? options);

export class Crier extends EventTarget {
  state = "connecting";
  ended = null;
  retryAt = 0;

  #o;
  #confirms;
  #queue = []; // the first #sent have yet to come back
  #sent = 0;
  #bytes = 0;

  #socket = null;
  #counts; // every copy comes back on this connection
  #opened = 0;
  #alive = 0;
  #beating = false;
  #firsts = 0; // to come back
  #buffered = 0;
  #tries = 0;
  #ticked = Date.now();
  #ticking;
  #retrying;
  #leaving = [];
  #left;
  #telling = false;

  #name = Math.random().toString(36).slice(2, 10); // ids are name-count
  #count = 0;
  #last = new Map();

  constructor(url = import.meta.url.replace(/[^/]*$/, ""), options) {
    super();
    const o = (this.#o = {
      WebSocket: globalThis.WebSocket,
      topic: [],
      first: [],
      echo: true,
      queue: 1000,
      retry: [500, 30_000],
      timeout: 15_000,
      heartbeat: 0,
      beat: '{"_beat":true}',
    });
    for (const name in options) o[name] = options[name] ?? o[name];
    const at = new URL(url, globalThis.location?.href);
    const query = at.searchParams;
    at.protocol = at.protocol.replace("http", "ws");
    at.hash = "";
    for (const name of [o.topic].flat()) query.append("topic", name);
    if (o.user !== undefined) query.set("user", o.user);
    if (!o.echo) query.set("echo", "0");
    this.url = at.href;
    this.#confirms = o.confirm ?? (query.get("echo") !== "0" && !unmarked.test(at.pathname));
    if (o.once && !this.#confirms) throw new TypeError("once needs marked echoes");
    if (o.heartbeat && query.get("echo") === "0") throw new TypeError("heartbeat needs echoes");
    if (!o.WebSocket) throw new TypeError('no WebSocket here: give that of the package "ws"');
    this.#dial();
    this.#ticking = setInterval(this.#tick, Math.min(1000, o.timeout / 4));
    globalThis.addEventListener?.("online", this.#online);
  }

  get pending() {
    return this.#queue.length;
  }

  send(data) {
    const text = typeof data === "string";
    const size = text ? data.length : (data?.byteLength ?? data?.size);
    if (!(size >= 0)) throw new TypeError("neither text nor binary");
    return new Promise((fate) => {
      const m = { data, fate, text, size };
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
      this.#left ??= Date.now();
      this.#leaving.push(left);
      this.#leave();
    });
  }

  async *[Symbol.asyncIterator]() {
    const unread = [];
    let lost = false;
    let wake;
    const listen = (event) => {
      if (event.type === "message") lost ||= unread.push(event) > mostUnread;
      wake?.();
    };
    this.addEventListener("message", listen);
    this.addEventListener("state", listen);
    try {
      for (;;) {
        while (unread.length) yield unread.shift();
        if (lost) throw new Error("for await is too slow");
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
    on("error", () => {});
    this.#alive = Date.now();
    this.#become("connecting");
  };

  #welcome() {
    this.#opened = this.#alive = Date.now();
    this.#counts = true;
    this.#beating = false;
    const first = [this.#o.first].flat();
    this.#firsts = first.length;
    for (const text of first) this.#socket.send(text);
    this.#become("open");
    this.#flush();
  }

  #open() {
    return this.state === "open" && this.#socket?.readyState === 1;
  }

  #flush() {
    while (this.#open() && this.#sent < Math.min(this.#queue.length, inFlight)) {
      const m = this.#queue[this.#sent];
      if (this.#o.once && m.text && !m.id) {
        if (this.#sent && this.#count - this.#queue[0].id > inFlight - 2) break;
        m.id = ++this.#count;
      }
      m.at = Date.now();
      if (!this.#sent) this.#alive = m.at;
      try {
        this.#socket.send(m.id ? named(m.data, `${this.#name}-${m.id}`) : m.data);
      } catch {
        this.#take(this.#sent, 1, "dropped", "refused");
        continue;
      }
      if (m.text && this.#confirms && (this.#counts || m.id)) this.#sent++;
      else this.#take(this.#sent, 1, "sent");
    }
    this.#leave();
  }

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
    if (this.#telling || m.data === this.#o.beat) return;
    this.#telling = true;
    this.dispatchEvent(Object.assign(new Event("drop"), { data: m.data, fate, why }));
    this.#telling = false;
  }

  #hear(data) {
    this.#alive = Date.now();
    this.#beating = false;
    const event = new Heard(data);
    const text = typeof data === "string" ? data : "";
    const known = this.#confirms && this.#account(event, text);
    if (!known && !text.startsWith('{"_beat":true')) this.dispatchEvent(event);
    this.#flush();
  }

  // account returns true for what was heard before.
  #account(event, text) {
    // Unstamped, it is the server's own word.
    const word = /^{"(_skipped|message)":/.test(text) && event.json && event.json._me === undefined;
    if (word && text[2] === "_") {
      this.#counts = false;
      if (!this.#o.once) this.#take(0, this.#sent, "unsure", "skipped");
    } else if (this.#o.once) return text.includes('"_id":"') && this.#again(event.json);
    else if (word && event.json.requestId) this.#take(0, Math.min(1, this.#sent), "unsure", "failed");
    else if (text.includes("true") && event.json?._me === true) {
      if (this.#firsts) this.#firsts--;
      else this.#take(0, Math.min(1, this.#sent), "confirmed");
    }
  }

  #again(json) {
    const [, name, digits] = /^(\w+)-(\d{1,15})$/.exec(json?._id) ?? [];
    const count = +digits;
    const own = name === this.#name;
    if (!name || (own && count > this.#count)) return false;
    if (own) {
      json._me = true; // an earlier connection may have said it
      // Who skips keeps the order: all before it are published, too.
      const back = this.#queue.filter(({ id }) => id === count || (!this.#counts && id < count));
      for (const m of back) this.#take(this.#queue.indexOf(m), 1, "confirmed");
    }
    // Bit i of heard is of id last - i: on API Gateway messages overtake each other.
    let { last, heard } = this.#last.get(name) ?? { last: count, heard: 0n };
    const late = last - count;
    if (late >= mostIds || (late >= 0 && (heard >> BigInt(late)) & 1n)) return true;
    if (late < 0) heard = late > -mostIds ? BigInt.asUintN(mostIds, heard << BigInt(-late)) : 0n;
    heard |= 1n << BigInt(Math.max(0, late));
    this.#last.delete(name);
    this.#last.set(name, { last: Math.max(last, count), heard });
    if (this.#last.size > mostSenders) this.#last.delete(this.#last.keys().next().value);
    return false;
  }

  #tick = () => {
    const now = Date.now();
    const wokeUp = now - this.#ticked > slept;
    this.#ticked = now;
    if (!this.#socket) return;
    if (wokeUp) return this.#lose("the machine slept");
    const { bufferedAmount } = this.#socket;
    if (bufferedAmount !== this.#buffered) this.#alive = now;
    this.#buffered = bufferedAmount;
    const { heartbeat, beat, timeout } = this.#o;
    const head = this.#sent && this.#queue[0];
    if (head && bufferedAmount) head.at = now;
    const waits = head || this.#beating || this.state !== "open";
    const late = waits && now - this.#alive > timeout;
    if (late || now - head.at > 4 * timeout || now - this.#left > timeout) return this.#lose("no answer");
    if (heartbeat && !this.#beating && this.#open() && now - this.#alive > heartbeat * (0.75 + Math.random() / 2)) {
      this.#alive = now;
      this.#beating = true;
      this.send(beat);
    }
  };

  #online = () => {
    if (this.state === "waiting") this.#dial();
    else if (this.state === "open") this.#lose("the network was gone");
  };

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
    if (this.state === "closed") return;
    this.#sent = 0;
    if (forGood.test(code) || this.#leaving.length) return this.#quit();
    if (this.#opened && now - this.#opened > stable) this.#tries = 0;
    this.#opened = 0;
    const [first, longest] = this.#o.retry;
    const wait = Math.random() * Math.min(longest, first * 2 ** this.#tries++);
    this.retryAt = now + wait;
    this.#retrying = setTimeout(this.#dial, wait);
    this.#become("waiting");
  }

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

// named returns what the server makes of a text, with an id.
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
