// The page in a real Chromium, as people use it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer, request as ask } from "node:http";
import net from "node:net";
import WebSocket from "ws";
import { Home, patience } from "./home.mjs";
import { browser, field, heard, longTask, runGo, say, seat, seated, sticksOut, test, visit } from "./visit.mjs";

test("two seats talk as soon as the page is there, by keyboard alone", async (t) => {
  const home = await Home.open(t);
  const began = performance.now();
  const page = await visit(t, home);
  await page.keyboard.type("hi there"); // the first seat has the focus
  await page.keyboard.press("Enter");
  await heard(seat(page, 1), '{"data":"hi there","_now":').waitFor();
  t.diagnostic(`from opening the page to being heard: ${Math.round(performance.now() - began)} ms`);
  const own = heard(seat(page, 0), '"hi there"');
  await own.waitFor();
  assert.equal(await own.locator(".pill").textContent(), "me");
  assert.equal(await seat(page, 1).locator(".pill").count(), 0);
  assert.equal(await seat(page, 0).locator(".frame.said .what").textContent(), "hi there");
  assert.match(await own.locator(".time").textContent(), /^\d\d:\d\d:\d\d\.\d{3}$/);
  assert.match(await own.locator(".size").textContent(), /^\d+ B$/);
  await page.keyboard.press("ArrowUp");
  assert.equal(await field(seat(page, 0)).inputValue(), "hi there");
});

test("a third seat, and seats in a topic of the page's address", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { address: home.http + "/?topic=lobby" });
  await page.getByRole("button", { name: "Add a seat" }).click();
  await seated(page, 3);
  await home.publish("to everyone");
  await home.publish("to the lobby", "?topic=lobby");
  for (const i of [0, 1, 2]) {
    await heard(seat(page, i), "to the lobby").waitFor();
    assert.equal(await heard(seat(page, i), "to everyone").count(), 0);
  }
  await seat(page, 1).getByRole("button", { name: "Leave" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".seat").length === 2);
  await say(seat(page, 0), "two are left");
  await heard(seat(page, 1), "two are left").waitFor();
});

test("every app can be joined, and its hints work", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  const one = seat(page, 0);
  for (const [app, topic, hint, answer] of [
    ["live", "a", 0, '"data":"hi there","_topic":"a","_user":"Zoe"'],
    ["bridge", "news", 0, '{"topic":"news","message":"Some Data"}'],
    ["chat", null, 0, "hello"],
    ["rooms", "t1", 0, '{"x":1,"_topic":"t1","_now":'],
    ["directory", null, 0, '{"Items":[{"connectionId":'],
    ["broadcast", "a, b", 1, '{"type":"move","x":3,"y":4,"_now":'],
  ]) {
    await one.locator(".where").click();
    await one.getByLabel("App").selectOption(app);
    if (topic) await one.getByLabel("Topic").fill(topic);
    await one.getByLabel("Name").fill("Zoe");
    await one.getByRole("button", { name: "Join", exact: true }).click();
    await one.locator('.frame.note:has-text("connected")').last().waitFor();
    await one.locator(".hints button").nth(hint).click();
    await heard(one, answer).last().waitFor();
    await one.getByRole("button", { name: "Clear" }).click();
    await one.getByText("Nothing yet.").waitFor();
  }
  assert.equal(await one.locator(".name").textContent(), "Zoe");
});

test("JSON is folded and loses nothing, binary is hex", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { permissions: ["clipboard-read", "clipboard-write"] });
  await say(seat(page, 0), '{"big":12345678901234567890,"list":[1.0,{"a":null}],"none":{}}');
  const row = heard(seat(page, 1), '"big":').first();
  await row.click();
  assert.equal(
    (await row.locator(".whole").textContent()).replace(/("_now": )\d+/, "$10"),
    '{\n  "big": 12345678901234567890,\n  "list": [\n    1.0,\n    {\n      "a": null\n    }\n  ],\n  "none": {},\n  "_now": 0,\n  "_me": false\n}',
  );
  assert.equal(await row.getAttribute("aria-expanded"), "true");
  const frames = seat(page, 1).locator(".frames");
  await frames.focus();
  await page.keyboard.press("End");
  await page.keyboard.press("ArrowLeft");
  await row.locator(".whole").waitFor({ state: "detached" });
  await page.keyboard.press("Enter");
  await row.locator(".whole").waitFor();
  await home.publish(new Uint8Array([0, 255, 72, 105]));
  const binary = seat(page, 1).locator(".frame", { hasText: "00 ff 48 69" });
  await binary.click();
  assert.match(await binary.locator(".whole").textContent(), /^000000 {2}00 ff 48 69 +··Hi$/);
  const large = Array.from({ length: 100 }, (_, i) => 128 + i);
  await home.publish(new Uint8Array(large));
  await seat(page, 1).getByText("↓ 2 new").click();
  await seat(page, 1).locator(".frame", { hasText: "80 81 82 83" }).waitFor();
  await seat(page, 1).getByRole("button", { name: "Copy all" }).click();
  await page.getByText("Copied.").waitFor();
  assert.equal((await page.evaluate(() => navigator.clipboard.readText())).split("\n").at(-1), large.map((byte) => byte.toString(16).padStart(2, "0")).join(" "));
});

