// What is in examples/ works: pages in Chromium, on a site of their own; programs as they are.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { after, before, test as nodeTest } from "node:test";
import { chromium } from "playwright-core";
import { Home, Network, patience, secret, token } from "./home.mjs";

const examples = fileURLToPath(new URL("../../examples/", import.meta.url));
const test = (name, run) => nodeTest(name, { timeout: 3 * patience }, run);

let browser;
let site; // where the pages are
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
  site = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    response.setHeader("Content-Type", "text/html");
    response.end(pathname.endsWith("/") ? readFileSync(path.join(examples, pathname, "index.html")) : "");
  }).listen(0, "127.0.0.1");
  await once(site, "listening");
});
after(async () => {
  await browser.close();
  site.close();
});

// visit opens an example as one person.
async function visit(t, home, example, query = "") {
  const context = await browser.newContext({ viewport: { width: 800, height: 600 } });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.stack));
  t.after(async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  });
  await page.goto(`http://localhost:${site.address().port}/${example}/?server=${home.http}${query}`);
  return page;
}

// connections waits until a topic has so many.
async function connections(home, topic, n) {
  for (const deadline = Date.now() + patience; ; ) {
    const list = await (await fetch(`${home.http}/@connections?topic=${topic}`)).json();
    if (list.length === n) return;
    assert.ok(Date.now() < deadline, `${topic} has ${list.length} connections, not ${n}`);
  }
}

// crash ends a page that cannot say goodbye.
async function crash(page) {
  const crashed = page.waitForEvent("crash");
  page.goto("chrome://crash").catch(() => {});
  await crashed;
}

test("a server can have them, too", async (t) => {
  const home = await Home.open(t, "--files", examples);
  for (const [i, example] of ["cursors", "chat", "game", "dashboard", "poll"].entries()) {
    const page = await browser.newPage();
    t.after(() => page.close());
    page.on("pageerror", (error) => assert.fail(error.stack));
    await page.goto(`${home.http}/${example}/`);
    for (const deadline = Date.now() + patience; ; ) {
      const list = await (await fetch(`${home.http}/@connections?app=live`)).json();
      if (list.length === i + 1) break;
      assert.ok(Date.now() < deadline, `with ${example} there are ${list.length} connections`);
    }
  }
});

test("each is short", () => {
  for (const example of ["cursors", "chat", "game", "dashboard", "poll", "raw"]) {
    for (const file of readdirSync(path.join(examples, example))) {
      const lines = readFileSync(path.join(examples, example, file), "utf8").split("\n").length - 1;
      assert.ok(lines < 100, `${example}/${file} has ${lines} lines`);
    }
  }
});

// How long a session waits for a page that is gone: longer than any test, or shorter.
const long = ["--linger", "1h"];
const short = ["--linger", "200ms"];

test("cursors: everybody's pointer is on everybody's page, also on a late one", async (t) => {
  const home = await Home.open(t, ...long);
  const [ann, bob] = [await visit(t, home, "cursors", "&name=Ann"), await visit(t, home, "cursors", "&name=Bob")];
  await ann.locator("#count", { hasText: "2" }).waitFor();
  await ann.mouse.move(400, 300);
  await resting(bob, "Ann", 400, 300);
  const eve = await visit(t, home, "cursors", "&name=Eve");
  await resting(eve, "Ann", 400, 300);
  assert.equal(await eve.locator("#count").textContent(), "3");
  assert.equal(await ann.locator(".cursor").count(), 0); // nobody sees his own

  const before = await cursor(bob, "Ann").getAttribute("id");
  await ann.reload();
  await cursor(bob, "Ann").waitFor({ state: "detached" }); // at once
  await ann.locator("#count", { hasText: "3" }).waitFor();
  await ann.mouse.move(200, 100);
  await resting(bob, "Ann", 200, 100);
  assert.equal(await cursor(bob, "Ann").getAttribute("id"), before);
  assert.equal(await ann.locator(".cursor").count(), 0);
  await ann.goto("about:blank");
  await cursor(bob, "Ann").waitFor({ state: "detached" });
});

