// What seats and lists of the page can do besides talking, in a real Chromium.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import WebSocket from "ws";
import { Home, Network } from "./home.mjs";
import { field, heard, say, seat, seated, test, visit } from "./visit.mjs";

const live = (page) => page.locator("#live-section");
const rows = (page, list) => live(page).locator(`.${list} tbody tr`);
const places = (page) => page.locator(".seat").evaluateAll((seats) => seats.map((seat) => seat.ariaLabel));

// atQuery waits until the page's address has a query.
const atQuery = (page, query) => page.waitForURL((url) => decodeURIComponent(url.search) === query);

test("seats stay over a reload, and their address brings them to others", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { permissions: ["clipboard-read", "clipboard-write"] });
  await page.getByRole("button", { name: "Add a seat" }).click();
  await seated(page, 3);
  await atQuery(page, "?name=Ada&name=Ben&name=Cleo");
  const ben = seat(page, 1);
  await ben.locator(".where").click();
  await ben.getByLabel("App").selectOption("live");
  await ben.getByLabel("Topic").fill("game, a & b");
  await ben.getByLabel("Name").fill("Zoë");
  await ben.getByRole("button", { name: "Join", exact: true }).click();
  await seated(page, 3);
  await atQuery(page, "?name=Ada&name=Zoë&app=live&topic=game&topic=a+&+b&name=Cleo");
  const want = ["Ada: broadcast, everyone", "Zoë: live, game, a & b", "Cleo: broadcast, everyone"];
  assert.deepEqual(await places(page), want);
  await page.reload();
  await seated(page, 3);
  assert.deepEqual(await places(page), want);
  await page.getByRole("button", { name: "Copy the link" }).click();
  await page.getByText("Copied: the address of these seats. It works on this machine only").waitFor();
  const other = await page.context().newPage();
  await other.goto(await page.evaluate(() => navigator.clipboard.readText()));
  await seated(other, 3);
  assert.deepEqual(await places(other), want);
  await other.close();
  await seat(page, 1).getByRole("button", { name: "Leave" }).click();
  await seat(page, 1).getByRole("button", { name: "Leave" }).click();
  await atQuery(page, "?name=Ada");
});

test("an address with one app for all seats is short, and what it cannot mean does no harm", async (t) => {
  const home = await Home.open(t);
  for (const [query, want] of [
    ["?app=live&topic=lobby&name=Ada&name=Bob", ["Ada: live, lobby", "Bob: live, lobby"]],
    ["?app=nothing&topic=&name=" + "x".repeat(70), ["x".repeat(60) + ": broadcast, everyone"]],
    ["?name=&name=&app=__proto__", ["Ada: broadcast, everyone", "Ben: broadcast, everyone"]],
    ["?topic=a&name=Eve&name=Dan&topic=b&name=Finn&app=chat", ["Eve: broadcast, a", "Dan: broadcast, b", "Finn: chat, everyone"]],
  ]) {
    const page = await visit(t, home, { address: home.http + "/" + query, seats: want.length });
    assert.deepEqual(await places(page), want);
  }
});

test("a phone that has the page from another machine begins with one seat, under any name", async (t) => {
  const home = await Home.open(t, "--allow-origin", "*");
  const at = `http://elsewhere.test:${home.port}/`;
  const page = await visit(t, home, { size: [390, 844], address: at + "?app=live&name=Ada&name=Bob" });
  assert.deepEqual(await places(page), ["Ada: live, lobby", "Bob: live, lobby"]);
  await page.addInitScript(() => (Math.random = () => 0.5));
  await page.goto(at + "?app=live&topic=game");
  await seated(page, 1);
  assert.deepEqual(await places(page), ["Dev: live, game"]);
  await atQuery(page, "?app=live&topic=game&name=Dev"); // so that it is Dev over a reload, too
  await seat(page, 0).getByRole("button", { name: "Leave" }).click();
  for (const name of ["Ada", "Ben"]) {
    await page.getByRole("button", { name: "Add a seat" }).click();
    await page.getByRole("status").getByText(`Added a seat for ${name}.`).waitFor();
    await page.waitForFunction(() => {
      const { top, bottom } = [...document.querySelectorAll(".seat")].at(-1).getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    });
  }
  await atQuery(page, "?name=Ada&name=Ben");
  await page.reload();
  await seated(page, 2);
});

