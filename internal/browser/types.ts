// What the types of crier.js allow, and what they do not: this must compile.
import { connect, Crier, type Fate, type Heard } from "../../console/client/crier.js";

connect();
connect({ topic: "a" });
connect(new URL("ws://localhost:8080"));
const crier: Crier = connect("ws://localhost:8080", { topic: ["a", "b"], retry: [1, 2], once: true, heartbeat: 30_000 });

crier.addEventListener("message", (event) => {
  const data: string | ArrayBuffer = event.data;
  console.log(data, event.json.x);
});
crier.addEventListener("drop", ({ fate, why }) => console.log(fate === "unsure", why === "lost"));
crier.addEventListener("state", () => console.log(crier.state === "waiting", crier.retryAt, crier.ended?.code));

export async function talk() {
  const fate: Fate = await crier.send(new Uint8Array(3));
  for await (const message of crier) {
    const heard: Heard = message;
    console.log(heard, fate);
  }
  await crier.close();
}

const live = connect("ws://localhost:8080", { app: "live", topic: "a", user: "ada", last: 20, presence: "seen", token: async () => "t" });
connect({ app: "live", topic: ["a", "b"], url: async () => new URL("ws://localhost:8080"), token: "t" }).reconnect();
live.addEventListener("join", ({ id, user, same, topic }) => console.log(id, user, same > 0, topic));
live.addEventListener("leave", ({ why }) => console.log(why === "lost"));
live.addEventListener("hello", ({ missed, count }) => console.log(missed, count > 1));
live.addEventListener("message", ({ json }) => console.log(json));
live.set("q", { v: 1 }, { tied: true });
live.unset("q", { topic: "a" });
live.to(live.here[0].id, "psst");
live.send({ x: 1 }, { keep: false });
live.join("b", { last: 3 });
live.leave("b");
console.log(live.state.get("q"), live.status === "open", live.room().state.get("q"), live.room("b")?.theirs.get("ada")?.get("q"), live.id, live.user);

// @ts-expect-error: only live knows who is there
console.log(crier.here);
// @ts-expect-error: there is no such option
connect("ws://localhost:8080", { colour: "red" });
// @ts-expect-error: there is no such state
console.log(crier.state === "asleep");
// @ts-expect-error: a message is text or bytes
crier.send({ x: 1 });