test("cursors: those of a page that crashes go, and those of a server that crashes come back", async (t) => {
  const home = await Home.open(t, ...short);
  const [ann, bob] = [await visit(t, home, "cursors", "&name=Ann"), await visit(t, home, "cursors", "&name=Bob")];
  await bob.locator("#count", { hasText: "2" }).waitFor();
  await ann.mouse.move(400, 300);
  await resting(bob, "Ann", 400, 300);
  const before = await cursor(bob, "Ann").getAttribute("id");
  await home.stop("SIGKILL");
  await home.start();
  await bob.waitForFunction((id) => document.querySelector(".cursor") && !document.getElementById(id), before);
  await resting(bob, "Ann", 400, 300);
  assert.equal(await bob.locator(".cursor").count(), 1);
  await crash(ann);
  await cursor(bob, "Ann").waitFor({ state: "detached" });
  await bob.locator("#count", { hasText: "1" }).waitFor();
});

const cursor = (page, name) => page.locator(".cursor", { hasText: name });

// resting waits until somebody's cursor is somewhere.
async function resting(page, name, x, y) {
  await cursor(page, name).waitFor();
  await page.waitForFunction(
    ([name, at]) => [...document.querySelectorAll(".cursor")].find((one) => one.textContent === name)?.style.transform === at,
    [name, `translate(${x}px, ${y}px)`],
  );
}

test("chat: what one says both see, also late, and when the server was away", async (t) => {
  const home = await Home.open(t, ...long);
  const [ann, bob] = [await visit(t, home, "chat", "&name=Ann"), await visit(t, home, "chat", "&name=Bob")];
  await ann.getByText("Ann, Bob").waitFor();
  await say(ann, "hi <b>Bob</b>");
  await bob.locator("li", { hasText: "hi <b>Bob</b>" }).waitFor();
  assert.match(await bob.locator("li small").textContent(), /^Ann, /);
  assert.equal(await ann.locator("li.mine").count(), 1);

  const eve = await visit(t, home, "chat", "&name=Eve");
  await eve.locator("li", { hasText: "hi <b>Bob</b>" }).waitFor();
  assert.equal(await eve.locator("#here").textContent(), "Ann, Bob, Eve");
  await bob.locator("li.note", { hasText: "Eve is here" }).waitFor();
  await ann.reload(); // nobody notices
  await ann.locator("li.mine", { hasText: "hi <b>Bob</b>" }).waitFor();
  assert.equal(await ann.locator("#here").textContent(), "Ann, Bob, Eve");
  await ann.locator("#name").fill("Anna");
  await ann.keyboard.press("Enter");
  await bob.locator("li.note", { hasText: "Anna is here" }).waitFor();
  assert.deepEqual(await bob.locator("li.note").allTextContents(), ["Eve is here", "Ann is gone", "Anna is here"]);
  await ann.getByText("Bob, Eve, Anna").waitFor();

  await home.stop();
  await ann.getByText("waiting for the network…").waitFor();
  await bob.getByText("waiting for the network…").waitFor();
  await say(bob, "still here");
  await home.start();
  await ann.locator("li", { hasText: "still here" }).waitFor();
  await bob.locator("li.mine", { hasText: "still here" }).waitFor();
  assert.equal(await bob.locator("li", { hasText: "still here" }).count(), 1);
  assert.equal(await bob.locator("li", { hasText: "hi" }).count(), 0); // the server has forgotten it
});

