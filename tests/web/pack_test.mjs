/*
 * pack_test.mjs: what npm would publish is the module, its types and what npm
 * always takes; its version is the library's, and it can be imported by name.
 *
 * usage: node --test-reporter=tap pack_test.mjs SOURCE_ROOT VERSION
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test from "node:test";

const [root, version] = process.argv.slice(2);
const web = path.join(root, "examples/web");
const FILES = ["LICENSE", "README.md", "package.json", "ws_hub.d.ts", "ws_hub.js"];

function npm(args, cwd) {
  const run = spawnSync("npm", args, { cwd, encoding: "utf8" });
  assert.equal(run.status, 0, `${run.error ?? ""}${run.stdout}${run.stderr}`);
  return run;
}

test("test_pack_dry_run_lists_the_files_of_the_client_and_no_other", () => {
  const [pack] = JSON.parse(npm(["pack", "--dry-run", "--json", "--ignore-scripts"], web).stdout);
  assert.deepEqual(pack.files.map((file) => file.path).sort(), FILES);
  assert.deepEqual(pack.files.map((file) => file.mode & 0o111), FILES.map(() => 0));
  assert.equal(pack.version, version);
  assert.equal(pack.bundled.length, 0);
});

test("test_pack_licence_is_the_library_s", () => {
  const text = (...names) => fs.readFileSync(path.join(root, ...names), "utf8");
  assert.equal(text("examples/web/LICENSE"), text("COPYING"));
});

test("test_pack_manifest_names_no_host_and_runs_no_script", () => {
  const text = fs.readFileSync(path.join(web, "package.json"), "utf8");
  const manifest = JSON.parse(text);
  assert.equal(manifest.scripts, undefined);
  assert.equal(manifest.dependencies, undefined);
  assert.doesNotMatch(text, /https?:/);
});

test("test_pack_installed_package_is_imported_by_name", () => {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "wsh-pack-"));
  try {
    npm(["pack", "--ignore-scripts", "--pack-destination", scratch], web);
    const modules = path.join(scratch, "node_modules/ws_hub");
    fs.mkdirSync(modules, { recursive: true });
    const tarball = path.join(scratch, fs.readdirSync(scratch).find((name) => name.endsWith(".tgz")));
    assert.equal(spawnSync("tar", ["xzf", tarball, "-C", modules, "--strip-components=1"]).status, 0);
    fs.writeFileSync(path.join(scratch, "page.mjs"),
      'import { WsHub, backoffMs } from "ws_hub";\nconsole.log(typeof WsHub, backoffMs(3, 500, 0));\n');
    const run = spawnSync(process.execPath, ["page.mjs"], { cwd: scratch, encoding: "utf8" });
    assert.equal(run.stdout, "function 4000\n", run.stderr);
  } finally {
    fs.rmSync(scratch, { recursive: true });
  }
});