test("pause, filter, clear, copy", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { permissions: ["clipboard-read", "clipboard-write"] });
  const [ada, ben] = [seat(page, 0), seat(page, 1)];
  await say(ada, "apple");
  await heard(ben, "apple").waitFor();
  await ben.getByRole("button", { name: "Pause", exact: true }).click();
  await say(ada, "pear");
  await ben.getByText("Paused: 1 waiting").waitFor();
  assert.equal(await heard(ben, "pear").count(), 0);
  await ben.getByRole("button", { name: "Pause", exact: true }).click();
  await heard(ben, "pear").waitFor();
  await ben.getByRole("button", { name: "Filter" }).click();
  await page.keyboard.type("PEAR");
  await heard(ben, "apple").waitFor({ state: "detached" });
  assert.equal(await heard(ben, "pear").count(), 1);
  await ben.getByText("1 of 3").waitFor(); // with the note that it is connected
  await ben.getByRole("button", { name: "Copy all" }).click();
  await page.getByText("Copied.").waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^\{"data":"pear","_now":\d+,"_me":false\}$/);
  await page.keyboard.press("Escape");
  await ben.getByRole("searchbox").fill("nothing of the kind");
  await ben.getByText("No frame contains this.").waitFor();
  await ben.getByRole("searchbox").press("Escape");
  await heard(ben, "apple").waitFor();
  await ben.getByRole("button", { name: "Clear" }).click();
  await ben.getByText("Nothing yet.").waitFor();
});

test("a restart of the server is seen, and survived", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  await home.stop();
  await seat(page, 0).getByText("connection lost: 1001 the server is going away").waitFor();
  await say(seat(page, 0), "said while it was away");
  const said = seat(page, 0).locator(".frame.said", { hasText: "said while it was away" });
  await said.locator(".pill", { hasText: "waits" }).waitFor();
  await home.start();
  await seated(page, 2);
  await heard(seat(page, 0), "said while it was away").waitFor();
  await said.locator(".pill").waitFor({ state: "detached" });
});

test("in rooms a seat is in its topic before it says what waited", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { address: home.http + "/?app=rooms" });
  assert.equal(await seat(page, 0).locator(".audience").textContent(), "lobby"); // rooms needs one
  await home.stop();
  await page.waitForFunction(() => document.querySelector('.seat[data-state="waiting"]'));
  await say(seat(page, 0), '{"action":"broadcast","topic":"lobby","payload":{"said":"meanwhile"}}');
  await home.start();
  await heard(seat(page, 0), '"said":"meanwhile"').waitFor();
});

