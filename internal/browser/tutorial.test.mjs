// What docs/tutorial.md builds works, step by step, as it stands there.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { Home, patience } from "./home.mjs";

const text = readFileSync(new URL("../../docs/tutorial.md", import.meta.url), "utf8");

// program returns the code below a comment of the tutorial.
function program(comment) {
  const [, code] = new RegExp(`<!-- ${comment} -->\n\`\`\`\\w+\n(.*?)\`\`\`\n`, "s").exec(text) ?? assert.fail(`there is no ${comment}`);
  return code;
}

let browser;
before(async () => (browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] })));
after(() => browser.close());

// open opens the page as one player does.
async function open(t, home, name) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("dialog", (dialog) => dialog.accept(name));
  t.after(async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  });
  await page.goto(home.http);
  return page;
}

const players = (page) => page.locator("#players");
const status = (page, hasText) => page.locator("#status", { hasText }).waitFor();
const line = (page, list, hasText) => page.locator(`#${list} li`, { hasText }).waitFor();
const say = async (page, what) => {
  await page.getByLabel("Message").fill(what);
  await page.getByLabel("Message").press("Enter");
};

test("the tutorial", { timeout: 6 * patience }, async (t) => {
  const race = mkdtempSync(path.join(tmpdir(), "race"));
  t.after(() => rmSync(race, { recursive: true }));
  const write = (name, code) => writeFileSync(path.join(race, name), code);

  write("index.html", program("race/index.html"));
  const home = await Home.open(t, "--files", race, "--watch", "--linger", "200ms");
  const ada = await open(t, home, "Ada");
  await status(ada, "Nothing happens yet.");

  const talk = program("race/race.js");
  write("race.js", talk); // the page loads itself
  await ada.waitForFunction(() => sessionStorage.name === "Ada");
  const bob = await open(t, home, "Bob");
  await say(ada, "hello");
  await line(bob, "chat", "Ada: hello");
  await line(ada, "chat", "Ada: hello");
  const eve = await open(t, home, "Eve");
  await line(eve, "chat", "Ada: hello");
  await home.stop();
  await say(bob, "in the dark");
  await home.start();
  await line(ada, "chat", "Bob: in the dark");

  write("race.js", talk + program("race/race.js, at the end"));
  for (const page of [ada, bob, eve]) await status(page, "3 in the lobby");
  await eve.goto("about:blank");
  await status(bob, "2 in the lobby");
  const [host, guest] = (await players(ada).locator("li").first().textContent()) === "Ada (you)" ? [ada, bob] : [bob, ada];
  await host.locator("#start").waitFor();
  assert.equal(await guest.locator("#start").isVisible(), false);

  write("race.js", talk + program("race/race.js, in place of step 3"));
  for (const page of [ada, bob]) await status(page, "2 in the lobby. The first one");
  const [first, second] = await host.locator("#start").isVisible() ? [host, guest] : [guest, host]; // they have loaded anew
  await first.locator("#start").click();
  for (const page of [ada, bob]) await status(page, "Go!");
  for (let n = 0; n < 19; n++) for (const page of [first, second]) await page.locator("#tap").click();
  const late = await open(t, home, "Zoe");
  await late.waitForFunction(() => [...document.querySelectorAll("progress")].map((bar) => bar.value).join() === "19,19,0");
  await second.locator("#tap").click();
  const winner = second === ada ? "Ada" : "Bob";
  for (const page of [ada, bob, late]) await status(page, `${winner} wins!`);
  await second.reload();
  await status(second, `${winner} wins!`);
  assert.ok(await ada.locator("#tap").isDisabled());
  await late.goto("about:blank");
  await first.waitForFunction(() => document.querySelectorAll("progress").length === 2);
  await first.locator("#start").click();
  for (const page of [ada, bob]) {
    await status(page, "Go!");
    assert.equal(await page.evaluate(() => [...document.querySelectorAll("progress")].map((bar) => bar.value).join()), "0,0");
  }
  await second.reload(); // it has won the round before: that changes nothing
  await status(second, "Go!");
  await second.locator("#tap").click();
  for (const page of [second, first]) {
    await page.reload();
    await page.waitForFunction(() => [...document.querySelectorAll("progress")].map((bar) => bar.value).sort().join() === "0,1");
    await status(page, "Go!");
  }
  await second.locator("#tap").click();
  await first.waitForFunction(() => [...document.querySelectorAll("progress")].map((bar) => bar.value).sort().join() === "0,2");

  await home.stop(); // and with it, what everybody knew
  assert.equal(await first.locator("#start").isVisible(), false);
  await home.start();
  for (const page of [ada, bob]) await status(page, "2 in the lobby. The first one");
  const again = await first.locator("#start").isVisible() ? first : second;
  await again.locator("#start").click();
  for (const page of [ada, bob]) await status(page, "Go!");
  for (let n = 0; n < 20; n++) await again.locator("#tap").click();
  for (const page of [ada, bob]) await status(page, `${again === ada ? "Ada" : "Bob"} wins!`);
});

test("the step about phones", { timeout: 3 * patience }, async (t) => {
  const race = mkdtempSync(path.join(tmpdir(), "race"));
  t.after(() => rmSync(race, { recursive: true }));
  const [, keyed] = /```js\n(const token = .*?)```/s.exec(text);
  const talk = program("race/race.js");
  const [old] = /const room = .*\n/.exec(talk);
  writeFileSync(path.join(race, "index.html"), program("race/index.html"));
  writeFileSync(path.join(race, "race.js"), talk.replace(old, keyed) + program("race/race.js, in place of step 3"));
  const home = await Home.open(t, "--files", race, "--key", "apple-tree");
  const page = await open(t, { http: `${home.http}/#key=apple-tree` }, "Ada");
  await status(page, "1 in the lobby");
});
