// A clock, a network and a server of live, all in memory: thousands of bad days in a few seconds. Server is the model: it
// follows the wire as slowly and as plainly as it can.

export class Random {
  #state;
  constructor(seed) {
    this.#state = seed * 2654435761;
  }
  // next returns a number from 0 to 1 (mulberry32).
  next = () => {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  below(n) {
    return Math.floor(this.next() * n);
  }
  one(list) {
    return list[this.below(list.length)];
  }
  chance(p) {
    return this.next() < p;
  }
}

// A Clock stands in for the timers of the platform.
export class Clock {
  now = 1e12;
  #due = [];
  #ids = 0;
  #real = {};

  after(wait, then, every) {
    const timer = { at: this.now + Math.max(0, wait), id: ++this.#ids, then, every };
    let low = 0;
    for (let high = this.#due.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (this.#due[middle].at <= timer.at) low = middle + 1;
      else high = middle;
    }
    this.#due.splice(low, 0, timer);
    return timer;
  }

  stop(timer) {
    const i = this.#due.indexOf(timer);
    if (i >= 0) this.#due.splice(i, 1);
    if (timer) timer.every = undefined;
  }

  install(random) {
    const fakes = {
      setTimeout: (then, wait) => this.after(wait, then),
      setInterval: (then, wait) => this.after(wait, then, wait),
      clearTimeout: (timer) => this.stop(timer),
      clearInterval: (timer) => this.stop(timer),
    };
    for (const name in fakes) {
      this.#real[name] = globalThis[name];
      globalThis[name] = fakes[name];
    }
    const { now } = Date;
    const { random: dice } = Math;
    Date.now = () => this.now;
    Math.random = random.next;
    return () => {
      Object.assign(globalThis, this.#real);
      Date.now = now;
      Math.random = dice;
    };
  }

  // run lets time pass. Promises settle between events.
  async run(length) {
    const end = this.now + length;
    while (this.#due.length && this.#due[0].at <= end) {
      const timer = this.#due.shift();
      this.now = timer.at;
      timer.then();
      if (timer.every !== undefined) {
        const { every } = timer;
        timer.at = this.now + every;
        const i = this.#due.findIndex(({ at }) => at > timer.at);
        this.#due.splice(i < 0 ? this.#due.length : i, 0, timer);
      }
      await null;
    }
    this.now = end;
  }
}

// A Network delays. It keeps the order of each direction of each connection, until it is cut: then the rest is lost, and
// each side learns of that late, or never.
export class Network {
  up = true;
  links = new Set();

  constructor(clock, random, server) {
    Object.assign(this, { clock, random, server });
    const network = this;
    this.WebSocket = class extends Socket {
      constructor(url, protocols) {
        super(network, url, protocols);
      }
    };
  }

  delay() {
    return this.random.chance(0.1) ? this.random.below(3000) : this.random.below(80);
  }
}

class Socket extends EventTarget {
  readyState = 0;
  bufferedAmount = 0;

  constructor(network, url, protocols) {
    super();
    this.network = network;
    this.url = url;
    this.protocols = protocols;
    this.there = { at: 0, open: true }; // the direction to the server
    this.back = { at: 0, open: true };
    this.peer = null;
    network.links.add(this);
    if (!network.up) {
      network.clock.after(network.delay(), () => this.finish(1006, "", false));
      return;
    }
    this.carry(this.there, () => network.server.accept(this));
  }

  // carry does something at the other end of a direction, after all that was to be done there before.
  carry(way, then) {
    const { clock } = this.network;
    way.at = Math.max(way.at, clock.now + this.network.delay());
    clock.after(way.at - clock.now, () => way.open && then());
  }

  tell(type, members) {
    this.dispatchEvent(Object.assign(new Event(type), members));
  }

  finish(code, reason, wasClean) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.network.links.delete(this);
    this.tell("close", { code, reason, wasClean });
  }

  // What the client does.
  send(data) {
    if (this.readyState !== 1) throw new Error("not open");
    this.carry(this.there, () => this.network.server.receive(this, data));
  }

  close(code) {
    if (this.readyState > 1) return;
    const handshaking = this.readyState === 0;
    this.readyState = 2;
    if (handshaking) this.carry(this.there, () => this.network.server.lose(this));
    else this.carry(this.there, () => this.network.server.leave(this, code));
    this.network.clock.after(this.network.delay(), () => this.finish(1006, "", false));
  }

  // What the server does.
  upgrade() {
    this.carry(this.back, () => {
      if (this.readyState !== 0) return;
      this.readyState = 1;
      this.tell("open");
    });
  }

  post(data) {
    this.carry(this.back, () => this.readyState === 1 && this.tell("message", { data }));
  }

  end(code, reason) {
    this.carry(this.back, () => this.finish(code, reason, true));
  }

  // cut loses what is under way, with a bit of luck only the last of it.
  cut() {
    const { clock, random, server } = this.network;
    for (const way of [this.there, this.back]) clock.after(random.below(200), () => (way.open = false));
    if (random.chance(0.7)) clock.after(200 + random.below(2000), () => this.finish(1006, "", false));
    clock.after(200 + random.below(random.chance(0.5) ? 2000 : 40_000), () => server.lose(this));
  }
}

const digits = (n) => n.toString(32).padStart(9, "0");

// A Server of live.
export class Server {
  sessions = new Map(); // by token
  topics = new Map();
  here = new Map(); // session by connection
  published = []; // {n, session}: each message that was published, in order
  refused = new Set();
  positions = new Map(); // in a topic's archive, by greeting
  everySession = new Map(); // by id
  #ids = 0;
  #epochs = 0;
  #place = 0;

