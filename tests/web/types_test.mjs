/*
 * types_test.mjs: ws_hub.js agrees with its own JSDoc, and ws_hub.d.ts is what the
 * compiler makes of it. WSH_WEB_UPDATE=1 writes the file instead of comparing.
 *
 * usage: node --test-reporter=tap types_test.mjs SOURCE_ROOT MODULES
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";

import { modules } from "./modules.mjs";

const [root, where] = process.argv.slice(2);
const web = path.join(root, "examples/web");
/** Not exported: what the class keeps to itself. */
const INTERNAL = ["Channel", "Ear", "Request"];
const HEAD = "// Made of the JSDoc in ws_hub.js by tests/web/types_test.mjs.\n";

async function compile(...args) {
  const tsc = path.join(await modules(where), "typescript/bin/tsc");
  const run = spawnSync(process.execPath, [tsc,
    "--strict", "--exactOptionalPropertyTypes", "--target", "es2022",
    "--module", "esnext", "--moduleResolution", "bundler",
    "--lib", "es2022,dom", "--skipLibCheck", ...args], { cwd: os.tmpdir(), encoding: "utf8" });
  assert.equal(run.status, 0, run.stdout + run.stderr);
}

/** The compiler repeats the comments of types that stand by themselves. */
function tidy(text) {
  const kept = text.replace(/\/\*\*(?:(?!\*\/)[^])*?@(?:typedef|callback)(?:(?!\*\/)[^])*?\*\/\n/g, "");
  return HEAD + kept.replace(/(\/\*\*(?:(?!\*\/)[^])*\*\/\n)?export type (\w+) = \{\n[^]*?\n\};\n/g,
    (whole, comment, name) => (INTERNAL.includes(name) ? "" : whole));
}

test("test_types_of_the_client_are_sound_and_declared", async () => {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "wsh-types-"));
  try {
    await compile("--allowJs", "--checkJs", "--declaration", "--emitDeclarationOnly",
      "--outDir", scratch, path.join(web, "ws_hub.js"));
    const made = tidy(fs.readFileSync(path.join(scratch, "ws_hub.d.ts"), "utf8"));
    const kept = path.join(web, "ws_hub.d.ts");
    if (process.env.WSH_WEB_UPDATE) fs.writeFileSync(kept, made);
    assert.equal(fs.readFileSync(kept, "utf8"), made, "run with WSH_WEB_UPDATE=1");
  } finally {
    fs.rmSync(scratch, { recursive: true });
  }
});

test("test_types_let_a_page_in_typescript_compile", async () => {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "wsh-types-"));
  try {
    for (const name of ["ws_hub.js", "ws_hub.d.ts"]) {
      fs.copyFileSync(path.join(web, name), path.join(scratch, name));
    }
    fs.writeFileSync(path.join(scratch, "page.ts"), `
      import { WsHub, WsHubError, type Gap } from "./ws_hub.js";
      const hub = new WsHub("wss://a.example/", { offline: "queue" });
      const off: () => void = hub.on("state", ({ state, retryInMs }) => {
        if (state === "waiting") retryInMs.toFixed();
      });
      const sub = hub.subscribe("news", (data, { channel }) => channel.length, {
        gap: (gap: Gap) => gap.missed?.toFixed(),
      });
      sub.ready.catch((error: WsHubError) => error.code);
      hub.publish(sub.channel, { a: 1 }, { class: "volatile" }).then(off);
      // @ts-expect-error: no such class
      hub.publish("news", 1, { class: "urgent" });
    `);
    await compile("--noEmit", path.join(scratch, "page.ts"));
  } finally {
    fs.rmSync(scratch, { recursive: true });
  }
});
