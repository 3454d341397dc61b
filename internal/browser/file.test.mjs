// Pages that are opened from a file, in a real Chromium.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Home, patience } from "./home.mjs";
import { browser, test } from "./visit.mjs";

// open writes a page into a file, and opens it. It returns the page, what is said in its console, and its sockets.
async function open(t, html) {
  const dir = mkdtempSync(path.join(tmpdir(), "crier-file-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = path.join(dir, "index.html");
  writeFileSync(file, html);
  return look(t, file);
}

async function look(t, file) {
  const page = await browser.newPage();
  t.after(() => page.close());
  page.setDefaultTimeout(patience);
  const [said, sockets] = [[], []];
  page.on("console", (message) => said.push(message.text()));
  page.on("websocket", (socket) => sockets.push(socket.url()));
  await page.goto(pathToFileURL(file).href);
  return { page, said, sockets };
}

const html = (home, options) => `<!doctype html><meta charset="utf-8"><title>mine</title><script type="module">
import { connect } from "${home.http}/crier.js";
window.crier = connect(${JSON.stringify({ ...options, retry: [1, 1] })});
window.states = [];
crier.addEventListener("state", () => states.push(crier.status));
window.fate = crier.send("hi");
</script>`;

for (const [name, options] of Object.entries({ broadcast: {}, live: { app: "live", topic: "a" }, "with a token": { token: "k" } })) {
  test(`${name}: a page from a file is told once what to do, and is refused once`, async (t) => {
    const home = await Home.open(t);
    const { page, said, sockets } = await open(t, html(home, options));
    await page.waitForFunction(() => window.crier?.status === "closed");
    const sentence = "file:// needs crier serve --files DIR, or --allow-origin null";
    assert.deepEqual(said.filter((text) => text.includes("--files")), [sentence]);
    assert.deepEqual(await page.evaluate(() => crier.ended), { code: 4403, reason: sentence });
    assert.equal(await page.evaluate(() => fate), "dropped");
    await page.evaluate(() => dispatchEvent(new Event("online"))); // would be a reason to try again
    assert.equal(await page.evaluate(() => crier.status), "closed");
    assert.equal(sockets.length, 1);
  });
}

test("a page from a file that is let in comes back like any other", async (t) => {
  const home = await Home.open(t, "--allow-origin", "null");
  const { page, said } = await open(t, html(home, {}));
  await page.waitForFunction(() => window.crier?.status === "open");
  assert.equal(await page.evaluate(() => fate), "confirmed");
  await home.stop();
  await page.waitForFunction(() => states.includes("waiting"));
  await home.start();
  await page.waitForFunction(() => crier.status === "open");
  assert.deepEqual(said.filter((text) => text.includes("--files")), []);
});

test("crier's own page, opened from a file, says that it needs its server", async (t) => {
  const { page } = await look(t, fileURLToPath(new URL("../../console/page/index.html", import.meta.url)));
  await page.getByText("This page needs its server").waitFor();
});

test("an example, opened from a file, says how to serve it", async (t) => {
  for (const example of ["chat", "cursors", "dashboard", "game", "poll"]) {
    const { page } = await look(t, fileURLToPath(new URL(`../../examples/${example}/index.html`, import.meta.url)));
    await page.getByText(`Run crier serve --files examples/${example}, and open the address that it prints.`).waitFor();
  }
});
