// Several servers on the page, in a real Chromium.
import assert from "node:assert/strict";
import { once } from "node:events";
import WebSocket from "ws";
import { Home, openCluster } from "./home.mjs";
import { complaints, heard, say, seat, sticksOut, test, visit } from "./visit.mjs";

const live = (page) => page.locator("#live-section");
const server = (page, port) => live(page).locator(".servers tbody tr", { hasText: `:${port}` });

test("three servers: each with its connections, and those that do not answer", async (t) => {
  const began = performance.now();
  const homes = await openCluster(t, 3);
  t.diagnostic(`three servers are ready after ${Math.round(performance.now() - began)} ms`);
  const page = await visit(t, homes[0]);
  const zoe = new WebSocket(homes[1].url + "/rooms?user=zoe");
  t.after(() => zoe.terminate());
  await once(zoe, "open");
  await live(page).scrollIntoViewIfNeeded();
  for (const [i, connections] of [2, 1, 0].entries()) {
    await server(page, homes[i].port).locator(".held", { hasText: new RegExp(`^${connections}$`) }).waitFor();
  }
  assert.equal(await live(page).locator(".servers .count").textContent(), "3");
  assert.equal(await live(page).locator(".servers tbody tr").count(), 3);
  await live(page).getByText("Since you opened this page").waitFor();

  const row = live(page).locator(".connections tbody tr", { hasText: "zoe" });
  await row.getByText(new RegExp(`^on \\S+:${homes[1].port}$`)).waitFor();
  const posted = once(zoe, "message");
  await row.getByRole("button", { name: "Post to zoe" }).click(); // to another server
  await page.getByLabel("What only this client will receive").fill("psst");
  await page.getByRole("button", { name: "Post", exact: true }).click();
  assert.equal(String((await posted)[0]), "psst");

  homes[2].freeze();
  await live(page).getByText("2 of 3 servers answer. The others are missing from these numbers.").waitFor();
  await server(page, homes[2].port).getByText("no answer").waitFor();
  assert.equal(await live(page).locator(".servers .count").textContent(), "2 of 3 answer");
  await say(seat(page, 0), "still here");
  await heard(seat(page, 1), "still here").waitFor();
});

test("one server alone is not listed, nor named", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  await live(page).scrollIntoViewIfNeeded();
  await live(page).locator(".connections tbody tr").nth(1).waitFor();
  assert.equal(await live(page).locator(".servers").isVisible(), false);
  assert.deepEqual(await live(page).locator(".whither").allInnerTexts(), ["broadcast · everyone", "broadcast · everyone"]);
});

const names = ["a:8080", "crier-1.crier.default.svc.cluster.local.and-a-host-name-that-goes-on-and-on.example.com:8080", "crier-10:8080", "crier-9:8080"];

// pretend makes a server answer as several would. change returns what is not as it is at first.
async function pretend(page, change) {
  let asked = 0;
  await page.route("**/stats", (route) => {
    const n = asked++;
    const each = names.map((server, i) => ({ server, connections: 1000 * i + 2, messages: 100_000 * i + 20 * n, deliveries: 1_000_000 * i + 2000 * n }));
    const all = { servers: 4, answered: 4, each, ...change(n, each) };
    const sum = (what) => all.each.reduce((total, one) => total + one[what], 0);
    const counts = { connections: { live: sum("connections") }, messages: sum("messages"), deliveries: sum("deliveries") };
    return route.fulfill({ json: { ...all, ...counts, now: 1e12 + 2000 * n, topics: 7, bytesIn: 0, bytesOut: 0, backlog: 0 } });
  });
  const row = { app: "live", topics: ["a topic"], unread: 0, connectedAt: "2001-09-09T00:00:00Z", lastActiveAt: "2001-09-09T01:00:00Z", identity: { sourceIp: "2001:db8::1", userAgent: "node" } };
  const list = names.map((server, i) => ({ ...row, connectionId: `uGFzfaPCnB9FKd${i}=`, server }));
  await page.route("**/@connections?*", (route) => route.fulfill({ json: list }));
}

const cells = (page) => live(page).locator(".servers tbody tr").evaluateAll((rows) => rows.map((row) => Array.from(row.cells, (cell) => cell.textContent)));

test("a server that answers again is no leap in the numbers", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  let away = false;
  await pretend(page, (_, each) => (away ? { answered: 3, each: each.slice(0, 3) } : {}));
  const deliveries = live(page).locator(".tile", { hasText: "Deliveries" });
  const shows = (rate) => deliveries.locator(".value").getByText(rate, { exact: true }).waitFor();
  await live(page).scrollIntoViewIfNeeded();
  await shows("4,000");
  away = true;
  await live(page).getByText("3 of 4 servers answer. The others are missing from these numbers.").waitFor();
  await shows("3,000");
  const rates = ["10", "1,000"];
  assert.deepEqual(await cells(page), [[names[0], "2", ...rates], [names[1], "1,002", ...rates], [names[2], "2,002", ...rates], [names[3], "no answer", "", ""]]);
  away = false;
  await live(page).getByText("Since you opened this page").waitFor();
  await shows("4,000");
  assert.deepEqual(await cells(page), [[names[0], "2", ...rates], [names[1], "1,002", ...rates], [names[3], "3,002", ...rates], [names[2], "2,002", ...rates]]);
  assert.equal(await deliveries.locator(".peak").textContent(), "");
});

test("a server that never answered has no name", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  await pretend(page, (_, each) => ({ answered: 1, each: each.slice(0, 1) }));
  await live(page).scrollIntoViewIfNeeded();
  await live(page).getByText("1 of 4 servers answers.").waitFor();
  assert.deepEqual(await cells(page), [[names[0], "2", "0", "0"], ["3 more", "no answer", "", ""]]);
});

for (const colorScheme of ["light", "dark"]) {
  test(`${colorScheme}: several servers fit, and axe finds nothing serious`, async (t) => {
    const home = await Home.open(t);
    const page = await visit(t, home, { colorScheme });
    await pretend(page, (n, each) => (n === 0 ? {} : { answered: 3, each: each.slice(0, 3) }));
    await live(page).scrollIntoViewIfNeeded();
    await live(page).getByText("no answer").waitFor();
    for (const [width, height] of [[320, 640], [1280, 860]]) {
      await page.setViewportSize({ width, height });
      if (process.env.PICTURES) await live(page).screenshot({ path: `${process.env.PICTURES}/${colorScheme}-${width}.png` });
      assert.deepEqual(await sticksOut(page), [], `${width} pixels wide`);
      assert.deepEqual(await complaints(page), [], `${width} pixels wide`);
    }
  });
}
