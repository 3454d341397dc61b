// What the tests of the page need: a browser, and words for what people do with the page.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test as nodeTest } from "node:test";
import { chromium } from "playwright-core";
import { patience } from "./home.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const test = (name, run) => nodeTest(name, { timeout: 4 * patience }, run);

export let browser;
before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--host-resolver-rules=MAP elsewhere.test 127.0.0.1"],
  });
});
after(() => browser.close());

// visit opens the page of a home. Whatever the page does that it must not do fails the test at its end.
export async function visit(t, home, { size = [1280, 860], colorScheme = "light", address = home.http + "/", permissions = [], seats = 2, forcedColors = "none", reducedMotion = "no-preference" } = {}) {
  const context = await browser.newContext({ viewport: { width: size[0], height: size[1] }, colorScheme, permissions, forcedColors, reducedMotion });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("console", (message) => message.type() === "error" && wrong.push(`${message.text()} ${message.location().url}`));
  page.on("request", (request) => new URL(request.url()).host !== new URL(address).host && wrong.push(`it asks for ${request.url()}`));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`${event.violatedDirective} forbids ${event.blockedURI} ${event.sourceFile}`));
  });
  t.after(async () => {
    await context.close();
    // A server that is away, a key that is asked for, a message that is too large, and what crier.js says of a server's refusal.
    const meant = /ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_NETWORK|WebSocket connection to|status of 4(01|13)|^[a-z]+(-[a-z]+)*: /;
    assert.deepEqual(wrong.filter((text) => !meant.test(text)), []);
  });
  await page.goto(address);
  await seated(page, seats);
  return page;
}

// longTask does something, and returns how many milliseconds of processor time the page's tasks took meanwhile, at most. Their
// length on the clock would tell what else the machine has to do; the ten longest do not count, as they collect garbage.
export async function longTask(page, something) {
  await browser.startTracing(page, { categories: ["toplevel"] });
  await something();
  const { traceEvents } = JSON.parse(await browser.stopTracing());
  const threadOf = ({ pid, tid }) => `${pid} ${tid}`;
  const main = new Set(traceEvents.filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain").map(threadOf));
  const tasks = traceEvents.filter((event) => event.name === "ThreadControllerImpl::RunTask" && event.tdur && main.has(threadOf(event)));
  assert.ok(tasks.length > 1000, `the trace has ${tasks.length} tasks`);
  return Math.round(tasks.map(({ tdur }) => tdur).sort((a, b) => b - a)[10] / 1000);
}

export const seated = (page, n) => page.waitForFunction((n) => document.querySelectorAll('.seat[data-state="open"]').length === n, n);
export const seat = (page, i) => page.locator(".seat").nth(i);
export const field = (seat) => seat.getByRole("textbox", { name: "Say something" });
export const heard = (seat, text) => seat.locator(".frame.heard", { hasText: text });

export async function say(seat, text) {
  await field(seat).fill(text);
  await field(seat).press("Enter");
}

// runGo builds and runs a Go program, and returns what it prints first.
export async function runGo(t, code, env = process.env) {
  const dir = mkdtempSync(path.join(tmpdir(), "crier-paste-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const [source, program] = ["main.go", "pasted"].map((name) => path.join(dir, name));
  writeFileSync(source, code);
  execFileSync("go", ["vet", source]);
  execFileSync("go", ["build", "-o", program, source]);
  const pasted = spawn(program, { env });
  t.after(() => pasted.kill());
  return String((await once(pasted.stdout, "data"))[0]);
}

// sticksOut lists what is wider than the screen, and text that is cut off without an ellipsis.
export function sticksOut(page) {
  return page.evaluate(() => {
    const wide = document.documentElement.scrollWidth > innerWidth ? [`the page is ${document.documentElement.scrollWidth} wide`] : [];
    const scrolls = (element) => element.closest(".frames, .here, .paste, .hints, .tabs, .where, .unseen, dialog, #add span, #share span");
    for (const element of document.querySelectorAll("body *")) {
      const { right, left, width } = element.getBoundingClientRect();
      if (width > 1 && (right > innerWidth + 1 || left < -1) && !scrolls(element)) wide.push(element.outerHTML.slice(0, 200));
    }
    return wide;
  });
}

// complaints lists what axe finds, by all of its rules but those of WCAG's level AAA.
export async function complaints(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => {
    const rules = window.axe.getRules().filter(({ tags }) => !tags.some((tag) => tag.endsWith("aaa") || tag === "deprecated"));
    return window.axe.run(document, { runOnly: { type: "rule", values: rules.map(({ ruleId }) => ruleId) } });
  });
  return violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map((node) => node.html).join("\n")}`);
}
