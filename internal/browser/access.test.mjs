// crier.js with keys and tokens, against the real server.
import assert from "node:assert/strict";
import { test as nodeTest } from "node:test";
import WebSocket from "ws";
import { connect } from "../../console/client/crier.js";
import { Home, becomes, happens, join, patience, secret, token } from "./home.mjs";

const test = (name, run) => nodeTest(name, { timeout: 2 * patience }, run);

// page is the WebSocket of a page: the server tells pages why it refuses them, where the app allows that.
const page = (home) =>
  class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { origin: home.http });
    }
  };

const apps = { broadcast: {}, rooms: {}, live: { app: "live", topic: "a" } };

for (const [app, options] of Object.entries(apps)) {
  const url = ({ url }) => (app === "rooms" ? `${url}/rooms` : url);

  test(`${app}: a token is shown, and not in the address`, async (t) => {
    const home = await Home.open(t, "--token-secret", secret, "--key", "schlüssel, für äpfel/~");
    for (const shown of [token(3600), async () => token(3600), "schlüssel, für äpfel/~"]) {
      const ada = join(t, url(home), { ...options, token: shown });
      await becomes(ada, "open");
      assert.doesNotMatch(ada.url, /token/);
      if (app === "live" && shown.call) assert.equal(ada.user, "ada");
      if (app !== "rooms") assert.equal(await ada.send("hi"), "confirmed");
    }
  });

  test(`${app}: when a token has expired, it asks for another one`, async (t) => {
    const home = await Home.open(t, "--token-secret", secret);
    let asked = 0;
    const ada = join(t, url(home), { ...options, token: () => token(++asked === 1 ? 2 : 3600) });
    const ends = [];
    ada.addEventListener("state", () => ada.status === "waiting" && ends.push(ada.ended));
    await becomes(ada, "open");
    const { id } = ada;
    await becomes(ada, "waiting");
    await becomes(ada, "open");
    assert.deepEqual([ends, asked, ada.id], [[{ code: 1008, reason: "expired: the token has expired" }], 2, id]);
  });

  test(`${app}: without another one it does not come back`, async (t) => {
    const home = await Home.open(t, "--token-secret", secret);
    const ada = join(t, url(home), { ...options, token: token(2) });
    await becomes(ada, "open");
    await becomes(ada, "closed");
    assert.deepEqual(ada.ended, { code: 1008, reason: "expired: the token has expired" });
  });
}

for (const [app, options] of Object.entries(apps)) {
  test(`${app}: who is refused is told why, and does not try again`, async (t) => {
    const home = await Home.open(t, "--token-secret", secret);
    const ada = join(t, app === "rooms" ? home.url + "/rooms" : home.url, { ...options, token: "guess", timeout: patience });
    await becomes(ada, "closed");
    assert.deepEqual(ada.ended, { code: 4401, reason: "wrong-key: this is no key of the server" });
  });
}

test("a page of live is told why it may not come in, and does not try again", async (t) => {
  const home = await Home.open(t, "--token-secret", secret);
  for (const [shown, code, reason] of [
    [undefined, 4401, /^no-credential: this server wants a key or a token/],
    ["guess", 4401, /^wrong-key: this is no key of the server$/],
    [() => token(-3600), 4401, /^bad-token: the token has expired$/],
    [() => token(3600, { topics: ["b"] }), 4403, /^forbidden: you may not hear the topic "a"$/],
    [token(3600, { sub: "ben" }), 4403, /^forbidden: the token is of another user than \?user=$/],
  ]) {
    const ada = join(t, home.url, { app: "live", topic: "a", user: "ada", token: shown, timeout: patience, WebSocket: page(home) });
    const tried = [];
    ada.addEventListener("state", () => tried.push(ada.status));
    await becomes(ada, "closed");
    assert.equal(ada.ended.code, code);
    assert.match(ada.ended.reason, reason);
    assert.ok(!tried.includes("waiting"), `${tried}`);
  }
});

test("a token that cannot be had now is asked for again", async (t) => {
  const home = await Home.open(t, "--token-secret", secret);
  let asked = 0;
  const ada = connect(home.url, {
    WebSocket,
    retry: [10, 100],
    token: async () => {
      if (++asked < 3) throw new Error("the service is down");
      return token(3600);
    },
  });
  t.after(() => ada.close());
  await happens(ada, "state", () => ada.status === "waiting" && ada.ended.reason === "Error: the service is down");
  await becomes(ada, "open");
  assert.equal(asked, 3);
});
