/** What became of a message:
 * - `confirmed`: the server has published it; its own copy came back.
 * - `sent`: it was handed to a connection, in an app that tells no more, or it is binary.
 * - `unsure`: it was handed to a connection that ended, or skipped, or told of an error, before its copy came back. It may have
 *   been published.
 * - `dropped`: it was never handed to a connection.
 * - `refused`: live only. The server has not published it; the drop event's `why` names the error. */
export type Fate = "confirmed" | "sent" | "unsure" | "dropped" | "refused";

/** `connecting` → `open` → `waiting` for the next try → `connecting` …; `closed` is for good. */
export type State = "connecting" | "open" | "waiting" | "closed";

/** What is undefined has its default. */
export interface Options {
  /** live connects to /live. */
  app?: "live";
  /** The address, if it is not the first argument. A function is asked at each connect, and then `topic` must be an option. */
  url?: Address;
  /** A key of the server, or a token. It is sent as a subprotocol, never in the address. A function is asked at each connect, and
   * for another one when the server says that it has expired. */
  token?: string | (() => string | undefined | Promise<string | undefined>);
  /** Adds `?last=`, in live: how many messages of each topic to begin with. */
  last?: number;
  /** Adds `?presence=`, in live. */
  presence?: 0 | 1 | "seen" | "told";
  /** Adds `?topic=`, once for each. */
  topic?: string | string[];
  /** Adds `?user=`. In live, a client without one is in no list of those who are here. */
  user?: string;
  /** Said on each connection before anything else, such as subscriptions. What becomes of it is not told. */
  first?: string | string[];
  /** false adds `?echo=0`: one does not hear oneself, and nothing is confirmed. Default true. */
  echo?: boolean;
  /** Gives each text message an id, `"_id":"k3x9…-17"`, sends again whatever was not confirmed, and passes over what was
   * heard before. Default false. */
  once?: boolean;
  /** Whether one's own messages come back with `"_me":true`. Default: yes, unless the address ends in /bridge, /chat,
   * /rooms or /directory, or says `echo=0`. */
  confirm?: boolean;
  /** How many messages wait for a connection; 0 none. Default 1000. */
  queue?: number;
  /** Milliseconds: the first back-off at most, and the longest. Default [500, 30000]. */
  retry?: [first: number, longest: number];
  /** Milliseconds without a sign of life, while an answer is due, after which a connection is given up. Default 15000. */
  timeout?: number;
  /** Milliseconds of silence after which `beat` is said; 0 never. It needs an echo. Default 0. */
  heartbeat?: number;
  /** What a heartbeat says. Default `{"_beat":true}`, in live with `"_keep":false`. Other clients of this kind do not deliver it. */
  beat?: string;
  /** Where there is no global WebSocket (Node before 22): that of the package `ws`. */
  WebSocket?: unknown;
}

/** A message that was heard. */
export interface Heard extends Event {
  readonly type: "message";
  /** As a WebSocket has it: text, or binary. */
  readonly data: string | ArrayBuffer;
  /** What JSON.parse makes of it; undefined if it is no JSON. */
  readonly json: any;
}

/** A message of one's own that got lost, or may have. */
export interface Drop extends Event {
  readonly type: "drop";
  readonly data: Message;
  readonly fate: "unsure" | "dropped" | "refused";
  /** In live also the name of the error with which the server refused the message. */
  readonly why: "full" | "closed" | "lost" | "skipped" | "failed" | "refused" | (string & {});
}

export type Address = string | URL | (() => string | URL | Promise<string | URL>);

export type Message = string | ArrayBufferLike | ArrayBufferView | Blob;

interface Events {
  message: Heard;
  state: Event;
  drop: Drop;
}