test("chat: who closes the page or has no network is gone, unless in another window, too", async (t) => {
  const home = await Home.open(t, ...short, "--ping-interval", "500ms");
  const network = await Network.open(t, home);
  const bob = await visit(t, home, "chat", "&name=Bob");
  await bob.getByText("Bob", { exact: true }).waitFor();
  const ann = await visit(t, { http: network.url.replace("ws", "http") }, "chat", "&name=Ann");
  await bob.getByText("Bob, Ann", { exact: true }).waitFor();
  const again = await visit(t, home, "chat", "&name=Ann");
  await again.getByText("Bob, Ann", { exact: true }).waitFor();
  await again.close();
  await connections(home, "chat", 2);
  network.freeze();
  await bob.locator("li.note", { hasText: "Ann has no network" }).waitFor();
  assert.deepEqual(await bob.locator("li.note").allTextContents(), ["Ann is here", "Ann has no network"]);
  assert.equal(await bob.locator("#here").textContent(), "Bob");
  network.thaw();
  await bob.getByText("Bob, Ann", { exact: true }).waitFor();
  await crash(ann);
  await bob.locator("li.note", { hasText: "Ann is gone" }).waitFor();
});

async function say(page, text) {
  await page.locator("#text").fill(text);
  await page.keyboard.press("Enter");
}

test("game: two play, a third watches, and who reloads goes on", async (t) => {
  const home = await Home.open(t, ...long);
  const ann = await visit(t, home, "game", "&name=Ann");
  await ann.getByText("Waiting for somebody").waitFor();
  const bob = await visit(t, home, "game", "&name=Bob");
  await ann.getByText("Your turn: X").waitFor();
  await bob.getByText("Ann’s turn.").waitFor();
  await play(ann, 0);
  await play(bob, 4);
  await play(ann, 1);
  await bob.getByText("Your turn: O").waitFor();
  await bob.reload();
  await play(bob, 5);
  await ann.getByText("Your turn: X").waitFor();
  await ann.reload(); // the host
  const eve = await visit(t, home, "game", "&name=Eve");
  await eve.getByText("Ann’s turn.").waitFor();
  assert.equal(await eve.locator("#board").textContent(), "XXOO");
  assert.deepEqual(await eve.locator("#here li").allTextContents(), ["Ann X, host", "Bob O", "Eve watches"]);
  assert.equal(await eve.locator("#board button:enabled").count(), 0);
  await play(ann, 2);
  await ann.getByText("You win.").waitFor();
  await bob.getByText("Ann wins.").waitFor();
  await eve.getByText("Ann wins.").waitFor();
  await bob.getByRole("button", { name: "Play again" }).click();
  await bob.getByText("Your turn: X").waitFor();
  await ann.getByText("Bob’s turn.").waitFor();
  await eve.getByText("Bob’s turn.").waitFor();
});

test("game: when a player is gone the next sits down, and when the host is gone the next is host", async (t) => {
  const home = await Home.open(t, ...short);
  const ann = await visit(t, home, "game", "&name=Ann");
  await ann.getByText("Waiting for somebody").waitFor();
  const bob = await visit(t, home, "game", "&name=Bob");
  await play(ann, 0);
  await bob.getByText("Your turn: O").waitFor();
  const eve = await visit(t, home, "game", "&name=Eve");
  await eve.getByText("Bob’s turn.").waitFor();
  await crash(ann);
  await bob.getByText("Your turn: X").waitFor();
  await eve.getByText("Bob’s turn.").waitFor();
  assert.deepEqual(await eve.locator("#here li").allTextContents(), ["Bob X, host", "Eve O"]);
  assert.equal(await eve.locator("#board").textContent(), "");
  await play(bob, 8);
  await play(eve, 7);
  await bob.close();
  await eve.getByText("Waiting for somebody").waitFor();
  assert.deepEqual(await eve.locator("#here li").allTextContents(), ["Eve X, host"]);
  const dan = await visit(t, home, "game", "&name=Dan");
  await dan.getByText("Eve’s turn.").waitFor();
  await home.stop();
  await eve.getByText("Connecting…").waitFor();
  await home.start(); // it has forgotten the game
  await Promise.race([eve, dan].map((page) => page.getByText("Your turn: X").waitFor()));
});

const play = async (page, at) => page.locator("#board button").nth(at).click(); // waits until it is enabled

