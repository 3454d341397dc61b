const inFlight = 1024;
const mostIds = 8192;

const forGood = /^(100[0237-9]|1010|[34])/;

const afterAllCopies = /^(going-away|idle|topic-removed|Connection Closed Normally)\b/;

const latin1 = new TextDecoder("latin1");

const unmarked = /\/(bridge|chat|rooms|directory)\/?$/;

const emptyRoom = () => ({ here: [], state: new Map(), theirs: new Map() });

const base64url = (text) =>
  btoa(String.fromCharCode(...new TextEncoder().encode(text))).replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_");

export const connect = (url, options) =>
  url?.constructor === Object ? new Crier(undefined, url) : new Crier(url, options);

export class Crier extends EventTarget {
  status = "connecting";
  ended = null;
  retryAt = 0;

  #o;
  #confirms;
  #queue = [];
  #sent = 0; // of #queue
  #bytes = 0;

  #socket;
  #counts;
  #opened;
  #alive;
  #beating;
  #firsts = 0;
  #buffered;
  #tries = 0;
  #ticked = Date.now();
  #ticking;
  #retrying;
  #leaving = [];
  #telling;

  #name = Math.random().toString(36).slice(2, 10);
  #count = 0;
  #heard = new Map();

  #rooms;
  #resume;
  #said = 0;
  #rivals = 0;
  #replays = new Set();