test("a key in the address is not in the link to the seats", async (t) => {
  const home = await Home.open(t, "--key", "apple-tree-7");
  const page = await visit(t, home, { address: home.http + "/?topic=a#key=apple-tree-7", permissions: ["clipboard-read", "clipboard-write"] });
  await page.getByRole("button", { name: "Add a seat" }).click();
  await seated(page, 3);
  await page.getByRole("button", { name: "Copy the link" }).click();
  await page.getByText("Copied: the address of these seats.").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), home.http + "/?topic=a&name=Ada&name=Ben&name=Cleo");
});

test("there are six seats, and the page says why there is no seventh", async (t) => {
  const home = await Home.open(t);
  const address = home.http + "/?" + Array.from({ length: 8 }, (_, i) => `name=n${i}`).join("&");
  const page = await visit(t, home, { address, seats: 6 });
  const add = page.getByRole("button", { name: "Add a seat" });
  await page.getByText("Six seats are the most for one page.").waitFor();
  assert.equal(await add.isDisabled(), true);
  await seat(page, 0).getByRole("button", { name: "Leave" }).click();
  await page.getByText("Six seats are the most").waitFor({ state: "hidden" });
  assert.equal(await add.isEnabled(), true);
});

test("a seat that waits can try now", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  const ada = seat(page, 0);
  assert.equal(await ada.getByRole("button", { name: "Try now" }).isVisible(), false);
  await page.evaluate(() => (Math.random = () => 0.999)); // the longest waits there are
  await home.stop();
  const waits = () => page.waitForFunction(() => Number(/in ([\d.]+) s/.exec(document.querySelector(".state").textContent)?.[1])).then((handle) => handle.jsonValue());
  while ((await waits()) < 10) await ada.getByRole("button", { name: "Try now" }).click(); // each time it waits twice as long
  await home.start();
  await ada.getByRole("button", { name: "Try now" }).click();
  await page.waitForFunction(() => document.querySelector(".seat").dataset.state === "open");
  assert.equal(await field(ada).evaluate((element) => element === document.activeElement), true);
  assert.equal(await ada.getByRole("button", { name: "Try now" }).isVisible(), false);
});

test("a long note can be read on a phone", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { size: [320, 640] });
  await home.stop();
  const note = seat(page, 0).locator(".frame.note", { hasText: "connection lost" });
  await note.click();
  await note.locator(".whole").waitFor();
  const { scrollWidth, clientWidth, scrollHeight, clientHeight } = await note.locator(".whole").evaluate(({ scrollWidth, clientWidth, scrollHeight, clientHeight }) => ({ scrollWidth, clientWidth, scrollHeight, clientHeight }));
  assert.deepEqual([scrollWidth, scrollHeight], [clientWidth, clientHeight]);
});

test("bytes can be said in hex", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  const [ada, ben] = [seat(page, 0), seat(page, 1)];
  const hex = ada.getByRole("button", { name: "Hex" });
  await hex.click();
  const bytes = ada.getByRole("textbox", { name: "Bytes in hex" });
  await bytes.fill("00 ff 4");
  assert.equal(await ada.locator(".kind").textContent(), "not hex");
  await bytes.press("Enter");
  await page.getByText("These are not bytes in hex, such as 00 ff 48 69.").waitFor();
  assert.equal(await bytes.inputValue(), "00 ff 4");
  await bytes.fill("00,FF 0x48:69");
  assert.equal(await ada.locator(".kind").textContent(), "4 B");
  await bytes.press("Enter");
  for (const one of [ada, ben]) await heard(one, "00 ff 48 69").locator(".pill", { hasText: "hex" }).waitFor();
  await hex.click();
  await say(ada, "00 ff");
  await heard(ben, '{"data":"00 ff"').waitFor();
});

