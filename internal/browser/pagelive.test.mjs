// Seats of live in a real Chromium.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import WebSocket from "ws";
import { Home, Network } from "./home.mjs";
import { complaints, field, heard, longTask, runGo, say, seat, sticksOut, test, visit } from "./visit.mjs";

const atLive = (home, query = "") => ({ address: `${home.http}/?app=live${query}` });

const people = (seat) => seat.locator(".here li:visible").allInnerTexts().then((texts) => texts.map((text) => text.replace(/\s+/g, " ")));
const keys = (seat) => seat.locator(".keys tbody tr").evaluateAll((rows) => rows.map((row) => [row.cells[0].innerText.replace(/\s+/g, " ").trim(), row.cells[1].textContent]));

// becomes waits until what is asked for is as expected.
async function becomes(ask, want) {
  let got;
  for (let tries = 0; tries < 400; tries++) {
    got = await ask();
    if (JSON.stringify(got) === JSON.stringify(want)) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.deepEqual(got, want);
}

// guest joins a topic with a program.
async function guest(t, home, query) {
  const socket = new WebSocket(`${home.url}/live?${query}`);
  t.after(() => socket.terminate());
  await new Promise((resolve) => socket.on("message", (data) => String(data).startsWith('{"_ready"') && resolve()));
  return socket;
}

async function set(seat, key, value, kind) {
  await seat.getByLabel("Key", { exact: true }).fill(key);
  await seat.getByLabel("Value", { exact: true }).fill(value);
  await seat.getByLabel("Kind").selectOption(kind);
  await seat.getByRole("button", { name: "Set", exact: true }).click();
}

test("in live a seat shows who is here", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, atLive(home));
  const [ada, ben] = [seat(page, 0), seat(page, 1)];
  await becomes(() => people(ada), ["Ada you", "Ben"]);
  await becomes(() => people(ben), ["Ada", "Ben you"]);
  const zoe = await guest(t, home, "topic=lobby&user=Zoe");
  await becomes(() => people(ada), ["Ada you", "Ben", "Zoe"]);
  assert.equal(await ada.locator(".here-count").textContent(), "3");
  zoe.close(1000);
  await becomes(() => people(ada), ["Ada you", "Ben"]);
  const crowd = await Promise.all(Array.from({ length: 100 }, (_, n) => guest(t, home, `topic=lobby&user=Zoe${n}`)));
  const pages = ada.getByRole("group", { name: "Pages of people" });
  await pages.getByText("1–100").waitFor();
  assert.equal((await people(ada)).length, 100);
  await pages.getByRole("button", { name: "More" }).click();
  await pages.getByText("101–102").waitFor();
  assert.equal((await people(ada)).length, 2);
  for (const one of crowd) one.close(1000);
  await becomes(() => people(ada), ["Ada you", "Ben"]);
  assert.equal(await pages.isVisible(), false);
  await ben.getByRole("button", { name: "Leave" }).click();
  await becomes(() => people(ada), ["Ada you"]);
});

test("in live the state is a table, and can be set and dropped", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, atLive(home));
  const [ada, ben] = [seat(page, 0), seat(page, 1)];
  await becomes(() => people(ben), ["Ada", "Ben you"]);
  await set(ada, "door", "open", "shared");
  await set(ada, "at", '{ "x": 12345678901234567890, "in": {"_key":1} }', "tied");
  await set(ada, "colour", "1.0", "owned");
  await set(ada, "list", "[1]", "shared");
  await becomes(() => keys(ben), [
    ["door", '"open"'],
    ["at tied · Ada", '{ "x": 12345678901234567890, "in": {"_key":1}}'],
    ["colour owned · Ada", "1.0"],
    ["list", "[1]"],
  ]);
  assert.equal(await ben.getByRole("button", { name: /^Drop/ }).count(), 2);
  assert.equal(await ada.getByRole("button", { name: /^Drop/ }).count(), 4);
  await ben.getByRole("button", { name: "Drop door" }).click();
  await ada.getByRole("button", { name: "Drop colour" }).click();
  await becomes(() => keys(ben), [["at tied · Ada", '{ "x": 12345678901234567890, "in": {"_key":1}}'], ["list", "[1]"]]);
  await set(ben, "list", "{}", "shared");
  await becomes(() => keys(ada).then((rows) => rows[1]), ["list", "{}"]);
  await ada.getByRole("button", { name: "Leave" }).click();
  await becomes(() => keys(seat(page, 0)), [["list", "{}"]]);
});