test("behind a proxy, below a path", async (t) => {
  const home = await Home.open(t);
  const server = createServer((request, response) => {
    if (!request.url.startsWith("/crier/")) return response.writeHead(301, { Location: "/crier/" }).end();
    const to = ask({ port: home.port, path: request.url.slice(6), method: request.method, headers: request.headers }, (from) => {
      response.writeHead(from.statusCode, from.headers);
      from.pipe(response);
    });
    request.pipe(to);
  });
  server.on("upgrade", (request, near) => {
    if (!request.url.startsWith("/crier/")) return near.end("HTTP/1.1 301 Moved Permanently\r\nLocation: /crier/\r\n\r\n");
    const far = net.connect(home.port, "127.0.0.1");
    const lines = request.rawHeaders.reduce((text, part, i) => text + part + (i % 2 ? "\r\n" : ": "), "");
    far.write(`GET ${request.url.slice(6)} HTTP/1.1\r\n${lines}\r\n`);
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on("error", () => {}).on("close", () => (near.destroy(), far.destroy()));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => (server.close(), server.closeAllConnections()));
  const address = `127.0.0.1:${server.address().port}/crier/`;
  const page = await visit(t, home, { address: `http://${address}` });
  await say(seat(page, 0), "hi");
  await heard(seat(page, 1), "hi").waitFor();
  assert.equal(await page.locator("#address").textContent(), `ws://${address}`);
  assert.match(await page.locator("#paste code").textContent(), new RegExp(`from "http://${address}crier.js"[^]*new WebSocket\\("ws://${address}"\\)`));
  await page.locator("#live-section").scrollIntoViewIfNeeded();
  await page.locator(".connections tbody tr").nth(1).waitFor();
});

test("strange things to say, and to be told", async (t) => {
  const home = await Home.open(t, "--max-message", "1000");
  const page = await visit(t, home, { size: [360, 740], address: home.http + "/?topic=" + "t".repeat(250) });
  const [ada, ben] = [seat(page, 0), seat(page, 1)];
  for (const text of ['{\n "pretty": true\n}', "two\nlines", "\u202eright to left", "a\u2028b\r\nc"]) await say(ada, text);
  await heard(ben, "right").waitFor();
  const heights = await page.evaluate(() => Array.from(document.querySelectorAll(".frame"), (row) => Math.max(row.offsetHeight, row.querySelector(".line").scrollHeight)));
  assert.deepEqual([...new Set(heights)], [44]); // for fingers

  await say(ada, "x".repeat(1001));
  await ada.locator(".frame.said .pill", { hasText: "too large" }).waitFor();
  await say(ada, "still here");
  await heard(ben, "still here").waitFor();

  await page.locator("#live-section").scrollIntoViewIfNeeded();
  await page.locator(".topics").getByRole("button", { name: "tttt" }).click();
  await page.getByRole("button", { name: "List all connections" }).waitFor();
  assert.deepEqual(await sticksOut(page), []);

  await field(ben).fill("while I ty");
  for (const { connectionId } of await (await fetch(`${home.http}/@connections`)).json()) {
    await fetch(`${home.http}/@connections/${connectionId}`, { method: "DELETE" });
  }
  await ben.getByText("closed by the server").waitFor();
  await page.keyboard.type("pe");
  await page.keyboard.press("Enter");
  await page.getByText("This seat is not connected").waitFor();
  assert.equal(await field(ben).inputValue(), "while I type");

  await ben.getByLabel("Topic").fill("ü".repeat(129));
  await ben.getByRole("button", { name: "Join" }).click();
  assert.equal(await ben.getByLabel("Topic").evaluate((input) => input.validationMessage), "A topic has at most 256 bytes.");
  await ben.getByLabel("Topic").fill("ü".repeat(128));
  await ben.getByRole("button", { name: "Join" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".seat")[1].dataset.state === "open");

  for (const one of [ben, ada]) await one.getByRole("button", { name: "Leave" }).click();
  await page.getByText("Nobody sits here any more.").waitFor();
  assert.equal(await page.locator("#code-section").isVisible(), false);
});

test("the server, live: numbers, topics, connections; post and kick", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  await page.locator("#live-section").scrollIntoViewIfNeeded();
  const live = page.locator("#live-section");
  await live.locator(".tile", { hasText: "Connections" }).getByText("2", { exact: true }).waitFor();
  await say(seat(page, 0), "hello");
  await live.locator(".tile", { hasText: "Deliveries" }).getByText("2 in all").waitFor();
  const other = new WebSocket(home.url + "/rooms?user=zoe");
  const told = new Promise((resolve) => other.once("message", (data) => resolve(String(data))));
  const closed = new Promise((resolve) => other.once("close", resolve));
  const row = live.locator(".connections tbody tr", { hasText: "zoe" });
  await row.waitFor();
  await row.getByRole("button", { name: "Post to zoe" }).click();
  await page.getByLabel("What only this client will receive").fill("psst");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  assert.equal(await told, "psst");
  await page.getByText("Posted.").waitFor();
  const kick = row.getByRole("button", { name: "Kick zoe" });
  await kick.click();
  await kick.click();
  assert.equal(await closed, 1000);
  await row.waitFor({ state: "detached" });
  await live.locator(".topics").getByRole("button", { name: "everyone" }).click();
  await live.getByRole("button", { name: "List all connections" }).waitFor();
});

// unlock gives the page a wrong key and then the right one.
async function unlock(page) {
  await page.locator("#live-section").scrollIntoViewIfNeeded();
  const key = page.getByLabel("Admin key");
  await key.fill("guess");
  await key.press("Enter");
  await page.getByText("This is not the key.").waitFor();
  await key.fill("s3cret");
  await key.press("Enter");
  await page.locator(".connections tbody tr").nth(1).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "live"); // the heading of what is unlocked
  assert.equal(await page.evaluate(() => sessionStorage.length + localStorage.length), 1);
}

