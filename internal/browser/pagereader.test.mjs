// The page for people who use a screen reader, a keyboard, a phone, or who cannot bear motion, in a real Chromium.
import assert from "node:assert/strict";
import { Home } from "./home.mjs";
import { complaints, field, heard, say, seat, sticksOut, test, visit } from "./visit.mjs";

const live = (page) => page.locator("#live-section");
const lines = (seat) => seat.locator(".log p").allTextContents();

// look fails if something sticks out of the page, or if axe complains. PICTURES is where pictures of it go.
async function look(page, state) {
  const { width } = page.viewportSize();
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/${state}-${width}-${await theme(page)}.png`, fullPage: true });
  assert.deepEqual(await sticksOut(page), [], state);
  assert.deepEqual(await complaints(page), [], state);
}

const theme = (page) => page.evaluate(() => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));

// All of them take minutes: LOOKS=all, or make looks.
const some = [[320, "dark"], [1280, "light"]];
const looks = process.env.LOOKS === "all" ? [...some, [320, "light"], [390, "light"], [390, "dark"], [768, "light"], [1280, "dark"], [1920, "dark"]] : some;
for (const [width, colorScheme] of looks) {
  test(`${colorScheme}, ${width} pixels wide: axe finds nothing at all, whatever happens`, async (t) => {
    const home = await Home.open(t);
    const page = await visit(t, home, { size: [width, 860], colorScheme });
    await look(page, "empty");

    const [ada, ben] = [seat(page, 0), seat(page, 1)];
    await say(ada, '{"a":1,"text":"' + "long ".repeat(100) + '"}');
    await say(ada, "hi there");
    await heard(ben, "long").click();
    await heard(ben, "hi there").waitFor();
    await ada.getByRole("button", { name: "Filter" }).click();
    await ada.getByRole("button", { name: "Save" }).click();
    await ada.getByRole("button", { name: "Hex" }).click();
    await field(ben).fill('{"not JSON');
    await look(page, "talking");

    await ben.locator(".where").click();
    await ben.getByLabel("App").selectOption("live");
    await ben.getByRole("button", { name: "Join", exact: true }).click();
    await ben.getByLabel("Key", { exact: true }).fill("door");
    await ben.getByLabel("Value", { exact: true }).fill("open");
    await ben.getByRole("button", { name: "Set", exact: true }).click();
    await ben.getByRole("button", { name: "Drop door" }).waitFor();
    await page.getByRole("button", { name: "Add a seat" }).click();
    await look(page, "live");

    await live(page).scrollIntoViewIfNeeded();
    await live(page).locator(".connections tbody tr").nth(2).getByText("this page").waitFor();
    await live(page).getByRole("button", { name: "Publish…" }).click();
    await page.getByLabel("What its clients will receive").fill("hi");
    await look(page, "lists");
    await page.getByRole("button", { name: "Cancel" }).click();

    await home.stop();
    await live(page).scrollIntoViewIfNeeded();
    await live(page).getByText("No answer from the server").waitFor();
    await ben.getByRole("button", { name: "Try now" }).waitFor();
    await look(page, "offline");
  });
}

for (const [width, colorScheme] of process.env.LOOKS === "all" ? looks : [[768, "dark"]]) {
  test(`refused, ${colorScheme}, ${width} pixels wide: axe finds nothing at all`, async (t) => {
    const home = await Home.open(t, "--key", "apple-tree-7", "--allow-origin", "*");
    const page = await visit(t, home, { size: [width, 860], colorScheme, seats: 0, address: `http://elsewhere.test:${home.port}/` });
    await page.locator("#access").getByText("This server wants a key or a token.").waitFor();
    await live(page).scrollIntoViewIfNeeded();
    await live(page).getByText("Or put a secret into a file").waitFor();
    await look(page, "refused");
    for (let i = await page.locator(".seat").count(); i-- > 0; ) await seat(page, i).getByRole("button", { name: "Leave" }).click();
    await page.getByText("Nobody sits here any more.").waitFor();
    await look(page, "nobody");
  });
}

test("a screen reader hears the messages in order, of the seat that is looked at", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { address: home.http + "/?app=live" });
  const [ada, ben] = [seat(page, 0), seat(page, 1)];
  const log = (seat) => seat.getByRole("log");
  await field(ada).focus();
  assert.deepEqual([await log(ada).getAttribute("aria-live"), await log(ben).getAttribute("aria-live")], ["polite", "off"]);
  assert.equal(await log(ada).getAttribute("aria-label"), "What Ada hears");
  await page.waitForFunction(() => document.querySelector(".log").textContent.includes("Ben joined."));
  for (const text of ["one", '{"x":1}', "three"]) await say(ada, text);
  await page.waitForFunction(() => Array.from(document.querySelectorAll(".log"), (log) => log.textContent).every((text) => text.endsWith("three")));
  assert.deepEqual((await lines(ada)).slice(-3), ["Me: one", 'Me: {"x":1}', "Me: three"]);
  assert.deepEqual((await lines(ben)).slice(-3), ["Ada: one", 'Ada: {"x":1}', "Ada: three"]);

  await ben.getByRole("button", { name: "Pause", exact: true }).click(); // looks at Ben
  assert.deepEqual([await log(ada).getAttribute("aria-live"), await log(ben).getAttribute("aria-live")], ["off", "polite"]);
  await say(ada, "nobody reads this out to Ben");
  await ben.getByText("Paused: 1 waiting").waitFor();
  await page.waitForFunction(() => document.querySelector(".log").textContent.endsWith("out to Ben"));
  assert.equal((await lines(ben)).at(-1), "Ada: three");
});