test("what a late seat missed is history", async (t) => {
  const home = await Home.open(t);
  const zoe = await guest(t, home, "topic=lobby&user=Zoe");
  zoe.send("said before");
  zoe.send('{"_key":"door","data":"open"}');
  const page = await visit(t, home, atLive(home));
  const ada = seat(page, 0);
  const row = ada.locator(".frame.past", { hasText: "said before" });
  await row.waitFor();
  assert.match(await row.locator(".what").textContent(), /^historyZoe\{"data":"said before"/);
  await ada.getByText("what was sent before:").waitFor();
  await becomes(() => keys(ada), [["door", '"open"']]);
  zoe.send("said now");
  await heard(ada, "said now").waitFor();
  assert.equal(await ada.locator(".frame.past", { hasText: "said now" }).count(), 0);
});

test("in live a seat comes back as itself, and shows no message twice", async (t) => {
  const home = await Home.open(t);
  const network = await Network.open(t, home);
  const page = await visit(t, home, { address: `${network.url.replace("ws", "http")}/?app=live` });
  const [ada, ben] = [seat(page, 0), seat(page, 1)];
  const zoe = await guest(t, home, "topic=lobby&user=Zoe");
  await becomes(() => people(ada), ["Ada you", "Ben", "Zoe"]);
  zoe.send("message 1");
  await say(ada, '{"_join":"game"}');
  for (const one of [ada, ben]) await heard(one, "message 1").waitFor();
  await ada.locator(".which").waitFor();
  network.freeze();
  network.thaw(false);
  zoe.send("message 2");
  zoe.send('{"_key":"door","data":"open"}');
  for (const one of [ada, ben]) await one.getByText("connected again: the session goes on").waitFor();
  zoe.send("message 3");
  for (const one of [ada, ben]) {
    await heard(one, "message 3").waitFor();
    for (const n of [1, 2, 3]) assert.equal(await heard(one, `message ${n}`).count(), 1);
    await becomes(() => keys(one), [["door", '"open"']]);
  }
  await becomes(() => people(ada), ["Ada you", "Ben", "Zoe"]);
  await home.stop();
  await home.start();
  await ben.getByText("connected again, in a new session: the old one has ended").waitFor();
  await becomes(() => keys(ben), []);
  assert.equal(await heard(ben, "message 3").count(), 1);
});

test("in live a seat knows its row in the list of connections", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, atLive(home));
  await page.locator("#live-section").scrollIntoViewIfNeeded();
  await page.locator(".connections tbody tr", { hasText: /^Ada\s+this page/ }).waitFor();
  await page.locator(".connections tbody tr", { hasText: /^Ben\s+this page/ }).waitFor();
  await page.getByRole("button", { name: "Kick Ben" }).click();
  await page.getByRole("button", { name: "Sure? Kick Ben" }).click();
  await seat(page, 1).getByText("closed: 1000 the session was ended").waitFor();
});

test("in live errors are shown, and so is the sentence of a refusal", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, atLive(home));
  const ada = seat(page, 0);
  await say(ada, '{"_to":"Nobody","psst":true}');
  await ada.locator(".frame.heard.failed", { hasText: "nobody called Nobody is in this topic" }).locator(".pill", { hasText: "error" }).waitFor();
  await ada.locator(".frame.said .pill", { hasText: "refused" }).waitFor();
  await page.locator("#said", { hasText: "Ada: nobody called Nobody is in this topic" }).waitFor();
  await ada.locator(".where").click();
  await ada.getByLabel("Name").fill("ü".repeat(33));
  await ada.getByRole("button", { name: "Join", exact: true }).click();
  assert.equal(await ada.getByLabel("Name").evaluate((input) => input.validationMessage), "A name has at most 64 bytes.");
  await ada.getByLabel("Name").fill("JC1dgf9yoAMCK-g=");
  await ada.getByRole("button", { name: "Join", exact: true }).click();
  await ada.getByRole("alert").getByText("a user's name cannot look like a connection id").waitFor();
  await ada.getByLabel("Name").fill("Eve");
  await ada.getByRole("button", { name: "Join", exact: true }).click();
  await becomes(() => people(ada), ["Ben", "Eve you"]);
});

