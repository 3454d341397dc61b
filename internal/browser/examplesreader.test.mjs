// The examples for people who use a screen reader, fingers, or who cannot bear motion, in a real Chromium.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Home } from "./home.mjs";
import { browser, complaints, sticksOut, test } from "./visit.mjs";

const examples = fileURLToPath(new URL("../../examples/", import.meta.url));

// open opens an example as one person. looks is of newContext.
async function open(t, home, example, query, looks) {
  const context = await browser.newContext(looks);
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${home.http}/${example}/?${query}`);
  return page;
}

// What happens in each example: ann and bob are two pages of it.
const happenings = {
  cursors: async (ann, bob) => {
    await ann.mouse.move(100, 100);
    await bob.locator(".cursor", { hasText: "Ann" }).waitFor();
  },
  chat: async (ann, bob) => {
    for (const [page, text] of [[ann, "hi Bob"], [bob, "hi Ann"], [ann, "long ".repeat(60)]]) {
      await page.getByLabel("Message", { exact: true }).fill(text);
      await page.keyboard.press("Enter");
      await bob.locator("li", { hasText: text.trim() }).waitFor();
    }
    assert.equal(await bob.getByRole("log").getByRole("list").count(), 1);
  },
  game: async (ann, bob) => {
    for (const [page, square] of [[ann, 1], [bob, 2], [ann, 4], [bob, 5], [ann, 7]]) await page.getByRole("button", { name: `Square ${square}: empty` }).click();
    await bob.getByText("Ann wins.").waitFor();
  },
  dashboard: async (ann, bob, home) => {
    for (const [name, value] of [["kitchen", "21.5 °C"], ["cellar", "12 °C"]]) {
      await fetch(`${home.http}/topics/dashboard/state/${name}?app=live`, { method: "PUT", body: value });
      await bob.locator("figure", { hasText: name }).waitFor();
    }
    await bob.locator("figure.old").first().waitFor();
  },
  poll: async (ann, bob) => {
    await ann.getByLabel("Question").fill("Is it a bird?");
    await ann.getByLabel("Answers").fill("Yes\nNo\nA plane");
    await ann.getByRole("button", { name: "Ask" }).click();
    await bob.getByRole("button", { name: "No" }).click();
    await ann.getByText("1 voted, 1 here.").waitFor();
  },
};

const offline = { chat: "waiting for the network…", game: "Connecting…", poll: "Connecting…" };

const sizes = [["light", 390], ["dark", 1280]];
for (const [i, [example, happen]] of Object.entries(happenings).entries()) {
  for (const [colorScheme, width] of process.env.LOOKS === "all" ? sizes : [sizes[i % 2]]) {
    test(`${example}, ${colorScheme}, ${width} pixels wide: axe finds nothing at all`, async (t) => {
      const home = await Home.open(t, "--files", examples);
      const looks = { colorScheme, viewport: { width, height: 800 }, reducedMotion: "reduce" };
      const ann = await open(t, home, example, example === "poll" ? "teacher" : "name=Ann", looks);
      const look = async (state, ...pages) => {
        for (const page of pages) {
          if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/${example}-${state}-${width}-${colorScheme}.png` });
          assert.deepEqual(await sticksOut(page), [], state);
          assert.deepEqual(await complaints(page), [], state);
          assert.deepEqual(await small(page), [], state);
          assert.deepEqual(await moving(page), [], state);
        }
      };
      await look("empty", ann);
      const bob = await open(t, home, example, "name=Bob", looks);
      await happen(ann, bob, home);
      await look("talking", ann, bob);
      await home.stop();
      if (offline[example]) await bob.getByText(offline[example]).waitFor();
      await look("offline", bob);
    });
  }
}

// small lists what fingers press and has less than 44 pixels.
const small = (page) => page.evaluate(() => Array.from(document.querySelectorAll("button, input, textarea, a"))
  .filter((element) => element.checkVisibility() && Math.min(element.offsetWidth, element.offsetHeight) < 44)
  .map((element) => element.outerHTML));

const moving = (page) => page.evaluate(() => Array.from(document.querySelectorAll("*"))
  .filter((element) => /[1-9]/.test(getComputedStyle(element).transitionDuration))
  .map((element) => element.outerHTML));

test("the list of examples leads to each of them, with the key: axe finds nothing at all", async (t) => {
  const home = await Home.open(t, "--files", examples);
  const context = await browser.newContext({ colorScheme: "dark", viewport: { width: 320, height: 800 } });
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${home.http}/#key=apple-tree-7`);
  const links = await page.getByRole("link").evaluateAll((links) => links.map(({ href }) => href));
  assert.deepEqual(links, Object.keys(happenings).map((example) => `${home.http}/${example}/#key=apple-tree-7`));
  assert.deepEqual(await sticksOut(page), []);
  assert.deepEqual(await complaints(page), []);
});
