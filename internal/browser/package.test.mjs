// crier.js as an npm package: what is in it, and what an empty project that installs it can do.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { Home } from "./home.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const source = path.join(here, "../../console/client");
const dir = mkdtempSync(path.join(tmpdir(), "package-"));
let packed;

const run = async (program, ...args) => {
  const env = { ...process.env, npm_config_cache: path.join(dir, "cache"), npm_config_update_notifier: "false" };
  try {
    return (await promisify(execFile)(program, args, { cwd: dir, env })).stdout;
  } catch (error) {
    throw new Error(`${program} ${args.join(" ")}: ${error.stdout}${error.stderr}`);
  }
};

before(async () => {
  [packed] = JSON.parse(await run("npm", "pack", source, "--json", "--pack-destination", dir));
  writeFileSync(path.join(dir, "package.json"), '{ "private": true, "type": "module" }');
  await run("npm", "install", "--offline", "--no-audit", "--no-fund", path.join(dir, packed.filename));
});

after(() => rmSync(dir, { recursive: true }));

test("has what belongs into it, and nothing else", () => {
  assert.deepEqual(packed.files.map((file) => file.path).sort(), ["LICENSE", "README.md", "crier.d.ts", "crier.js", "package.json"]);
  assert.ok(packed.size <= 16 << 10, `${packed.size} bytes`);
  assert.deepEqual(packed.bundled, []);
  assert.equal(readFileSync(path.join(source, "LICENSE"), "utf8"), readFileSync(path.join(here, "../../LICENSE"), "utf8"));
});

test("says what it is, and not where it is from", () => {
  const about = JSON.parse(readFileSync(path.join(dir, "node_modules/crier-client/package.json"), "utf8"));
  assert.equal(about.license, "MIT");
  assert.deepEqual(about.publishConfig, { access: "public", provenance: true });
  for (const absent of ["repository", "homepage", "bugs", "dependencies", "scripts"]) assert.ok(!(absent in about), absent);
  const links = readFileSync(path.join(dir, "node_modules/crier-client/README.md"), "utf8").matchAll(/\]\(([^)#]+)/g);
  for (const [, link] of links) assert.ok(/^https:/.test(link) || packed.files.some((file) => file.path === link), `README.md leads to ${link}, which is not in the package`);
});

test("connects", async (t) => {
  const home = await Home.open(t);
  writeFileSync(
    path.join(dir, "talk.js"),
    `import WebSocket from ${JSON.stringify(pathToFileURL(path.join(here, "node_modules/ws/wrapper.mjs")))};
import { connect, Crier } from "crier-client";
const crier = connect(process.argv[2], { WebSocket });
console.log(crier instanceof Crier, await crier.send("hi there"));
crier.close();`,
  );
  assert.equal(await run("node", "talk.js", home.url), "true confirmed\n");
});

test("has types", async () => {
  writeFileSync(
    path.join(dir, "typed.ts"),
    `import { connect, type Fate } from "crier-client";
const fate: Fate = await connect("ws://localhost:8080", { topic: "a" }).send("hi there");
// @ts-expect-error: there is no such option
connect({ topics: "a" });
export { fate };`,
  );
  const tsc = path.join(here, "node_modules/typescript/bin/tsc");
  const strictly = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom", "typed.ts"];
  await run("node", tsc, "--module", "nodenext", ...strictly);
  await run("node", tsc, "--module", "esnext", "--moduleResolution", "bundler", ...strictly);
});