test("the code to paste knows live", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, atLive(home));
  const code = async (language) => {
    await page.getByRole("tab", { name: language }).click();
    return page.locator("#paste code").textContent();
  };
  assert.match(await code("wscat"), /\/live\?topic=lobby&user=Ada&last=20'/);
  const go = await code("Go");
  assert.match(go, /client\.Connect\(context\.Background\(\), "ws:[^"?]+\/live", client\.Options\{\n\t\tTopics: \[\]string\{"lobby"\},\n\t\tUser: "Ada",\n\t\tLive: &client\.Live\{Last: 20\},\n/);
  assert.match(await code("Browser"), /connect\(\{\n {2}app: "live",\n {2}topic: "lobby",\n {2}user: "Ada",\n {2}last: 20,\n\}\)/);
  const out = execFileSync("sh", ["-ec", await code("curl")], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  assert.match(out, /"heard":2\}\n[^]*"_key":"temperature"[^]*"data":"hi there"/);
  await becomes(() => keys(seat(page, 0)), [["temperature", "21.5"]]);
  assert.match(await runGo(t, go), /^\{"_hello":/);
  await heard(seat(page, 1), '"data":"hi there"').locator(".pill", { hasText: "Ada" }).waitFor();
});

for (const [colorScheme, size, forcedColors] of [["light", [1280, 860]], ["dark", [1280, 860]], ["dark", [390, 844]], ["light", [320, 640]], ["light", [1920, 1000]], ["dark", [1280, 860], "active"]]) {
  test(`live, ${colorScheme}, ${size[0]} pixels wide${forcedColors ? ", forced colours" : ""}: nothing sticks out, and axe finds nothing`, async (t) => {
    const home = await Home.open(t);
    const zoe = await guest(t, home, "topic=lobby&user=" + "Z".repeat(60));
    for (let n = 0; n < 30; n++) zoe.send(JSON.stringify({ _key: `key ${n} ` + "k".repeat(n * 3), data: "v".repeat(n * 10), _tied: n % 2 === 0 }).replace(/,"_tied":false/, ""));
    const page = await visit(t, home, { ...atLive(home, "&topic=lobby&topic=game"), size, colorScheme, forcedColors });
    await say(seat(page, 0), '{"_to":"nobody"}');
    await page.waitForFunction(() => Array.from(document.querySelectorAll(".state-count"), (n) => n.textContent).join() === "30,30");
    assert.deepEqual((await sticksOut(page)).filter((html) => !html.includes("<li") && !/^<(span|small)/.test(html)), []);
    assert.deepEqual(forcedColors ? [] : await complaints(page), []);
  });
}

test("5,000 messages and 5,000 changes of the state, without stutter", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, atLive(home));
  const zoe = await guest(t, home, "topic=lobby&echo=0");
  const took = await longTask(page, async () => {
    for (let n = 1; n <= 5000; n++) {
      zoe.send(`{"n":${n},"type":"move"}`);
      zoe.send(`{"_key":"k${n % 300}","n":${n}}`);
      if (n % 50 === 0) await new Promise(setImmediate);
    }
    for (const i of [0, 1]) {
      await heard(seat(page, i), '"n":5000,"_key"').waitFor();
      await becomes(() => seat(page, i).locator(".state-count").textContent(), "300");
      assert.equal(await seat(page, i).locator(".keys tbody tr").count(), 100);
    }
  });
  const ada = seat(page, 0);
  const pages = ada.getByRole("group", { name: "Pages of keys" });
  for (const [range, button] of [["1–100", "More"], ["101–200", "More"], ["201–300", "Back"], ["101–200", "Back"]]) {
    await pages.getByText(range, { exact: true }).waitFor();
    assert.deepEqual((await ada.locator(".keys tbody th span").allTextContents()).slice(0, 2), [0, 1].map((n) => `k${n + Number.parseInt(range, 10)}`));
    await pages.getByRole("button", { name: button }).click();
  }
  await pages.getByText("1–100").waitFor();
  t.diagnostic(`a task took up to ${took} ms`);
  assert.ok(took < 200, `a task took ${took} ms`);
});
