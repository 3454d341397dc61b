// What a seat of live knows: its session, and of each topic who is there, the state, and how far it has read.

const word = /^\{"_(hello|ready|join|leave|error)":/; // of the server; no client can begin a frame with it

// A Room is a topic that the session is in.
class Room {
  here = new Map(); // users by connection id, the oldest first; those without a name have undefined
  more = 0; // how many more there were at the greeting
  state = new Map(); // by a name of its own: { key, kind, who, from, text }
  offset = ""; // of the last frame that has one
  seen = ""; // where the offset was when the replay began
  replays = false; // what comes is history
  said = ""; // a note on it, until it begins
  changed = true; // since it was drawn

  greet({ here, count, missed, offset }) {
    this.said = this.offset ? "what was missed:" : "what was sent before:";
    if (missed || !this.offset) this.state.clear();
    this.here = new Map(here.map(({ id, user }) => [id, user]));
    this.more = count - here.length;
    this.seen = epoch(this.offset) === epoch(offset) ? this.offset : "";
    this.replays = true;
  }

  // set changes the state. Keys that are shared, tied and owned have nothing to do with each other.
  set({ _key: key, _tied: tied, _own: own, _drop: drop, _from: from, _user: user }, text) {
    const kind = tied ? "tied" : own ? "owned" : "shared";
    const who = tied ? from : own ? user : "";
    const name = JSON.stringify([key, kind, who]);
    if (drop) this.state.delete(name);
    else this.state.set(name, { key, kind, who, from, user, text });
  }
}

const epoch = (offset) => offset.split("-", 1)[0];

// A Session outlives the connections of a seat. It reads every frame before crier.js does.
export class Session {
  id = "";
  user = undefined;
  rooms = new Map(); // by topic, in the order in which they were joined
  #socket = null;
  #greeted = false; // on this connection

  // heard is called with each frame that is new, and what is known of it; greeted with what is new about a connection;
  // changed when a room is; failed with the sentence of an error.
  constructor({ heard, greeted, changed, failed }) {
    Object.assign(this, { heard, greeted, changed, failed });
  }

  // Socket is the WebSocket for this session. crier.js resumes the session; what begins where is up to the page, because it
  // alone knows of topics that were joined by hand.
  get Socket() {
    const session = this;
    return class extends WebSocket {
      constructor(address, protocols) {
        super(session.#since(address), protocols);
        session.#socket = this;
        session.#greeted = false;
        this.addEventListener("message", ({ data }) => session.#socket === this && session.#read(data));
      }
    };
  }

  #since(address) {
    if (!this.rooms.size) return address;
    const url = new URL(address);
    const query = url.searchParams;
    query.delete("topic");
    query.delete("since");
    for (const [topic, { offset }] of this.rooms) {
      query.append("topic", topic);
      query.append("since", offset);
    }
    return url.href;
  }

  #read(data) {
    const stamps = stampsOf(data);
    const kind = this.#word(data, stamps._topic);
    const room = this.rooms.get(stamps._topic);
    const past = Boolean(room?.replays) && kind !== "hello";
    const known = past && Boolean(stamps._offset) && stamps._offset <= room.seen;
    if (room && stamps._key !== undefined) room.set(stamps, data);
    if (room && stamps._offset) room.offset = stamps._offset;
    if (room && (kind || stamps._key !== undefined)) {
      room.changed = true;
      this.changed();
    }
    if (past && !known && room.said) {
      this.greeted(room.said);
      room.said = "";
    }
    const tag = past ? "history" : kind === "error" ? "error" : "";
    if (!known) this.heard(data, { tag, by: stamps._me === false ? stamps._user : "", time: past ? stamps._now : undefined });
  }

  // word takes note of what the server itself says, and returns what kind of word it is.
  #word(data, topic) {
    const [, kind] = word.exec(data) ?? [];
    try {
      if (kind) this.#obey(kind, topic, JSON.parse(data)["_" + kind]);
      return kind;
    } catch {} // it only looks so: the management API may post anything
  }

  #obey(kind, topic, what) {
    const room = this.rooms.get(topic);
    if (kind === "hello") this.#greet(topic, what);
    if (kind === "ready" && room) room.replays = false;
    if (kind === "join" && room && !room.replays) room.here.set(what.id, what.user); // a greeting counts them already
    if (kind === "leave" && room && !room.replays) room.here.delete(what.id);
    if (kind === "leave" && room && what.id === this.id) this.rooms.delete(topic);
    if (kind === "leave" || kind === "hello") this.changed();
    if (kind === "error") this.failed(what.text);
  }

  #greet(topic, hello) {
    if (!this.#greeted) {
      const again = this.id === hello.id ? "connected again: the session goes on" : "connected again, in a new session: the old one has ended";
      this.greeted(this.id ? again : "connected");
    }
    this.#greeted = true;
    this.id = hello.id;
    this.user = hello.user;
    const room = this.rooms.get(topic) ?? new Room();
    if (hello.missed && room.offset) this.greeted("what was sent meanwhile may no longer be kept; this is all there is");
    room.greet(hello);
    this.rooms.set(topic, room);
  }
}

// stampsOf returns what the server has appended to a message. It stands at the end, and a quotation mark before a name
// and a colon after it are nowhere else but around a member's name.
function stampsOf(data) {
  if (typeof data !== "string") return {};
  const topic = data.lastIndexOf('"_topic":');
  const key = data.lastIndexOf('"_key":', topic);
  if (topic < 0) return {};
  for (const at of [key, topic]) {
    try {
      if (at > 0) return JSON.parse("{" + data.slice(at));
    } catch {} // it was the client's, in a member of a member
  }
  return {};
}

// valueOf returns the JSON that a message of the state is for: the message without what the server has appended, or its
// data if that is all.
export function valueOf(text) {
  const object = text.slice(0, text.lastIndexOf('"_key":')).replace(/,$/, "") + "}";
  const [data] = /^\{\s*"data"\s*:/.exec(object) ?? [];
  return data && Object.keys(JSON.parse(object)).length === 1 ? object.slice(data.length, -1).trim() : object;
}

// stateOf returns the message that sets a key to what somebody has typed: an object is the message itself.
export function stateOf(key, value, members) {
  const stamps = JSON.stringify({ _key: key, ...members }).slice(1);
  let json = value.trim();
  let parsed;
  try {
    parsed = JSON.parse(json);
  } catch {
    json = JSON.stringify(value);
  }
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) return `{"data":${json},${stamps}`;
  return json.slice(0, -1).trimEnd() + (Object.keys(parsed).length ? "," : "") + stamps;
}
