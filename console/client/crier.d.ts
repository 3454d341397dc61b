/** What became of a message:
 * - `confirmed`: the server has published it; its own copy came back.
 * - `sent`: it was handed to a connection, in an app that tells no more, or it is binary.
 * - `unsure`: it was handed to a connection that ended, or skipped, or told of an error, before its copy came back. It may have
 *   been published.
 * - `dropped`: it was never handed to a connection. */
export type Fate = "confirmed" | "sent" | "unsure" | "dropped";

/** `connecting` → `open` → `waiting` for the next try → `connecting` …; `closed` is for good. */
export type State = "connecting" | "open" | "waiting" | "closed";

/** What is undefined has its default. */
export interface Options {
  /** Adds `?topic=`, once for each. */
  topic?: string | string[];
  /** Adds `?user=`. */
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
  /** What a heartbeat says. Default `{"_beat":true}`, which other clients of this kind do not deliver. */
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
  readonly fate: "unsure" | "dropped";
  readonly why: "full" | "closed" | "lost" | "skipped" | "failed" | "refused";
}

export type Message = string | ArrayBufferLike | ArrayBufferView | Blob;

interface Events {
  message: Heard;
  state: Event;
  drop: Drop;
}

/** A WebSocket that comes back. */
export class Crier extends EventTarget implements AsyncIterable<Heard> {
  constructor(url?: string | URL, options?: Options);
  readonly url: string;
  readonly state: State;
  /** How the last connection ended; code 1006 where nobody said. */
  readonly ended: { code: number; reason: string } | null;
  /** When it tries again, while it is waiting: milliseconds since 1970. */
  readonly retryAt: number;
  /** How many messages wait, or have yet to come back. */
  readonly pending: number;
  /** Says data to everyone, now or when there is a connection. The promise is never rejected. Do not change binary data
   * until it is settled.
   * @throws TypeError for what is neither text nor binary */
  send(data: Message): Promise<Fate>;
  /** Leaves for good, as soon as what is on its way has come back, or after `timeout`. What waits for a connection is dropped. */
  close(): Promise<void>;
  addEventListener<K extends keyof Events>(type: K, listener: (event: Events[K]) => void, options?: AddEventListenerOptions | boolean): void;
  removeEventListener<K extends keyof Events>(type: K, listener: (event: Events[K]) => void, options?: EventListenerOptions | boolean): void;
  /** What is heard from now on. It ends when the client is closed, and throws when it is 10,000 messages behind. */
  [Symbol.asyncIterator](): AsyncGenerator<Heard, void, void>;
}

/** Connects to a server: ws://, wss://, http:// or https://. Without a url it is the one that crier.js came from. */
export function connect(url?: string | URL, options?: Options): Crier;
export function connect(options: Options): Crier;