  constructor(clock, random, { linger = 10_000, history = 100 } = {}) {
    Object.assign(this, { clock, random, linger, history });
    this.epoch = this.#newEpoch();
  }

  #newEpoch() {
    return (++this.#epochs).toString(36).padStart(5, "e");
  }

  topic(name) {
    if (!this.topics.has(name)) this.topics.set(name, { name, epoch: this.epoch, floor: 0, log: [], all: [], members: [] });
    return this.topics.get(name);
  }

  place(topic) {
    return `${topic.epoch}-${digits(++this.#place)}`;
  }

  head(topic) {
    return `${topic.epoch}-${digits(this.#place)}`;
  }

  accept(link) {
    const query = new URL(link.url).searchParams;
    link.peer = this;
    link.upgrade();
    const shown = link.protocols.find((name) => name.startsWith("crier.token."))?.slice("crier.token.".length);
    if (shown === undefined || atob(shown) !== this.token) return link.end(4401, "no-access: this token is not valid");
    let session = this.sessions.get(query.get("resume"));
    if (session && query.has("user") && query.get("user") !== session.user) session = undefined;
    if (session) {
      if (session.link) {
        const old = session.link;
        this.here.delete(old);
        old.end(1008, "taken-over: another connection goes on with this session");
      }
      this.clock.stop(session.dying);
    } else {
      const id = `id${++this.#ids}`;
      session = { id, token: `token-${id}`, said: 0, user: query.get("user") ?? undefined, topics: [] };
      this.sessions.set(session.token, session);
      this.everySession.set(id, session);
    }
    session.link = link;
    session.echo = query.get("echo") !== "0";
    this.here.set(link, session);
    const names = query.getAll("topic");
    const sinces = query.getAll("since");
    const more = session.topics.filter((name) => !names.includes(name));
    names.forEach((name, i) => this.greet(session, name, sinces.length === 1 ? sinces[0] : sinces[i], Number(query.get("last") ?? 0)));
    for (const name of more) this.greet(session, name, sinces.length === 1 ? sinces[0] : undefined, 0);
    session.topics = [...names, ...more];
  }

  who({ id, user }) {
    return user === undefined ? { id } : { id, user };
  }

