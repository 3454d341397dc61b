// The page with keys and tokens, in a real Chromium.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { Home, secret, token } from "./home.mjs";
import { browser, complaints, heard, runGo, say, seat, seated, sticksOut, test, visit } from "./visit.mjs";

const key = "schlüssel + äpfel/~";
const form = (page) => page.locator("#access");
const field = (page) => form(page).getByLabel("Key or token");

// enter types a key or a token.
async function enter(page, text) {
  await field(page).fill(text);
  await field(page).press("Enter");
}

for (const app of ["broadcast", "live", "rooms"]) {
  test(`${app}: a page without a key asks for it, and keeps it to itself`, async (t) => {
    const home = await Home.open(t, "--key", key);
    const page = await visit(t, home, { seats: 0, address: `${home.http}/?app=${app}` });
    const addresses = [];
    page.on("websocket", (socket) => addresses.push(socket.url()));
    page.on("request", (request) => addresses.push(request.url()));
    await form(page).getByText("This server wants a key or a token.").waitFor();
    await seat(page, 1).locator(".state", { hasText: "refused" }).waitFor();
    await enter(page, "guess");
    await form(page).getByText("The server says: this is no key of the server.").waitFor();
    await enter(page, key);
    await seated(page, 2);
    await form(page).getByText("Every seat shows the key.").waitFor();
    const text = app === "rooms" ? '{"action":"broadcast","topic":"lobby","payload":{"x":"hi"}}' : "hi";
    await say(seat(page, 0), text);
    await heard(seat(page, 1), '"hi"').first().waitFor();
    assert.equal(await field(page).inputValue(), "");
    await page.reload();
    await seated(page, 2);
    assert.equal(await form(page).isVisible(), false);
    for (const address of addresses) assert.doesNotMatch(decodeURIComponent(address), /schlüssel|token/);
    assert.deepEqual(await page.evaluate(() => [document.cookie, localStorage.length]), ["", 0]);

    const other = await page.context().newPage();
    await other.goto(page.url());
    await form(other).getByText("This server wants a key or a token.").waitFor();

    await page.getByRole("button", { name: "Key or token" }).click();
    await form(page).getByRole("button", { name: "Forget" }).click();
    await form(page).getByText("This server wants a key or a token.").waitFor();
  });
}

test("an address brings the key along, and does not keep it", async (t) => {
  const home = await Home.open(t, "--key", key);
  const page = await visit(t, home, { address: `${home.http}/?app=live#key=${encodeURIComponent(key)}` });
  const addresses = [];
  page.on("websocket", (socket) => addresses.push(socket.url()));
  await seated(page, 2);
  assert.equal(await form(page).isVisible(), false);
  assert.equal(page.url(), home.http + "/?app=live");
  await page.reload();
  await seated(page, 2);
  for (const address of addresses) assert.doesNotMatch(decodeURIComponent(address), /schlüssel|token|key/);
});

test("what a token says is shown, and what the server says about it", async (t) => {
  const home = await Home.open(t, "--token-secret", secret);
  const page = await visit(t, home, { seats: 0, address: home.http + "/?app=live&topic=game-1" });
  await field(page).waitFor();
  await enter(page, token(3600, { sub: "zoë", topics: ["game-*"], can: ["hear"] }));
  await seated(page, 2);
  const says = (await form(page).locator("dl").innerText()).replaceAll("\n", " ");
  assert.match(says, /^User zoë Topics game-\* May receive Until \w+ \d+, 20\d\d, \d+:\d\d [AP]M, in 60 min$/);
  await form(page).getByText("Only the server can check whether it is true.").waitFor();
  assert.deepEqual(await seat(page, 0).locator(".here li").allInnerTexts(), ["zoë\nyou", "zoë"]);
  await say(seat(page, 0), "hi");
  await page.getByText('you may not say anything in the topic "game-1"').first().waitFor();

  const one = seat(page, 0);
  for (const [app, topic, sentence] of [
    ["live", "lobby", 'The server says: you may not hear the topic "lobby".'],
    ["broadcast", "lobby", 'The server says: you may not hear the topic "lobby".'],
    ["broadcast", "", "The server says: you may not hear what everyone does; name a topic."],
  ]) {
    if (!(await one.locator(".join").isVisible())) await one.locator(".where").click();
    await one.getByLabel("App").selectOption(app);
    await one.getByLabel("Topic").fill(topic);
    await one.getByRole("button", { name: "Join", exact: true }).click();
    await one.getByText(sentence).waitFor();
  }
  await one.getByLabel("Topic").fill("game-2");
  await one.getByRole("button", { name: "Join", exact: true }).click();
  await seated(page, 2);
});

test("a token that expires is asked for again", async (t) => {
  const home = await Home.open(t, "--token-secret", secret);
  const page = await visit(t, home, { seats: 0 });
  await field(page).waitFor();
  await enter(page, token(4));
  await seated(page, 2);
  await form(page).getByText("The server says: the token has expired.").waitFor();
  await form(page).getByText("that is over").waitFor();
  await seat(page, 1).locator(".state", { hasText: "refused" }).waitFor();
  await enter(page, token(3600));
  await seated(page, 2);
});

test("a user who is signed out is told so", async (t) => {
  const home = await Home.open(t, "--token-secret", secret);
  const page = await visit(t, home, { seats: 0 });
  await field(page).waitFor();
  await enter(page, token(3600));
  await seated(page, 2);
  assert.ok((await fetch(`${home.http}/users/ada?for=10m`, { method: "DELETE" })).ok);
  await seat(page, 0).getByText("closed: 1008 this user was signed out").waitFor();
  await seat(page, 0).getByRole("button", { name: "Join", exact: true }).click();
  await seat(page, 0).getByText("The server says: this user was signed out, and has to wait.").waitFor();
});