test("a screen reader is not flooded, and loses no place in the list", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  const ben = seat(page, 1);
  await page.evaluate(() => {
    window.most = 0;
    new MutationObserver((changes) => (window.most = Math.max(window.most, changes.flatMap((change) => [...change.addedNodes]).length))).observe(document.querySelectorAll(".log")[1], { childList: true });
  });
  for (let n = 1; n <= 300; n++) await home.publish(`message ${n}`);
  await page.waitForFunction(() => document.querySelectorAll(".log")[1].textContent.endsWith("message 300"));
  assert.ok((await page.evaluate(() => window.most)) <= 5);
  assert.ok((await lines(ben)).length <= 20);
  for (const top of [0, 2000, 1000, 99_999]) {
    await ben.locator(".frames").evaluate((box, top) => (box.scrollTop = top), top);
    await page.evaluate(() => new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then))));
    const places = await ben.locator(".frame").evaluateAll((rows) => rows.map((row) => Number(row.getAttribute("aria-posinset"))));
    assert.ok(places.length > 5, `at ${top} there are ${places.length} rows`);
    assert.deepEqual(places, places.map((_, i) => places[0] + i));
  }
});

for (const size of [[320, 640], [390, 844]]) {
  test(`${size[0]} pixels wide: what fingers press has 44 pixels`, async (t) => {
    const home = await Home.open(t);
    const page = await visit(t, home, { size, address: home.http + "/?app=live" });
    const ada = seat(page, 0);
    await say(ada, "hi there");
    await ada.getByLabel("Key", { exact: true }).fill("door");
    await ada.getByLabel("Value", { exact: true }).fill("open");
    await ada.getByRole("button", { name: "Set", exact: true }).click();
    await ada.getByRole("button", { name: "Drop door" }).waitFor();
    for (const name of ["Filter", "Save", "Hex"]) await ada.getByRole("button", { name, exact: true }).click();
    await seat(page, 1).locator(".where").click();
    await page.getByRole("button", { name: "Key or token" }).click();
    await live(page).scrollIntoViewIfNeeded();
    await live(page).locator(".connections tbody tr").nth(1).waitFor();
    await live(page).locator(".topics").getByRole("button", { name: "lobby" }).click();
    await page.getByRole("button", { name: "List all connections" }).waitFor();
    assert.deepEqual(await small(page), []);
    await live(page).getByRole("button", { name: "Publish…" }).click();
    assert.deepEqual(await small(page), []);
  });
}

// small lists what can be pressed and has less than 44 pixels in width or height.
function small(page) {
  return page.evaluate(() =>
    Array.from(document.querySelectorAll("a, button, input, select, textarea, [role=treeitem]"))
      .filter((element) => element.checkVisibility() && element.getBoundingClientRect().width)
      .map((element) => [element.getBoundingClientRect(), element])
      .filter(([{ width, height }]) => Math.min(width, height) < 43.99)
      .map(([{ width, height }, element]) => `${width} × ${height}: ${element.outerHTML.slice(0, 120)}`),
  );
}

test("nothing moves for those who want no motion", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home, { reducedMotion: "reduce" });
  const moving = () => page.evaluate(() => Array.from(document.querySelectorAll("*")).filter((element) => {
    const { transitionDuration, animationName, scrollBehavior } = getComputedStyle(element);
    return /[1-9]/.test(transitionDuration) || animationName !== "none" || scrollBehavior === "smooth";
  }).length);
  assert.equal(await moving(), 0);
  await page.setViewportSize({ width: 390, height: 844 });
  assert.ok(await page.evaluate(() => { // a new seat is where it is seen at once
    document.getElementById("add").click();
    return document.getElementById("seats").lastElementChild.getBoundingClientRect().bottom <= innerHeight;
  }));
  await page.emulateMedia({ reducedMotion: "no-preference" });
  assert.ok((await moving()) > 0);
});

test("by keyboard alone: join live, set a key, try again, publish", async (t) => {
  const home = await Home.open(t);
  const page = await visit(t, home);
  const ada = seat(page, 0);
  const tabTo = async (locator) => {
    for (let n = 0; n < 80 && !(await locator.evaluate((element) => element === document.activeElement)); n++) await page.keyboard.press("Tab");
    assert.ok(await locator.evaluate((element) => element === document.activeElement), String(locator));
  };
  await page.keyboard.press("Shift+Tab");
  await tabTo(seat(page, 1).locator(".where"));
  await page.keyboard.press("Enter");
  await page.keyboard.type("live");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await seat(page, 1).getByRole("heading", { name: /^State/ }).waitFor();
  await tabTo(seat(page, 1).getByLabel("Key", { exact: true }));
  await page.keyboard.type("door");
  await page.keyboard.press("Tab");
  await page.keyboard.type("open");
  await page.keyboard.press("Enter");
  await seat(page, 1).getByRole("button", { name: "Drop door" }).waitFor();
  await tabTo(live(page).getByRole("button", { name: "Publish…" }));
  await page.keyboard.press("Enter");
  await page.keyboard.type("to everyone");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByText("Published. 1 client receives it.").waitFor();
  await heard(ada, "to everyone").waitFor();
});
