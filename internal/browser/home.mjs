// What the tests need around a client: crier itself, started and stopped at will, and a bad network.
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import WebSocket from "ws";
import { Crier } from "../../console/client/crier.js";

// patience is how long a test waits for what must happen; it matters only when it does not.
export const patience = 20_000;

// secret is that of --token-secret.
export const secret = "a secret that nobody can guess, of more than 32 bytes";

// token returns a token for Ada that expires.
export function token(seconds, claims) {
  const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const text = `${base64url({ alg: "HS256" })}.${base64url({ sub: "ada", exp, ...claims })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

// A Home is a crier serve that keeps its address over restarts.
export class Home {
  #process;
  #flags;
  port = 0;

  static async open(t, ...flags) {
    const home = new Home();
    home.#flags = flags;
    await home.start();
    t.after(() => home.stop("SIGKILL"));
    return home;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}`;
  }

  get http() {
    return `http://127.0.0.1:${this.port}`;
  }

  async start() {
    for (const deadline = Date.now() + patience; ; ) {
      const complaint = await this.#try();
      if (!complaint) return;
      // Between a stop and a start another program may have taken the port for a moment.
      if (!complaint.includes("address already in use") || Date.now() > deadline) throw new Error(`crier serve does not serve: ${complaint}`);
    }
  }

  // try starts a process, and returns what it complains of if it does not serve.
  async #try() {
    const process = spawn(globalThis.process.env.PROGRAM, ["serve", "--listen", `127.0.0.1:${this.port}`, "--drain", "0s", ...this.#flags]);
    this.#process = process;
    let complaints = "";
    process.stderr.on("data", (data) => (complaints += data));
    let said = "";
    const ended = once(process, "close").then(() => [null]);
    while (!/ws:\/\/127\.0\.0\.1:(\d+)/.test(said)) {
      const [data] = await Promise.race([once(process.stdout, "data"), ended]);
      if (data === null) return complaints;
      said += data;
    }
    this.port = Number(/ws:\/\/127\.0\.0\.1:(\d+)/.exec(said)[1]);
    process.stdout.resume();
    return "";
  }

  async stop(signal = "SIGTERM") {
    const process = this.#process;
    if (process.exitCode !== null || process.signalCode !== null) return;
    const exited = once(process, "exit");
    process.kill(signal);
    await exited;
  }

  // freeze stops the process where it is. Its clients and the other servers hear nothing from it.
  freeze() {
    this.#process.kill("SIGSTOP");
  }

  async ready() {
    for (const deadline = Date.now() + patience; ; ) {
      const answer = await fetch(`${this.http}/readyz`);
      if (answer.ok) return;
      if (Date.now() > deadline) throw new Error(`the server is not ready: ${await answer.text()}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  async publish(text, query = "") {
    const answer = await fetch(`${this.http}/publish${query}`, { method: "POST", body: text });
    if (!answer.ok) throw new Error(`publish: ${answer.status}`);
  }
}

// openCluster returns n homes that share one log, when all of them take clients.
export async function openCluster(t, n) {
  const peers = await freePorts(n);
  const homes = await Promise.all(peers.map((own) => Home.open(t, "--cluster-listen", own, "--cluster-peers", peers.join(","))));
  await Promise.all(homes.map((home) => home.ready()));
  return homes;
}

// freePorts returns addresses that nobody listens at. The system does not give them to others at once.
async function freePorts(n) {
  const listeners = Array.from({ length: n }, () => net.createServer().listen(0, "127.0.0.1"));
  await Promise.all(listeners.map((listener) => once(listener, "listening")));
  const addresses = listeners.map((listener) => `127.0.0.1:${listener.address().port}`);
  await Promise.all(listeners.map((listener) => new Promise((resolve) => listener.close(resolve))));
  return addresses;
}

// A Network stands between a client and a home. It can stop carrying anything, without a word.
export class Network {
  #server;
  #pairs = new Set();
  #frozen = false;
  #connected = [];

  static async open(t, home) {
    const network = new Network();
    network.#server = net.createServer((near) => network.#carry(near, home.port)).listen(0, "127.0.0.1");
    await once(network.#server, "listening");
    t.after(() => {
      network.#server.close();
      for (const { near, far } of network.#pairs) {
        near.destroy();
        far.destroy();
      }
    });
    return network;
  }

  get url() {
    return `ws://127.0.0.1:${this.#server.address().port}`;
  }

  #carry(near, port) {
    const far = net.connect(port, "127.0.0.1");
    const pair = { near, far };
    this.#pairs.add(pair);
    for (const [a, b] of [[near, far], [far, near]]) {
      a.on("error", () => {});
      a.on("data", (data) => b.write(data));
      a.on("end", () => b.end());
      a.on("close", () => {
        b.destroy();
        this.#pairs.delete(pair);
      });
      if (this.#frozen) a.pause();
    }
    for (const resolve of this.#connected.splice(0)) resolve();
  }

  // freeze has nothing go through any more. Who is connected stays connected.
  freeze() {
    this.#frozen = true;
    for (const { near, far } of this.#pairs) {
      near.pause();
      far.pause();
    }
  }

  // thaw lets new connections through. What was frozen is lost, or, if late, goes on to the home after all, while its
  // client has given it up.
  thaw(late) {
    this.#frozen = false;
    for (const { near, far } of this.#pairs) {
      if (!late) {
        near.destroy();
        continue;
      }
      near.resume();
      far.resume();
    }
  }
}

// join returns a client with short times. It is closed at the end of the test.
export function join(t, url, options) {
  const crier = new Crier(url, { WebSocket, retry: [10, 100], timeout: 500, ...options });
  t.after(() => quit(crier));
  return crier;
}

async function quit(crier) {
  const left = crier.close();
  if (crier.status !== "closed") await Promise.race([left, happens(crier, "state", () => crier.status === "closed")]);
}

// happens waits for an event of which something holds.
export function happens(target, type, holds = () => true) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${type} does not happen`)), patience);
    const listen = (event) => {
      if (!holds(event)) return;
      clearTimeout(late);
      target.removeEventListener(type, listen);
      resolve(event);
    };
    target.addEventListener(type, listen);
  });
}

// becomes waits for a state.
export async function becomes(crier, state) {
  if (crier.status !== state) await happens(crier, "state", () => crier.status === state);
}

// listen returns the numbers that a client hears from now on: those in {"n":…}.
export function listen(crier) {
  const heard = [];
  crier.addEventListener("message", ({ json }) => json.n !== undefined && heard.push(json.n));
  return heard;
}