  greet(session, name, since, last, missed = false) {
    const topic = this.topic(name);
    if (!topic.members.includes(session)) {
      topic.members.push(session);
      session.topics.push(name);
      this.note(topic, { _join: { ...this.who(session), same: 0 } }, session, "join");
    }
    const [epoch, place] = (since ?? "").split("-");
    if (since && (epoch !== topic.epoch || parseInt(place, 32) < topic.floor)) missed = true;
    const after = missed || !since ? 0 : parseInt(place, 32);
    const messages = topic.log.filter(({ kind }) => kind === "message");
    const from = since && !missed ? 0 : missed ? 0 : messages.length - last;
    const wanted = topic.log.filter((entry) => {
      if (entry.place <= after) return false;
      if (entry.kind === "message") return messages.indexOf(entry) >= from;
      if (entry.kind === "state") return true;
      return since && !missed && (entry.own || entry.session !== session); // a drop, a join or a leave
    });
    const { id, user, token, said } = session;
    const offset = this.head(topic);
    const here = topic.members.map(this.who);
    this.positions.set(name + offset, topic.all.length);
    const post = (frame) => session.link?.post(JSON.stringify({ ...frame, _now: this.clock.now }));
    post({ _hello: { id, user, resume: token, offset, missed, said, count: here.length, here }, _topic: name });
    for (const { frame, session: from, own } of wanted) {
      if (own && !session.echo && from === session) continue;
      post({ ...frame, ...(own && { _me: from === session }) });
    }
    post({ _ready: true, _topic: name, _offset: offset });
  }