  constructor(url, options) {
    super();
    const o = (this.#o = {
      WebSocket: globalThis.WebSocket,
      topic: [],
      first: [],
      echo: true,
      queue: 1000,
      retry: [500, 30_000],
      timeout: 15_000,
    });
    for (const name in options) if (options[name] != null) o[name] = options[name];
    o.url = url ?? o.url ?? new URL(".", import.meta.url);
    this.#locate(o.url.call ? import.meta.url : o.url);
    if (o.url.call || o.token?.call) this.#dial();
    else this.#connect(o.url, o.token);
  }

  get pending() {
    return this.#queue.length;
  }

  get state() {
    return this.#rooms ? this.room()?.state : this.status;
  }

  get here() {
    return this.room().here;
  }

  room(topic = this.#rooms.keys().next().value) {
    return this.#rooms.get(topic);
  }

  send(data, options, topic) {
    if (this.#rooms && (options || !(typeof data === "string" || data?.byteLength >= 0))) {
      data = typeof data === "object" ? { ...data } : { data };
      for (const name in options) data["_" + name] = options[name];
      data = JSON.stringify(data);
    }
    const text = typeof data === "string";
    const size = text ? data.length : data?.byteLength ?? data?.size;
    if (!(size >= 0)) throw new TypeError("no text or bytes");
    return new Promise((fate) => {
      const m = { data, fate, text, size, topic };
      if (this.status === "closed" || this.#leaving.length) return this.#drop(m, "dropped", "closed");
      if (this.#bytes + size > 16 << 20) return this.#drop(m, "dropped", "full");
      this.#bytes += size;
      const last = this.#queue.push(m) - 1;
      this.#flush();
      if (last - this.#sent >= this.#o.queue) this.#take(last, 1, "dropped", "full");
    });
  }

  to(to, data, options) {
    return this.send(data, { ...options, to });
  }

  set(key, value, options) {
    const plain = value?.constructor === Object && !/(^|,)_|^data$/.test(Object.keys(value));
    return this.send(plain ? value : { data: value }, { ...options, key });
  }

  unset(key, options) {
    return this.send({}, { ...options, key, drop: true });
  }

  join(topic, options) {
    this.#rooms.set(topic, { ...emptyRoom(), ...options });
    return this.send({}, { ...options, join: topic }, topic);
  }

  leave(topic) {
    this.#rooms.delete(topic);
    return this.send({}, { leave: topic }, topic);
  }

  reconnect = () => {
    if (this.#socket) this.#lose("reconnect");
    if (this.status !== "connecting") this.#dial();
  };

  close() {
    return new Promise((left) => {
      if (this.status === "closed") return left();
      left.at = Date.now();
      this.#leaving.push(left);
      this.#leave();
    });
  }

  async *[Symbol.asyncIterator]() {
    const unread = [];
    let lost;
    let wake;
    const listen = (event) => {
      if (event.type === "message") lost ||= unread.push(event) > 10_000;
      wake?.();
    };
    for (const type of ["message", "state"]) this.addEventListener(type, listen);
    try {
      for (;;) {
        while (unread.length) yield unread.shift();
        if (lost) throw new Error("too slow");
        if (this.status === "closed") return;
        await new Promise((then) => (wake = then));
      }
    } finally {
      for (const type of ["message", "state"]) this.removeEventListener(type, listen);
    }
  }

  #tell(type, members) {
    this.dispatchEvent(Object.assign(new Event(type), members));
  }

  #become(status) {
    this.status = status;
    this.#tell("state");
  }

  #dial = async () => {
    clearTimeout(this.#retrying);
    this.status = "connecting";
    const { url, token } = this.#o;
    try {
      this.#connect(url.call ? await url() : url, token?.call ? await token() : token);
    } catch (error) {
      this.#end(String(error));
    }
  };

  #connect(url, token) {
    if (this.status !== "connecting" || this.#socket) return;
    const socket = new this.#o.WebSocket(this.#locate(url), token ? ["crier", "crier.token." + base64url(token)] : []);
    const on = (type, then) => socket.addEventListener(type, (event) => socket === this.#socket && then(event));
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    on("open", () => {
      this.#opened = this.#alive = Date.now();
      this.#counts = true;
      this.#beating = false;
      const first = [this.#o.first].flat();
      this.#firsts = this.#rooms?.size ?? first.length;
      for (const text of first) socket.send(text);
      if (!this.#rooms) this.#become("open");
      this.#flush();
    });
    on("message", (event) => this.#hear(event));
    on("close", ({ code, reason }) => {
      if (this.ended || this.#opened || globalThis.origin !== "null") return this.#end(reason, code);
      this.#end("file:// needs crier serve --files DIR, or --allow-origin null", 4403);
    });
    on("error", () => {});
    this.#alive = Date.now();
    this.#become("connecting");
    this.#ticking ??= setInterval(this.#tick, Math.min(1000, this.#o.timeout / 4));
    globalThis.addEventListener?.("online", this.reconnect);
    globalThis.addEventListener?.("pagehide", this.#hide);
  }

  #locate(url) {
    const o = this.#o;
    const at = new URL(url, globalThis.location);
    const query = at.searchParams;
    at.hash = "";
    at.protocol = at.protocol.replace("http", "ws");
    if (o.app) at.pathname = at.pathname.replace(/(\/live)?\/?$/, "/live");
    for (const name of [o.topic].flat()) query.append("topic", name);
    for (const name of ["user", "last", "presence"]) if (name in o) query.set(name, o[name]);
    if (!o.echo) query.set("echo", "0");
    this.url = at.href;
    const echo = query.get("echo") !== "0";
    this.#confirms = o.confirm ?? (echo && !unmarked.test(at.pathname));
    if ((o.once && !this.#confirms) || (o.heartbeat && !echo)) throw new TypeError("needs echoes");
    if (!o.WebSocket) throw new TypeError("needs package ws");
    o.beat ??= o.app ? '{"_beat":true,"_keep":false}' : '{"_beat":true}';
    if (o.app) this.#rejoin(query);
    return at.href;
  }

  #rejoin(query) {
    this.#rooms ??= new Map(query.getAll("topic").map((topic) => [topic, emptyRoom()]));
    try {
      if (!this.id) [this.id, this.#resume] = sessionStorage[this.url].split(" ");
      delete sessionStorage[this.url];
    } catch {}
    query.delete("topic");
    for (const [topic, { since = "", last }] of this.#rooms) {
      query.append("topic", topic);
      if (this.id) query.append("since", since);
      if (!since && last) query.set("last", last);
    }
    if (this.id) query.set("resume", this.#resume);
  }

  #hide = () => {
    if (this.id) sessionStorage[this.url] = this.id + " " + this.#resume;
  };

  #open = () => this.status === "open" && this.#socket?.readyState === 1;

  #flush() {
    while (this.#open() && this.#sent < Math.min(this.#queue.length, inFlight)) {
      const m = this.#queue[this.#sent];
      if (this.#o.once && m.text && !m.id) {
        if (this.#sent && this.#count - this.#queue[0].id > inFlight - 2) break;
        m.id = ++this.#count;
      }
      m.at = Date.now();
      if (!this.#sent) this.#alive = m.at;
      if (this.#rooms?.get(m.topic)?.greeted) {
        this.#take(this.#sent, 1, "confirmed");
        continue;
      }
      try {
        this.#socket.send(m.id ? named(m.data, `${this.#name}-${m.id}`) : m.data);
        if (this.#confirms && (this.#rooms || (m.text && (this.#counts || m.id)))) this.#sent++;
        else this.#take(this.#sent, 1, "sent");
      } catch {
        this.#take(this.#sent, 1, "dropped", "refused");
      }
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

  #answer(fate, why) {
    if (!this.#sent) return;
    this.#said++;
    this.#take(0, 1, fate, why);
    return true;
  }

  #drop(m, fate, why) {
    m.fate(fate);
    if (this.#telling || m.data === this.#o.beat) return;
    this.#telling = true;
    this.#tell("drop", { data: m.data, fate, why });
    this.#telling = false;
  }

  #hear({ data }) {
    this.#alive = Date.now();
    this.#beating = false;
    let json;
    try {
      json = JSON.parse(data);
    } catch {
      if (/^({.*}\n)+{.*}$/.test(data)) return data.split("\n").map((data) => this.#hear({ data }));
    }
    const known = this.#rooms ? this.#follow(data, json) : this.#confirms && this.#account(json);
    if (!known && !json?._beat) this.#tell("message", { data, json });
    this.#flush();
  }

  #follow(data, json) {
    const [m] = this.#queue;
    if (!json) {
      if (m && !m.text && latin1.decode(m.data) === latin1.decode(data)) this.#answer("confirmed");
      return;
    }
    const { _topic: topic, _hello, _join, _leave, _key } = json;
    const room = this.#rooms.get(topic);
    const fresh = !this.#replays.has(topic);
    if (json._error) return this.#answer("refused", json._error.name);
    if ((json._me && fresh) || _leave?.id === this.id) this.#answer("confirmed");
    if (json._ready) this.#replays.delete(topic);
    if (_hello) {
      this.#replays.add(topic);
      this.#greet(_hello, room);
    }
    if (!room?.greeted) return true;
    room.since = json._offset || room.since;
    if (_key !== undefined) {
      const who = json._tied ? json._from : json._own && json._user;
      const state = who ? (room.theirs.get(who) ?? new Map()) : room.state;
      const value = { ...json };
      for (const name in value) if (name[0] === "_") delete value[name];
      if (who) room.theirs.set(who, state);
      if (json._drop) state.delete(_key);
      else state.set(_key, Object.keys(value) == "data" ? value.data : value);
    }
    const { same, ...who } = _join ?? _leave ?? {};
    if (who.id && fresh) room.here = room.here.filter(({ id }) => id !== who.id);
    if (_join && fresh) room.here.push(who);
    for (const type of ["hello", "ready", "join", "leave"]) {
      if (json["_" + type]) return !this.#tell(type, { ...json["_" + type], topic });
    }
  }

  #greet({ id, user, resume, said, here, missed }, room) {
    const tried = this.#queue.filter(({ at }) => at).length;
    if (room) Object.assign(room, missed && emptyRoom(), { here, greeted: true });
    if (id === this.id) this.#take(0, Math.min(said - this.#said, tried), "confirmed");
    else this.#take(0, tried, "unsure", "lost");
    [this.id, this.user, this.#resume, this.#said] = [id, user, resume, said];
    if (this.#socket && !--this.#firsts) this.#become("open");
  }

  #account(json) {
    const { _me, _skipped, message, requestId } = json ?? {};
    if (_me === undefined && _skipped) {
      this.#counts = false;
      if (!this.#o.once) this.#take(0, this.#sent, "unsure", "skipped");
    } else if (this.#o.once) return this.#again(json);
    else if (_me === undefined && message && requestId) this.#answer("unsure", "failed");
    else if (_me === true) {
      if (this.#firsts) this.#firsts--;
      else this.#answer("confirmed");
    }
  }

  #again(json) {
    const [, name, digits] = /^(\w+)-(\d{1,15})$/.exec(json?._id) ?? [];
    const count = +digits;
    if (!name) return;
    if (name === this.#name) {
      if (count > this.#count) return;
      json._me = true;
      for (const m of this.#queue.filter(({ id }) => id === count || (!this.#counts && id < count))) this.#take(this.#queue.indexOf(m), 1, "confirmed");
    }
    const heard = this.#heard.get(name) ?? [];
    if (heard[count % mostIds] >= count) return true;
    heard[count % mostIds] = count;
    this.#heard.delete(name);
    this.#heard.set(name, heard);
    if (this.#heard.size > 1000) this.#heard.delete(this.#heard.keys().next().value);
  }

  #tick = () => {
    const now = Date.now();
    const pause = now - this.#ticked;
    this.#ticked = now;
    if (!this.#socket) return;
    if (pause > 90_000) return this.#lose("slept");
    const { bufferedAmount } = this.#socket;
    if (bufferedAmount !== this.#buffered) this.#alive = now;
    this.#buffered = bufferedAmount;
    const { heartbeat, beat, timeout } = this.#o;
    const head = this.#sent && this.#queue[0];
    if (head && bufferedAmount) head.at = now;
    const waits = head || this.#beating || this.status !== "open";
    if ((waits && now - this.#alive > timeout) || now - head.at > 4 * timeout || now - this.#leaving[0]?.at > timeout) return this.#lose("no answer");
    if (heartbeat && !this.#beating && this.#open() && now - this.#alive > heartbeat * (0.75 + Math.random() / 2)) {
      this.#alive = now;
      this.#beating = true;
      this.send(beat);
    }
  };

  #lose(reason) {
    this.#socket.close(this.#rooms && 4000); // resumes
    this.#end(reason);
  }

  #end(reason, code = 1006) {
    const now = Date.now();
    this.#socket = undefined;
    this.ended = { code, reason };
    if (!this.#o.once) {
      if (afterAllCopies.test(reason)) for (const m of this.#queue) m.at = 0;
      else if (!this.#rooms) this.#take(0, this.#sent, "unsure", "lost");
    }
    if (this.status === "closed") return;
    this.#sent = 0;
    if (this.status !== "open") this.#rivals++;
    const expired = /^expired/.test(reason) && this.#o.token?.call;
    const robbed = /^taken/.test(reason) && this.#rivals-- > 0;
    if ((forGood.test(code) && !robbed && !expired) || this.#leaving.length) {
      if (code > 4399) console.error(reason);
      return this.#quit();
    }
    if (now - this.#opened > 5000) this.#tries = 0;
    this.#opened = undefined;
    const [first, most] = this.#o.retry;
    const wait = Math.random() * Math.min(most, first * 2 ** this.#tries++);
    this.retryAt = now + wait;
    this.#retrying = setTimeout(this.#dial, wait);
    this.#become("waiting");
  }

  #leave() {
    if (!this.#leaving.length || (this.#open() && this.#queue.length)) return;
    this.#socket?.close(1000);
    this.#end("", 1000);
  }

  #quit() {
    this.#ticking = clearInterval(this.#ticking);
    clearTimeout(this.#retrying);
    globalThis.removeEventListener?.("online", this.reconnect);
    globalThis.removeEventListener?.("pagehide", this.#hide);
    this.#become("closed");
    while (this.#queue.length) this.#take(0, 1, this.#queue[0].at ? "unsure" : "dropped", "closed");
    while (this.#leaving.length) this.#leaving.pop()();
  }
}

function named(text, id) {
  let value;
  try {
    value = JSON.parse(text);
    text = text.trim();
  } catch {
    value = text = JSON.stringify(text);
  }
  if (typeof value !== "object") text = `{"data":${text}}`;
  else if (text[0] !== "{") text = JSON.stringify({ ...value });
  return text.slice(0, -1) + (/^{\s*}$/.test(text) ? "" : ",") + `"_id":"${id}"}`;
}
