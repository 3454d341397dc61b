// Pages of one's own that crier serves (--files), in a real Chromium.
import assert from "node:assert/strict";
import { mkdtempSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Home, patience } from "./home.mjs";
import { browser, test } from "./visit.mjs";

const html = (title, script = "") => `<!doctype html><html lang="en"><title>${title}</title><link rel="icon" href="data:,">${script}`;

// directory makes one with an index.html.
function directory(t, page) {
  const dir = mkdtempSync(path.join(tmpdir(), "crier-own-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  writeFileSync(path.join(dir, "index.html"), page);
  return dir;
}

test("a page loads itself again, in ten tabs, and not while a build is at work", async (t) => {
  const dir = directory(t, html("first"));
  const home = await Home.open(t, "--files", dir, "--watch");
  const context = await browser.newContext();
  t.after(() => context.close());
  const tabs = [];
  for (let i = 0; i < 10; i++) {
    const tab = await context.newPage();
    tab.setDefaultTimeout(patience);
    // A headless browser shows all of its tabs; here it shows the last three.
    await tab.addInitScript((shown) => {
      let hidden = !shown;
      Object.defineProperty(document, "hidden", { get: () => hidden });
      window.show = (is) => {
        hidden = !is;
        document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
      };
    }, i > 6);
    await tab.goto(home.http);
    tabs.push(tab);
  }
  const last = tabs.at(-1);
  const title = (tab, text) => tab.waitForFunction((text) => document.title === text, text);
  writeFileSync(path.join(dir, "index.html"), html("second"));
  await title(last, "second");
  assert.equal(await tabs[0].title(), "first");
  await tabs[0].evaluate(() => show(true));
  await title(tabs[0], "second");

  await last.evaluate(() => (window.before = true));
  const asked = last.waitForResponse((response) => response.status() === 404);
  renameSync(dir, dir + ".old");
  t.after(() => rmSync(dir + ".old", { recursive: true, force: true }));
  await asked;
  assert.equal(await last.evaluate(() => before && document.title), "second");
  const early = await context.newPage();
  await early.goto(home.http);
  await early.getByText("There is no index.html").waitFor();
  mkdirSync(dir);
  writeFileSync(path.join(dir, "index.html"), html("third"));
  for (const tab of [last, early]) await title(tab, "third");
});

test("a page without its key is told once what it lacks", async (t) => {
  const dir = directory(t, html("keyed", `<script type="module">
    import { connect } from "./crier.js";
    window.crier = connect({ app: "live", topic: "a", token: location.hash.slice(1) });
  </script>`));
  const home = await Home.open(t, "--files", dir, "--key", "apple-tree-7");
  for (const [key, refusal] of [["", "no-credential: this server wants a key or a token"], ["#pear-tree-8", "wrong-key: this is no key of the server"], ["#apple-tree-7", ""]]) {
    const page = await browser.newPage();
    const said = [];
    page.on("console", (message) => said.push(message.text()));
    await page.goto(home.http + "/" + key);
    await page.waitForFunction(() => /open|closed/.test(window.crier?.status));
    assert.equal(said.length, refusal ? 1 : 0, said.join("\n"));
    if (refusal) assert.ok(said[0].startsWith(refusal), said[0]);
    await page.close();
  }
});