test("dashboard: a shell script feeds it, and what it fed is there at once", async (t) => {
  const home = await Home.open(t, "--admin-key", "s3cret");
  const state = `${home.http}/topics/dashboard/state`;
  const headers = { Authorization: "Bearer s3cret" };
  const page = await visit(t, home, "dashboard");
  await page.getByText("Nobody has sent anything yet.").waitFor();
  execFileSync("sh", [path.join(examples, "dashboard/feed.sh")], { env: { ...process.env, SERVER: home.http, TIMES: "1", KEY: "s3cret" } });
  await page.locator("figure", { hasText: "load" }).waitFor();
  const memory = async (page) => page.locator("figure", { hasText: "free memory" }).locator("b").textContent();
  assert.match(await memory(page), /^[\d.,]+ GiB$/);

  await fetch(`${state}/kitchen?app=live`, { method: "PUT", headers, body: "21.5 °C" });
  const late = await visit(t, home, "dashboard");
  const kitchen = late.locator("figure", { hasText: "kitchen" });
  await kitchen.locator("b", { hasText: "21.5 °C" }).waitFor();
  assert.equal(await memory(late), await memory(page));
  assert.equal(await late.locator("figure.old").count(), 0);
  const older = await browser.newContext();
  t.after(() => older.close());
  const next = await older.newPage();
  await next.clock.install({ time: Date.now() + 3 * 60_000 + 5000 });
  await next.goto(late.url());
  await next.locator("figure.old", { hasText: "kitchen" }).getByText("3 minutes ago").waitFor();

  await fetch(`${state}/kitchen?app=live`, { method: "DELETE", headers });
  await kitchen.waitFor({ state: "detached" });
  await home.stop();
  await home.start(); // it has forgotten everything
  await late.getByText("Nobody has sent anything yet.").waitFor();
  assert.equal(await late.locator("figure").count(), 0);
});

test("each page takes the server's key, and says why the server refuses another", async (t) => {
  const home = await Home.open(t, "--key", "apple-tree-7");
  for (const [example, topic] of Object.entries({ cursors: "cursors", chat: "chat", game: "game-1", dashboard: "dashboard", poll: "poll-1" })) {
    const refused = await visit(t, home, example, "&teacher#key=guess");
    await refused.getByText("this is no key of the server").waitFor();
    assert.equal(await refused.locator("button:enabled:visible").count(), 0, example);
    await visit(t, home, example, "#key=apple-tree-7");
    await connections(home, topic, 1);
  }
});

test("poll: each pupil has one vote, changes it, and keeps it", async (t) => {
  const home = await Home.open(t, ...short);
  const teacher = await visit(t, home, "poll", "&teacher");
  const ann = await visit(t, home, "poll");
  await ann.getByText("Wait for the question.").waitFor();
  await ask(teacher, "Is <b>it</b> a bird?", "Yes\n\n No \nA plane");
  await ann.getByRole("heading", { name: "Is <b>it</b> a bird?" }).waitFor();
  assert.deepEqual(await ann.locator("#answers button").allTextContents(), ["Yes", "No", "A plane"]);
  await vote(ann, "Yes");
  await results(teacher, ["Yes1", "No0", "A plane0"], "1 voted, 1 here.");
  const bob = await visit(t, home, "poll");
  await bob.getByText("1 voted, 2 here.").waitFor();
  assert.equal(await bob.locator("#answers").textContent(), "YesNoA plane"); // no hint
  await vote(bob, "No");
  await results(bob, ["Yes1", "No1", "A plane0"], "2 voted, 2 here.");
  await vote(ann, "No");
  await results(teacher, ["Yes0", "No2", "A plane0"], "2 voted, 2 here.");
  assert.match(await teacher.locator("#answers i").nth(1).getAttribute("style"), /width: 100%/);

  await ann.reload();
  await results(ann, ["Yes0", "No2", "A plane0"], "2 voted, 2 here.");
  assert.equal(await ann.locator("[aria-pressed=true]").textContent(), "No2");
  const tab = await ann.context().newPage(); // has no vote of its own
  await tab.goto(ann.url());
  await vote(tab, "A plane");
  await results(ann, ["Yes0", "No1", "A plane1"], "2 voted, 2 here.");
  await tab.close();
  await crash(bob); // a vote stays
  await results(teacher, ["Yes0", "No1", "A plane1"], "2 voted, 1 here.");
  await teacher.reload();
  await results(teacher, ["Yes0", "No1", "A plane1"], "2 voted, 1 here.");
  await ask(teacher, "And now?", "Yes\nNo");
  await results(teacher, ["Yes0", "No0"], "0 voted, 1 here.");
  await ann.getByRole("heading", { name: "And now?" }).waitFor();
  assert.equal(await ann.locator("[aria-pressed=true]").count(), 0);
});