test("from elsewhere the server shows itself for the admin key", async (t) => {
  const home = await Home.open(t, "--admin-key", "s3cret", "--allow-origin", "*");
  const page = await visit(t, home, { address: `http://elsewhere.test:${home.port}/` });
  await say(seat(page, 0), "to talk needs no key");
  await heard(seat(page, 1), "to talk needs no key").waitFor();
  await unlock(page);
  await page.locator("#copy-address").click(); // without TLS, where the clipboard is the old one
  await page.getByText("Copied.").waitFor();
});

test("on its own machine, too, the server shows itself for the admin key, if it has one", async (t) => {
  const home = await Home.open(t, "--admin-key", "s3cret");
  for (const host of ["localhost", "127.0.0.1"]) {
    const page = await visit(t, home, { address: `http://${host}:${home.port}/` });
    await unlock(page);
    await page.getByRole("tab", { name: "curl" }).click();
    assert.match(await page.locator("#paste code").textContent(), /curl -H "Authorization: Bearer \$KEY" -d/);
    await page.close();
  }
});

test("from elsewhere a server without a key shows nothing, and asks for nothing", async (t) => {
  const home = await Home.open(t, "--allow-origin", "*");
  const page = await visit(t, home, { address: `http://elsewhere.test:${home.port}/` });
  await page.locator("#live-section").scrollIntoViewIfNeeded();
  await page.getByText("The server has no admin key, so it shows itself on its own machine only.").waitFor();
  assert.equal(await page.getByLabel("Admin key").isVisible(), false);
  assert.equal(await page.locator("#picture").isVisible(), false);
});

test("a page whose name was made to lead here hears nothing", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { address: `http://elsewhere.test:${home.port}/`, seats: 0 });
  const heard = await page.evaluate(() => new Promise((resolve) => {
    const socket = new WebSocket(location.href.replace("http", "ws"));
    socket.onopen = () => resolve("open");
    socket.onerror = () => resolve("refused");
  }));
  assert.equal(heard, "refused");
  const asked = await page.evaluate(async () => (await fetch("/publish", { method: "POST", body: "hi" })).status);
  assert.equal(asked, 401);
});

test("5,000 frames in each of three seats, without stutter", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  await page.getByRole("button", { name: "Add a seat" }).click();
  await seated(page, 3);
  const speaker = new WebSocket(home.url + "/?echo=0");
  await new Promise((resolve) => speaker.once("open", resolve));
  t.after(() => speaker.close());
  const took = await longTask(page, async () => {
    for (let n = 1; n <= 5000; n++) {
      speaker.send(`{"n":${n},"type":"move","x":${n % 800},"y":${n % 600},"name":"a player"}`);
      if (n % 50 === 0) await new Promise(setImmediate);
    }
    for (const i of [0, 1, 2]) {
      await heard(seat(page, i), '"n":5000,').waitFor();
      assert.equal(await seat(page, i).locator(".sieve span").textContent(), "5,001 of 5,001");
      const rows = await seat(page, i).locator(".frame").count();
      assert.ok(rows < 60, `seat ${i} has ${rows} elements for what can be seen`);
    }
    const frames = seat(page, 0).locator(".frames");
    for (const fraction of [0, 0.5, 0.25, 1]) {
      await frames.evaluate((box, fraction) => (box.scrollTop = fraction * (box.scrollHeight - box.clientHeight)), fraction);
      const n = Math.max(1, Math.floor(fraction * 4980)); // somewhere near
      await page.waitForFunction((n) => Math.abs(Number(/"n":(\d+)/.exec(document.querySelector(".frame.heard").textContent)[1]) - n) < 60, n);
    }
    await seat(page, 0).getByRole("button", { name: "Filter" }).click();
    await page.keyboard.type('"n":4999');
    await seat(page, 0).getByText("1 of 5,001").waitFor();
  });
  t.diagnostic(`a task took up to ${took} ms`);
  assert.ok(took < 200, `a task took ${took} ms`);
});

