// Takes the pictures of the README: two seats of live on the page, light and dark. make screenshot runs it. Its argument is
// where they go.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";
import { Home } from "./home.mjs";
import { shrink } from "./png.mjs";

const size = { width: 1000, height: 640 };
const most = 60_000; // bytes

const endings = [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
endings.push(() => browser.close());
try {
  for (const colorScheme of ["light", "dark"]) {
    const picture = shrink(await take(colorScheme));
    const file = path.join(process.argv[2], `page-${colorScheme}.png`);
    if (picture.length > most) throw new Error(`${file} would have ${picture.length} bytes`);
    writeFileSync(file, picture);
    console.log(`${file}: ${picture.length} bytes`);
  }
} finally {
  for (const end of endings.reverse()) await end();
}

async function take(colorScheme) {
  const home = await Home.open({ after: (end) => endings.push(end) });
  const context = await browser.newContext({ viewport: size, deviceScaleFactor: 1.5, colorScheme, reducedMotion: "reduce", timezoneId: "UTC" });
  const page = await context.newPage();
  await page.clock.setFixedTime("2026-01-01T10:00:00");
  await page.goto(`${home.http}/?app=live&topic=lobby&name=Ada&name=Bob`);
  const [ada, bob] = [0, 1].map((i) => page.locator(".seat").nth(i));
  const field = (seat) => seat.getByRole("textbox", { name: "Say something" });
  const say = async (seat, text) => {
    await field(seat).fill(text);
    await field(seat).press("Enter");
  };
  await ada.getByText("Bob", { exact: true }).waitFor();
  for (const one of [ada, bob]) await one.getByRole("button", { name: "Clear" }).click();
  await say(ada, "hi Bob");
  await bob.locator(".frame.heard").waitFor();
  await say(bob, "hi Ada, you begin");
  await ada.locator(".frame.heard").nth(1).waitFor();
  await ada.getByLabel("Key", { exact: true }).fill("turn");
  await ada.getByLabel("Value", { exact: true }).fill("Ada");
  await ada.getByRole("button", { name: "Set", exact: true }).click();
  for (const one of [ada, bob]) await one.getByRole("button", { name: "Drop turn" }).waitFor();
  await field(bob).fill("good luck!");
  await page.mouse.move(0, 0);
  await page.evaluate(() => (document.getElementById("address").textContent = "ws://localhost:8080")); // whatever the port is
  await page.locator(".toast").waitFor({ state: "detached" });
  const { y, height } = await page.locator("#seats").boundingBox();
  const picture = await page.screenshot({ clip: { x: 0, y: 0, width: size.width, height: Math.ceil(y + height + 24) }, fullPage: true, caret: "hide" });
  await context.close();
  return picture;
}