test("poll: a token says who one is, whatever the address says", async (t) => {
  const home = await Home.open(t, "--token-secret", secret, ...short);
  const open = (user, query) => visit(t, home, "poll", `${query}#key=${token(60, { ...(user && { sub: user }), topics: ["poll-*"] })}`);
  const [teacher, ann, zoe] = [await open("teacher", ""), await open("", "&name=Ann"), await open("zoë", "&teacher")];
  await ask(teacher, "Is it a bird?", "Yes\nNo");
  await vote(ann, "Yes");
  await vote(zoe, "No");
  assert.equal(await zoe.getByLabel("Question").isVisible(), false);
  for (const page of [teacher, ann, zoe]) await results(page, ["Yes1", "No1"], "2 voted, 2 here.");
  assert.equal(await zoe.locator("[aria-pressed=true]").textContent(), "No1");
});

async function ask(page, question, answers) {
  await page.getByLabel("Question").fill(question);
  await page.getByLabel("Answers").fill(answers);
  await page.getByRole("button", { name: "Ask" }).click();
}

const vote = (page, answer) => page.locator("#answers button", { hasText: answer }).click();

// results waits for what a page shows.
async function results(page, answers, state) {
  await page.waitForFunction(
    ([answers, state]) =>
      document.getElementById("state").value === state && [...document.querySelectorAll("#answers button")].map((one) => one.textContent).join() === answers,
    [answers.join(), state],
  );
}

test("raw: a socket and a hundred lines", async (t) => {
  const home = await Home.open(t, "--ping-interval", "1s");
  const dir = mkdtempSync(path.join(tmpdir(), "crier-raw-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const program = path.join(dir, "raw");
  execFileSync("cc", ["-Wall", "-Wextra", "-Werror", "-o", program, path.join(examples, "raw/crier.c")]);
  const raw = spawn(program, ["127.0.0.1", String(home.port), "/?topic=raw"]);
  t.after(() => raw.kill());
  const lines = createInterface(raw.stdout)[Symbol.asyncIterator]();
  const hears = async () => (await lines.next()).value;
  raw.stdin.write("hi there\n" + '{"t":21.5}\n' + "x".repeat(300) + "\n");
  assert.match(await hears(), /^\{"data":"hi there","_now":\d+,"_me":true\}$/);
  assert.match(await hears(), /^\{"t":21\.5,"_now":\d+,"_me":true\}$/);
  assert.match(await hears(), /^\{"data":"x{300}",/);
  await home.publish("y".repeat(100_000), "?topic=raw"); // more than it has room for
  assert.match(await hears(), /^\{"data":"y{1015}$/);
  for (const began = Date.now(); Date.now() - began < 2500; ) { // it answers pings, or would be hung up on
    await home.publish("still there?", "?topic=raw");
    assert.match(await hears(), /^\{"data":"still there\?",/);
  }
  const exit = once(raw, "exit");
  raw.stdin.end();
  assert.deepEqual(await exit, [0, null]);
  const refused = spawn(program, ["127.0.0.1", String(home.port), "/bridge"]);
  let why = "";
  refused.stderr.on("data", (data) => (why += data));
  assert.deepEqual(await once(refused, "close"), [1, null]);
  assert.match(why, /400 Bad Request/);
});