  // note keeps a frame, and sends it to everybody but the session that it is about.
  note(topic, frame, about, kind) {
    const offset = this.place(topic);
    frame = { ...frame, _topic: topic.name, _offset: offset };
    topic.log.push({ kind, frame, place: this.#place, session: about });
    this.trim(topic);
    for (const { link, ...session } of topic.members) {
      if (session.id !== about.id) link?.post(JSON.stringify({ ...frame, _now: this.clock.now }));
    }
  }

  trim(topic) {
    const messages = topic.log.filter(({ kind }) => kind === "message");
    if (messages.length <= this.history) return;
    const { place } = messages[messages.length - this.history - 1];
    topic.floor = place;
    topic.log = topic.log.filter((entry) => entry.kind === "state" || entry.place > place);
  }

  receive(link, data) {
    const session = this.here.get(link);
    if (!session) return;
    session.said++;
    if (typeof data !== "string") {
      if (session.topics.length > 1) return this.error(session, "bad-member", new Uint32Array(data.buffer ?? data)[0]);
      this.published.push({ n: new Uint32Array(data.buffer ?? data)[0], session });
      for (const other of this.topic(session.topics[0]).members) {
        if (other !== session || session.echo) other.link?.post(data.slice().buffer ?? data);
      }
      return;
    }
    let value;
    try {
      value = JSON.parse(data);
    } catch {
      value = data;
    }
    if (typeof value !== "object") value = { data: value };
    this.understand(session, { ...value });
  }

  error(session, name, n) {
    this.refused.add(n);
    session.link?.post(JSON.stringify({ _error: { name, text: "no" }, _now: this.clock.now }));
  }

  understand(session, { _topic, _keep, _key, _tied, _own, _drop, _to, _join, _leave, _last, _id, ...frame }) {
    const n = numberOf(frame);
    if (_join !== undefined) return this.greet(session, _join, undefined, _last ?? 0);
    if (_leave !== undefined) {
      if (!session.topics.includes(_leave)) return this.error(session, "not-in-topic");
      this.depart(session, _leave, "left");
      const gone = { ...this.who(session), same: 0, why: "left" };
      return session.link.post(JSON.stringify({ _leave: gone, _topic: _leave, _now: this.clock.now }));
    }
    const name = _topic ?? session.topics[0];
    if (!session.topics.includes(name)) return this.error(session, "not-in-topic", n);
    if (_own && session.user === undefined) return this.error(session, "no-user", n);
    const topic = this.topic(name);
    const stamps = { _topic: name, _user: session.user, _from: session.id };
    const copies = (members, to = topic.members) => {
      for (const other of to) {
        if (other === session && !session.echo) continue;
        const mine = other === session;
        other.link?.post(JSON.stringify({ ...frame, ...members, ...(mine && { _id }), ...stamps, _now: this.clock.now, _me: mine }));
      }
    };
    if (_to !== undefined) {
      const named = topic.members.filter(({ id, user }) => [_to].flat().some((to) => to === id || to === user));
      if (!named.length) return this.error(session, "nobody", n);
      this.published.push({ n, session });
      return copies({ _to }, [...new Set([...named, session])]);
    }
    this.published.push({ n, session });
    if (_keep === false) return copies({ _keep });
    const members = { _key, _tied, _own, _drop };
    const offset = (stamps._offset = this.place(topic));
    if (_key !== undefined) {
      const known = (entry) => entry.kind === "state" && sameKey(entry.frame, { ...members, ...stamps });
      topic.log = topic.log.filter((entry) => !known(entry));
    }
    const kind = _key === undefined ? "message" : _drop ? "drop" : "state";
    topic.log.push({ kind, frame: { ...frame, ...members, ...stamps }, place: this.#place, session, own: true });
    if (kind === "message") topic.all.push(offset);
    this.trim(topic);
    copies(members);
  }

  // depart takes a session out of a topic.
  depart(session, name, why) {
    const topic = this.topic(name);
    for (const { frame } of topic.log.filter(({ kind, frame }) => kind === "state" && frame._tied && frame._from === session.id)) {
      topic.log = topic.log.filter((entry) => entry.frame !== frame);
      this.note(topic, { _key: frame._key, _tied: true, _drop: true, _from: session.id, _me: false }, session, "drop");
    }
    topic.members = topic.members.filter((other) => other !== session);
    session.topics = session.topics.filter((other) => other !== name);
    this.note(topic, { _leave: { ...this.who(session), same: 0, why } }, session, "leave");
  }

  endSession(session, why) {
    this.clock.stop(session.dying);
    session.ended = true;
    this.sessions.delete(session.token);
    for (const name of [...session.topics]) this.depart(session, name, why);
  }

  lose(link) {
    const session = this.here.get(link);
    if (!session) return;
    this.here.delete(link);
    session.link = undefined;
    session.dying = this.clock.after(this.linger, () => this.endSession(session, "lost"));
  }

  leave(link, code) {
    const session = this.here.get(link);
    this.lose(link);
    if (!session || (code !== 1000 && code !== undefined)) return;
    this.disowned = true;
    this.endSession(session, "left");
  }

  // hangUp ends a connection from the server's side.
  hangUp(link, code, reason) {
    const session = this.here.get(link);
    if (!session) return;
    this.lose(link);
    link.end(code, reason);
    if (code === 1000) this.endSession(session, "kicked");
  }

  forget(name) {
    const topic = this.topic(name);
    topic.epoch = this.#newEpoch();
    topic.log = [];
    topic.all.push("forgotten");
    for (const session of topic.members) this.greet(session, name, undefined, 0, true);
  }

  // restart forgets everything. In good order, its clients are told, after all that it has published.
  restart(politely) {
    this.epoch = this.#newEpoch();
    for (const [link, session] of this.here) {
      session.ended = true;
      if (politely) link.end(1001, "going-away: the server is going away");
      else link.cut();
    }
    for (const session of this.sessions.values()) {
      session.ended = true;
      this.clock.stop(session.dying);
    }
    this.here.clear();
    this.sessions.clear();
    for (const topic of this.topics.values()) {
      Object.assign(topic, { epoch: this.epoch, log: [], members: [] });
      topic.all.push("forgotten");
    }
  }

  // view returns what a client in the topic should know.
  view(name) {
    const state = { __proto__: null };
    const theirs = {};
    for (const { kind, frame } of this.topic(name).log) {
      if (kind !== "state") continue;
      const who = frame._tied ? frame._from : frame._own && frame._user;
      const value = Object.fromEntries(Object.entries(frame).filter(([member]) => member[0] !== "_"));
      if (who) (theirs[who] ??= { __proto__: null })[frame._key] = value;
      else state[frame._key] = value;
    }
    return { here: this.topic(name).members.map(this.who), state, theirs };
  }
}

// numberOf returns the number of a message, whatever its shape.
export function numberOf(value) {
  if (typeof value === "number") return value;
  return value?.n ?? (Array.isArray(value) ? value[0] : value && "data" in value ? numberOf(value.data) : undefined);
}

function sameKey(a, b) {
  if (a._key !== b._key || !a._tied !== !b._tied || !a._own !== !b._own) return false;
  return (!a._tied || a._from === b._from) && (!a._own || a._user === b._user);
}