test("what looks like a token and is none does no harm", async (t) => {
  const home = await Home.open(t, "--token-secret", secret);
  const page = await visit(t, home, { seats: 0 });
  await field(page).waitFor();
  const tokens = ["a.b.c", "..", "e30.bnVsbA.x", `x.${btoa('{"sub":{"a":1},"topics":7,"can":"hear","exp":"soon","nbf":1e99}')}.x`, "x.W10.x"];
  for (const text of tokens) {
    await enter(page, text);
    await form(page).getByText("The server says: ").waitFor();
  }
});

test("the code to paste has no key, and works with one", async (t) => {
  const home = await Home.open(t, "--key", key);
  const page = await visit(t, home, { seats: 0, address: home.http + "/?topic=lobby" });
  await field(page).waitFor();
  await enter(page, key);
  await seated(page, 2);
  const code = async (language) => {
    await page.getByRole("tab", { name: language }).click();
    await page.getByText("This code does not contain your key or token").waitFor();
    const text = await page.locator("#paste code").textContent();
    assert.doesNotMatch(text, /schlüssel/);
    return text;
  };
  const arrives = (n) => heard(seat(page, 0), '"hi there"').nth(n - 1).waitFor();
  const env = { ...process.env, KEY: key };
  assert.match(await code("wscat"), /^npx wscat -c 'ws:\S+' -H "Authorization: Bearer \$KEY"\n/);
  assert.match(execFileSync("sh", ["-ec", await code("curl")], { encoding: "utf8", env, stdio: ["ignore", "pipe", "ignore"] }), /^\{"ok":true,"heard":2\}\n\[/);
  await arrives(1);

  const html = `<!doctype html><meta charset="utf-8"><title>mine</title>${await code("Browser")}`;
  const server = createServer((_, response) => response.setHeader("Content-Type", "text/html").end(html)).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const mine = await browser.newPage();
  t.after(() => mine.close());
  mine.on("dialog", (dialog) => dialog.accept(key));
  await mine.goto(`http://localhost:${server.address().port}/`);
  await arrives(3);

  assert.match(await runGo(t, await code("Go"), env), /^\{"data":"hi there","_now":\d+,"_me":true\}\n$/);
});

test("in live and rooms the code to paste has no key either", async (t) => {
  const home = await Home.open(t, "--key", key);
  for (const app of ["live", "rooms"]) {
    const page = await visit(t, home, { seats: 0, address: `${home.http}/?app=${app}` });
    await field(page).waitFor();
    await enter(page, key);
    await seated(page, 2);
    await page.getByRole("tab", { name: "Browser" }).click();
    const text = await page.locator("#paste code").textContent();
    assert.match(text, /token: key,/);
    assert.doesNotMatch(text, /schlüssel/);
  }
});

// throttle makes the server say that all connections are throttled but the first.
async function throttle(page) {
  const answer = async (route) => {
    const rows = await (await route.fetch()).json();
    return route.fulfill({ json: rows.map((row, i) => (i ? { ...row, throttled: true } : row)) });
  };
  await page.route("**/@connections?*", (route) => answer(route).catch(() => {})); // at the end, the server is gone
}

test("who is throttled can be seen", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  await throttle(page);
  await page.locator("#live-section").scrollIntoViewIfNeeded();
  const rows = page.locator(".connections tbody tr");
  await rows.nth(1).getByText("throttled").waitFor();
  assert.equal(await rows.nth(0).getByText("throttled").isVisible(), false);
});

for (const [colorScheme, width, forcedColors] of [
  ["light", 320],
  ["dark", 390],
  ["light", 768],
  ["dark", 1024],
  ["light", 1440],
  ["dark", 1440],
  ["dark", 768, "active"],
]) {
  test(`${colorScheme}, ${width} pixels wide${forcedColors ? ", forced colours" : ""}: the form fits, and axe finds nothing`, async (t) => {
    const home = await Home.open(t, "--token-secret", secret);
    const page = await visit(t, home, { seats: 0, size: [width, 860], colorScheme, forcedColors });
    const look = async (name) => {
      if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/${name}-${colorScheme}-${width}${forcedColors ?? ""}.png` });
      assert.deepEqual(await sticksOut(page), [], name);
      if (!forcedColors) assert.deepEqual(await complaints(page), [], name);
    };
    await throttle(page);
    await form(page).getByText("This server wants a key or a token.").waitFor();
    await look("refused");
    const topics = ["game-*", "a-topic-with-a-name-that-goes-on-and-on-without-an-end-or-a-blank-in-it-until-nobody-reads-it"];
    await enter(page, token(3600, { sub: "somebody with quite a long name", topics }));
    await seat(page, 0).getByText("The server says: you may not hear what everyone does; name a topic.").waitFor();
    for (const i of [0, 1]) {
      await seat(page, i).getByLabel("Topic").fill("game-1");
      await seat(page, i).getByRole("button", { name: "Join", exact: true }).click();
    }
    await seated(page, 2);
    await page.evaluate(() => scrollTo(0, 0));
    await look("token");
    await page.locator("#code-section").scrollIntoViewIfNeeded();
    await look("code");
    await page.locator("#live-section").scrollIntoViewIfNeeded();
    await page.locator(".connections tbody tr").nth(1).getByText("throttled").waitFor();
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await look("throttled");
  });
}