test("files are sent as they are", async (t) => {
  const home = await Home.open(t, "--max-message", "2000");
  const page = await visit(t, home);
  const [ada, ben] = [seat(page, 0), seat(page, 1)];
  const dir = mkdtempSync(path.join(tmpdir(), "crier-files-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = (name, bytes) => {
    writeFileSync(path.join(dir, name), bytes);
    return path.join(dir, name);
  };
  const choose = async (...files) => {
    const chooser = page.waitForEvent("filechooser");
    await ada.getByRole("button", { name: "Send a file" }).click();
    await (await chooser).setFiles(files);
  };
  await choose(file("a.bin", Buffer.from([0, 1, 254, 255])), file("b.txt", "Hi"));
  await heard(ben, "00 01 fe ff").waitFor();
  await heard(ben, "48 69").waitFor();
  await ada.getByText("the file a.bin").waitFor();
  await choose(file("large.bin", Buffer.alloc(2001)));
  await ada.getByText(/^closed: 1009 /).waitFor();
  await seated(page, 2);
  await choose(file("huge.bin", Buffer.alloc((16 << 20) + 1)));
  await page.getByText("huge.bin has more than 16 MiB.").waitFor();
  await choose(file("a.bin", Buffer.from([7, 8, 9])));
  await heard(ben, "07 08 09").waitFor();
});

test("a conversation can be saved, as text and as lines of JSON", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  const ada = seat(page, 0);
  await say(ada, 'with "quotes"\nand lines');
  await heard(ada, "and lines").waitFor(); // another connection could be ahead of it
  await home.publish(new Uint8Array([0, 255]));
  await heard(ada, "00 ff").waitFor();
  await ada.getByRole("button", { name: "Save" }).click();
  const saved = async (name) => {
    const download = page.waitForEvent("download");
    await ada.getByRole("button", { name }).click();
    const file = await download;
    return [file.suggestedFilename(), readFileSync(await file.path(), "utf8")];
  };
  const [name, text] = await saved("As text");
  assert.match(name, /^crier Ada everyone \d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.txt$/);
  assert.match(text, /^\S+Z · connected\n\S+Z → with "quotes"\nand lines\n\S+Z ← \{"data":"with \\"quotes\\"\\nand lines","_now":\d+,"_me":true\}\n\S+Z ← 00 ff\n$/);
  const [, lines] = await saved("As JSON lines");
  const frames = lines.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(frames.map(({ way, data, hex }) => [way, hex ?? data.replace(/\d{13}/, "…")]), [
    ["note", "connected"],
    ["said", 'with "quotes"\nand lines'],
    ["heard", '{"data":"with \\"quotes\\"\\nand lines","_now":…,"_me":true}'],
    ["heard", "00 ff"],
  ]);
  for (const { time } of frames) assert.ok(Math.abs(time - Date.now()) < 3_600_000);
});

for (const [app, topic] of [["broadcast", ""], ["broadcast", "a, b"], ["chat", ""], ["bridge", "a"], ["rooms", ""], ["live", "lobby"]]) {
  test(`${app} ${topic}: the list of connections knows the page's seats`, async (t) => {
    const home = await Home.open(t);
    const query = topic.split(", ").map((name) => `&topic=${name}`).join("");
    const page = await visit(t, home, { address: `${home.http}/?app=${app}${query}` });
    const stranger = new WebSocket(`${home.url}/${app === "broadcast" ? "" : app}?topic=a&topicName=a`);
    t.after(() => stranger.terminate());
    await new Promise((resolve) => stranger.once("open", resolve));
    await live(page).scrollIntoViewIfNeeded();
    await rows(page, "connections").nth(2).waitFor();
    assert.equal(await rows(page, "connections").getByText("this page").filter({ visible: true }).count(), 2);
    for (const [i, name] of ["Ada", "Ben"].entries()) {
      await rows(page, "connections").getByRole("button", { name: `Post to ${name}` }).click();
      await page.getByLabel("What only this client will receive").fill(`psst, ${name}`);
      await page.getByRole("button", { name: "Post", exact: true }).click();
      await heard(seat(page, i), `psst, ${name}`).waitFor();
      assert.equal(await heard(seat(page, 1 - i), `psst, ${name}`).count(), 0);
    }
  });
}

test("the list knows seats that came back", async (t) => {
  const home = await Home.open(t);
  const network = await Network.open(t, home);
  const page = await visit(t, home, { address: network.url.replace("ws", "http") + "/" });
  await live(page).scrollIntoViewIfNeeded();
  await rows(page, "connections").getByText("this page").nth(1).waitFor();
  const ids = () => live(page).locator(".whom").evaluateAll((all) => all.map(({ title }) => title));
  const before = await ids();
  network.freeze();
  network.thaw(false);
  await page.waitForFunction((before) => {
    const now = Array.from(document.querySelectorAll(".whom"), ({ title, textContent }) => [title, textContent]);
    return now.length === 2 && now.every(([id, name]) => !before.includes(id) && name !== id);
  }, before);
});

test("when the server is gone its numbers are grey", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  await live(page).scrollIntoViewIfNeeded();
  await rows(page, "connections").nth(1).waitFor();
  const colour = () => live(page).locator(".value").first().evaluate((value) => getComputedStyle(value).color);
  const before = await colour();
  await home.stop();
  await live(page).getByText("No answer from the server").waitFor();
  assert.notEqual(await colour(), before);
  await home.start();
  await live(page).getByText("Since you opened this page").waitFor();
  assert.equal(await colour(), before);
});