test("a seat keeps so many frames, and forgets the oldest", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  const ben = seat(page, 1);
  const speaker = new WebSocket(home.url + "/?echo=0");
  await new Promise((resolve) => speaker.once("open", resolve));
  const speak = async (from, to) => {
    for (let n = from; n <= to; n++) speaker.send(`{"n":${n}}`);
    await heard(seat(page, 0), `"n":${to},`).waitFor();
  };
  await speak(1, 9000);
  await heard(ben, '"n":9000,').waitFor();
  await ben.locator(".frames").evaluate((box) => (box.scrollTop = 28 * 8000)); // somebody reads on there
  const row = heard(ben, '"n":8005,');
  await row.waitFor();
  await speak(9001, 12_000);
  await ben.getByText("↓ 3,000 new").waitFor();
  assert.ok(await row.isVisible(), "what is read stays where it is");
  const [shown, all] = (await ben.locator(".sieve span").textContent()).replaceAll(",", "").split(" of ").map(Number);
  assert.ok(shown === all && all <= 10_000 && all >= 9000, `${all} frames are kept`);
  for (let n = 1; n <= 300; n++) {
    speaker.send(`{"large":${n},"x":"${"x".repeat(120_000)}"}`); // 36 million characters in all
    if (n % 10 === 0) await heard(seat(page, 0), `"large":${n},`).waitFor(); // not more than it can take
  }
  await ben.getByText("↓ 3,300 new").click();
  await page.waitForFunction(() => Number(document.querySelectorAll(".sieve span")[1].textContent.split(" ")[0].replace(",", "")) < 300);
});

// A site is a page of somebody else, on another port.
async function site(t, html) {
  const server = createServer((request, response) => {
    response.setHeader("Content-Type", request.url.endsWith(".js") ? "text/javascript" : "text/html");
    response.end(request.url === "/" ? html : "import { connect } from '" + request.url.slice(1) + "';");
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => server.close());
  const page = await browser.newPage();
  t.after(() => page.close());
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(error.stack));
  await page.goto(`http://localhost:${server.address().port}/`);
  return said;
}

test("the code to paste does what the seat does", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { address: home.http + "/?topic=lobby" });
  const code = async (language) => {
    await page.getByRole("tab", { name: language }).click();
    return page.locator("#paste code").textContent();
  };
  assert.match(await code("wscat"), /^npx wscat -c 'ws:\/\/127\.0\.0\.1:\d+\/\?topic=lobby'\n/);
  const arrives = (n) => page.waitForFunction((n) => document.querySelector(".sieve span").textContent.startsWith(`${n} of`), n);

  const out = execFileSync("sh", ["-ec", await code("curl")], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  assert.match(out, /^\{"ok":true,"heard":2\}\n\[\{"connectionId":"[\w-]+=","app":"broadcast","topics":\["lobby"\]/);
  await arrives(2);

  const browserCode = await code("Browser");
  const said = await site(t, `<!doctype html><meta charset="utf-8"><title>mine</title>${browserCode}`);
  await arrives(4);
  assert.deepEqual(said.filter((text) => /Error|Refused|blocked/.test(text)), []);

  assert.match(await runGo(t, await code("Go")), /^\{"data":"hi there","_now":\d+,"_me":true\}\n$/);
  await arrives(5);
});

test("in rooms the code to paste subscribes first; what is in it is no markup", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { address: home.http + "/?app=rooms&topic=" + encodeURIComponent("</script><img src=x>") });
  for (const language of ["wscat", "Browser", "Go"]) {
    await page.getByRole("tab", { name: language }).click();
    const code = await page.locator("#paste code").textContent();
    const [subscribes, speaks] = ["subscribe", "broadcast"].map((word) => code.replaceAll("\\", "").indexOf(`"action":"${word}"`));
    assert.ok(subscribes > 0 && speaks > subscribes, code);
    if (language === "Browser") assert.equal(code.split("</script>").length, 3);
  }
});

test("crier.js works on a page of another origin, and in its workers", async (t) => {
  const home = await Home.open(t);
  const worker = `
    import { connect } from "${home.http}/crier.js";
    const crier = connect({ topic: "w" });
    crier.send("from a worker");
    for await (const { json } of crier) postMessage(json.data);`;
  const said = await site(t, `<!doctype html><title>mine</title><script type="module">
    const source = URL.createObjectURL(new Blob([${JSON.stringify(worker)}], { type: "text/javascript" }));
    const worker = new Worker(source, { type: "module" });
    worker.onmessage = (event) => console.log("heard " + event.data);
    worker.onerror = (event) => console.log("failed " + event.message);
  </script>`);
  for (const deadline = Date.now() + patience; !said.length; ) {
    assert.ok(Date.now() < deadline, "the worker says nothing");
    await new Promise(setImmediate);
  }
  assert.deepEqual(said, ["heard from a worker"]);
});
