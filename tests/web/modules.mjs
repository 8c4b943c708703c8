/*
 * modules.mjs: the npm packages of these tests, installed once into the build
 * directory. Whichever test comes first installs; the others wait for it.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const LIST = new URL("package.json", import.meta.url);
const PATIENCE_MS = 240000;
const STALE_MS = 180000;

/** The lock is a directory; one that is left by a killed run goes stale. */
async function locked(lock, call) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      fs.mkdirSync(lock);
      break;
    } catch (error) {
      if (error.code !== "EEXIST" || Date.now() > end) throw error;
      const age = Date.now() - (fs.statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
      if (age > STALE_MS) fs.rmSync(lock, { recursive: true, force: true });
      else await sleep(100);
    }
  }
  try {
    return call();
  } finally {
    fs.rmSync(lock, { recursive: true, force: true });
  }
}

function install(where, list) {
  const done = path.join(where, "installed.json");
  if (fs.existsSync(done) && fs.readFileSync(done, "utf8") === list) return;
  fs.writeFileSync(path.join(where, "package.json"), list);
  const run = spawnSync("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock",
    "--ignore-scripts"], { cwd: where, encoding: "utf8" });
  if (run.status !== 0) throw new Error(`npm install: ${run.error ?? run.stdout + run.stderr}`);
  fs.writeFileSync(done, list);
}

/** @returns the directory node_modules below `where` */
export async function modules(where) {
  fs.mkdirSync(where, { recursive: true });
  await locked(path.join(where, "lock"), () => install(where, fs.readFileSync(LIST, "utf8")));
  return path.join(where, "node_modules");
}

/** @returns what require() of a package gives */
export async function load(where, name) {
  return createRequire(path.join(await modules(where), "x.js"))(name);
}

/** @returns the text of a file of a package */
export async function source(where, file) {
  return fs.readFileSync(path.join(await modules(where), file), "utf8");
}