test("a server without an admin key says what to do, where the lists would be", async (t) => {
  const home = await Home.open(t, "--allow-origin", "*");
  const page = await visit(t, home, { address: `http://elsewhere.test:${home.port}/` });
  await live(page).scrollIntoViewIfNeeded();
  await live(page).getByText("crier serve --admin-key-file FILE").waitFor();
  const here = await visit(t, home);
  await live(here).scrollIntoViewIfNeeded();
  await rows(here, "connections").first().waitFor();
  assert.equal(await live(here).getByText("crier serve --admin-key-file FILE").isVisible(), false);
});

test("publish to a topic, from the list", async (t) => {
  const home = await Home.open(t, "--max-message", "1000");
  const page = await visit(t, home, { address: home.http + "/?name=Ada&name=Ben&app=live&topic=lobby" });
  const [ada, ben] = [seat(page, 0), seat(page, 1)];
  const dialog = page.getByRole("dialog", { name: "Publish to a topic" });
  const publish = async (text) => {
    await dialog.getByLabel("What its clients will receive").fill(text);
    await dialog.getByRole("button", { name: "Publish" }).click();
  };
  await live(page).scrollIntoViewIfNeeded();
  await rows(page, "topics").getByRole("button", { name: "lobby" }).click();
  await page.getByRole("button", { name: "List all connections" }).waitFor();
  await live(page).getByRole("button", { name: "Publish…" }).click();
  assert.deepEqual([await dialog.getByLabel("App").inputValue(), await dialog.getByLabel("Topic").inputValue()], ["live", "lobby"]);
  await publish("to the lobby");
  await page.getByText("Published. 1 client receives it.").waitFor();
  await heard(ben, '"data":"to the lobby"').waitFor();
  assert.equal(await heard(ada, "to the lobby").count(), 0);

  await live(page).getByRole("button", { name: "Publish…" }).click();
  await dialog.getByLabel("App").selectOption("broadcast");
  await dialog.getByLabel("Topic").fill("");
  await publish("x".repeat(1001));
  await dialog.getByText("The server says: ").waitFor();
  await publish("to everyone");
  await heard(ada, '"data":"to everyone"').waitFor();

  await live(page).getByRole("button", { name: "Publish…" }).click();
  await home.stop();
  await publish("to nobody");
  await dialog.getByText("The server does not answer.").waitFor();
});

test("the README's pictures can be taken", (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), "crier-pictures-"));
  t.after(() => rmSync(dir, { recursive: true }));
  execFileSync("node", ["screenshot.mjs", dir], { stdio: "pipe" });
  for (const name of ["page-light.png", "page-dark.png"]) {
    const picture = readFileSync(path.join(dir, name));
    assert.equal(picture.toString("latin1", 1, 4), "PNG");
    assert.equal(picture.readUInt32BE(16), 1500); // its width
    assert.ok(picture.length > 20_000 && picture.length <= 60_000, `${name} has ${picture.length} bytes`);
  }
});

test("long lists have pages", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { address: home.http + "/?name=Ada", seats: 1 });
  const sockets = Array.from({ length: 55 }, (_, i) => new WebSocket(`${home.url}/?topic=t${i}`));
  t.after(() => sockets.forEach((socket) => socket.terminate()));
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once("open", resolve))));
  await live(page).scrollIntoViewIfNeeded();
  for (const list of ["topics", "connections"]) {
    const pages = page.getByRole("navigation", { name: `Pages of ${list}` });
    const shows = async (text, n) => {
      await pages.getByText(text, { exact: true }).waitFor();
      await page.waitForFunction(([list, n]) => document.querySelectorAll(`.${list} tbody tr`).length === n, [list, n]);
    };
    await shows("1–25 of 56", 25);
    assert.equal(await pages.getByRole("button", { name: "Back" }).isDisabled(), true);
    await pages.getByRole("button", { name: "More" }).click();
    await shows("26–50 of 56", 25);
    await pages.getByRole("button", { name: "More" }).click();
    await shows("51–56 of 56", 6);
    assert.equal(await pages.getByRole("button", { name: "More" }).isDisabled(), true);
    assert.equal(await pages.getByRole("button", { name: "Back" }).evaluate((button) => button === document.activeElement), true);
  }
  assert.equal(await rows(page, "connections").getByText("this page").filter({ visible: true }).count(), 0);
  sockets.slice(0, 30).forEach((socket) => socket.close());
  for (const list of ["topics", "connections"]) {
    await page.getByRole("navigation", { name: `Pages of ${list}` }).getByText("26–26 of 26").waitFor();
  }
  await page.getByRole("navigation", { name: "Pages of connections" }).getByRole("button", { name: "Back" }).click();
  await rows(page, "connections").getByText("this page").filter({ visible: true }).waitFor();
});