/** A WebSocket that comes back. */
export class Crier extends EventTarget implements AsyncIterable<Heard> {
  constructor(url?: Address, options?: Options);
  readonly url: string;
  readonly status: State;
  /** The same, but not in live. */
  readonly state: State;
  /** How the last connection ended; code 1006 where nobody said. */
  readonly ended: { code: number; reason: string } | null;
  /** When it tries again, while it is waiting: milliseconds since 1970. */
  readonly retryAt: number;
  /** How many messages wait, or have yet to come back. */
  readonly pending: number;
  /** Says data to everyone, now or when there is a connection. The promise is never rejected. Do not change binary data
   * until it is settled.
   * @throws TypeError for what has neither text nor bytes */
  send(data: Message): Promise<Fate>;
  /** Leaves for good, as soon as what is on its way has come back, or after `timeout`. What waits for a connection is dropped. */
  close(): Promise<void>;
  /** Connects anew, now; also after it was closed. In live the session goes on. */
  reconnect(): void;
  addEventListener<K extends keyof Events>(type: K, listener: (event: Events[K]) => void, options?: AddEventListenerOptions | boolean): void;
  removeEventListener<K extends keyof Events>(type: K, listener: (event: Events[K]) => void, options?: EventListenerOptions | boolean): void;
  /** What is heard from now on. It ends when the client is closed, and throws when it is 10,000 messages behind. */
  [Symbol.asyncIterator](): AsyncGenerator<Heard, void, void>;
}

/** Someone in a topic of live. */
export interface Who {
  readonly id: string;
  readonly user?: string;
}

/** What is known of a topic of live. Read its members anew each time: they are replaced. */
export interface Room {
  /** Who is there, oldest first. */
  readonly here: readonly Who[];
  /** What was `set`, by key. */
  readonly state: ReadonlyMap<string, any>;
  /** What was set with `tied` by connection id, and with `own` by user: each a map by key. */
  readonly theirs: ReadonlyMap<string, ReadonlyMap<string, any>>;
}

/** Members of a message that live understands, without their underscore. */
export interface Members {
  /** Default: the first topic. */
  topic?: string;
  /** Comes back in the copy. */
  id?: unknown;
}

export interface StateMembers extends Members {
  /** Of this session only, until it ends. */
  tied?: true;
  /** Of this user only. */
  own?: true;
}

/** A topic was greeted: what is known of it begins anew if it was `missed`. Its replay follows, and then `ready`. */
export interface Hello extends Event, Who {
  readonly type: "hello";
  readonly topic: string;
  readonly missed: boolean;
  readonly count: number;
  readonly here: readonly Who[];
}

export interface Ready extends Event {
  readonly type: "ready";
  readonly topic: string;
}

export interface Joined extends Event, Who {
  readonly type: "join";
  readonly topic: string;
  /** How many other connections this user has in the topic. */
  readonly same: number;
}

export interface Left extends Event, Who {
  readonly type: "leave";
  readonly topic: string;
  readonly same: number;
  readonly why: "left" | "lost" | "kicked";
}

interface LiveEvents extends Events {
  hello: Hello;
  ready: Ready;
  join: Joined;
  leave: Left;
}

/** A connection to live. It opens when all of its topics were greeted. */
export interface Live extends Omit<Crier, "state" | "send" | "addEventListener" | "removeEventListener"> {
  /** The session's; undefined before the first greeting. */
  readonly id: string | undefined;
  readonly user: string | undefined;
  /** Who is in the first topic. */
  readonly here: readonly Who[];
  /** What was `set` in the first topic, by key. How the connection is, is its `status`. */
  readonly state: ReadonlyMap<string, any>;
  /** The first topic, or another; undefined if this connection is not in it. */
  room(): Room;
  room(topic: string): Room | undefined;
  /** Objects are sent as JSON. With members, anything but an object becomes `{"data":…}`. */
  send(data: object | Message, members?: Members & { keep?: false }): Promise<Fate>;
  /** To a connection id, a user, or a list of them. */
  to(to: string | string[], data: unknown, members?: Members): Promise<Fate>;
  set(key: string, value: unknown, members?: StateMembers): Promise<Fate>;
  unset(key: string, members?: StateMembers): Promise<Fate>;
  join(topic: string, members?: { last?: number }): Promise<Fate>;
  leave(topic: string): Promise<Fate>;
  addEventListener<K extends keyof LiveEvents>(type: K, listener: (event: LiveEvents[K]) => void, options?: AddEventListenerOptions | boolean): void;
  removeEventListener<K extends keyof LiveEvents>(type: K, listener: (event: LiveEvents[K]) => void, options?: EventListenerOptions | boolean): void;
}

/** Connects to a server: ws://, wss://, http:// or https://. Without a url it is the one that crier.js came from. */
export function connect(url: Address | undefined, options: Options & { app: "live" }): Live;
export function connect(options: Options & { app: "live" }): Live;
export function connect(url?: Address, options?: Options): Crier;
export function connect(options: Options): Crier;
