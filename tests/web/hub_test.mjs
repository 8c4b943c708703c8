/*
 * hub_test.mjs: the client in Node, with "ws", against the example chat; and
 * the files that the chat serves.
 *
 * usage: node --test-reporter=tap hub_test.mjs SOURCE_ROOT MODULES CHAT...
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test, { after, before } from "node:test";
import { pathToFileURL } from "node:url";

import { load } from "./modules.mjs";
import { Server } from "./server.mjs";

const [root, modules, ...chat] = process.argv.slice(2);
const { WsHub } = await import(pathToFileURL(path.join(root, "examples/web/ws_hub.js")));
const server = new Server(chat);
const hubs = [];
let WebSocket;

before(async () => {
  ({ WebSocket } = await load(modules, "ws"));
  await server.start();
});

after(async () => {
  for (const hub of hubs) hub.close();
  await server.stop();
});

function connect(url = server.url, options = {}) {
  const hub = new WsHub(url, { ...options, env: { WebSocket, ...options.env } });
  hubs.push(hub);
  return hub;
}

/** The next event of a type for which a condition holds. */
function event(hub, type, condition = () => true) {
  return new Promise((resolve) => {
    const off = hub.on(type, (one) => {
      if (!condition(one)) return;
      off();
      resolve(one);
    });
  });
}

const opened = (hub) => (hub.state === "open" ? undefined : event(hub, "state", ({ state }) => state === "open"));
const code = (promise) => promise.then(() => "no error", (error) => error.code);

test("test_hub_messages_go_from_one_client_to_another_in_order", async () => {
  const [reader, writer] = [connect(), connect()];
  const got = [];
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  const sub = reader.subscribe("order", (data) => { if (got.push(data) === 200) done(); });
  await sub.ready;
  await opened(writer);
  for (let i = 0; i < 200; i++) writer.publish("order", { i, text: "ä\u2028</script>" });
  await all;
  assert.deepEqual(got, Array.from({ length: 200 }, (_, i) => ({ i, text: "ä\u2028</script>" })));
});

test("test_hub_publish_without_echo_spares_the_sender", async () => {
  const hub = connect();
  const got = [];
  await hub.subscribe("echo", (data) => got.push(data)).ready;
  await hub.publish("echo", 1, { echo: false });
  await hub.publish("echo", 2);
  await hub.ping();
  assert.deepEqual(got, [2]);
});

test("test_hub_errors_of_the_server_have_their_names", async () => {
  const hub = connect();
  await opened(hub);
  assert.equal(await code(hub.presence("room")), "unknown_op");
  assert.equal(await code(hub.subscribe("x".repeat(300), () => {}).ready), "bad_channel");
  assert.equal(await code(hub.publish("", 1)), "bad_channel");
  assert.equal(await code(hub.publish("news", 1, { class: "critical" })), "forbidden");
  assert.ok(await hub.ping() >= 0);
  assert.equal(hub.state, "open");
});

test("test_hub_largest_message_passes_and_a_larger_one_is_refused", async () => {
  const hub = connect();
  const got = [];
  await hub.subscribe("large", (data) => got.push(data.length)).ready;
  // The rest of the command takes less than 100 bytes.
  await hub.publish("large", "x".repeat(65536 - 100));
  assert.equal(await code(hub.publish("large", "x".repeat(65536))), "too_large");
  await hub.ping();
  assert.deepEqual(got, [65436]);
});

test("test_hub_full_server_is_asked_for_retry_after", async () => {
  const full = new Server([...chat, "--max-connections", "2"]);
  await full.start();
  try {
    const inside = [connect(full.url), connect(full.url)];
    await Promise.all(inside.map(opened));
    const outside = connect(full.url);
    const { retryInMs } = await event(outside, "state", ({ state, retryInMs: ms }) => state === "waiting" && ms > 2000);
    // The default of the server is 5 s; the jitter comes on top.
    assert.ok(retryInMs >= 4900 && retryInMs <= 6000, `${retryInMs} ms`);
    for (const hub of [...inside, outside]) hub.close();
  } finally {
    await full.stop();
  }
});

test("test_hub_restarted_server_is_subscribed_again", async () => {
  const hub = connect();
  const got = [];
  await hub.subscribe("again", (data) => got.push(data)).ready;
  const before_ = hub.conn;
  await server.kill();
  await server.start();
  const gap = await event(hub, "gap");
  assert.deepEqual(gap, { channel: "again", missed: null, reason: "reconnect" });
  await hub.publish("again", "back");
  await hub.ping();
  assert.deepEqual(got, ["back"]);
  assert.equal(typeof before_, "string");
});

// The files of the page

const ASSETS = {
  "": ["index.html", "text/html; charset=utf-8"], "app.js": ["app.js", "text/javascript; charset=utf-8"],
  "view.js": ["view.js", "text/javascript; charset=utf-8"], "ws_hub.js": ["ws_hub.js", "text/javascript; charset=utf-8"],
  "style.css": ["style.css", "text/css; charset=utf-8"], "icon.svg": ["icon.svg", "image/svg+xml"],
};

for (const [url, [file, type]] of Object.entries(ASSETS)) {
  test(`test_hub_file_${file}_is_served_whole_with_its_headers`, async () => {
    const answer = await fetch(server.url + url);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("Content-Type"), type);
    assert.equal(answer.headers.get("X-Content-Type-Options"), "nosniff");
    assert.match(answer.headers.get("Content-Security-Policy"), /^default-src 'none'; script-src 'self';/);
    assert.doesNotMatch(answer.headers.get("Content-Security-Policy"), /unsafe|\*|https?:/);
    assert.match(answer.headers.get("ETag"), /^"[0-9a-f]{16}"$/);
    assert.equal(await answer.text(), fs.readFileSync(path.join(root, "examples/web", file), "utf8"));
  });
}

test("test_hub_file_that_has_not_changed_is_304_without_a_body", async () => {
  const etag = (await fetch(server.url)).headers.get("ETag");
  for (const [tags, status] of [[etag, 304], ["*", 304], [`"x", ${etag}`, 304], [`W/${etag}`, 304],
    ['"0000000000000000"', 200], [etag.slice(1, -1), 200]]) {
    const answer = await fetch(server.url, { headers: { "If-None-Match": tags } });
    assert.equal(answer.status, status, tags);
    assert.equal((await answer.text()).length > 0, status === 200, tags);
    assert.equal(answer.headers.get("ETag"), etag);
  }
});

test("test_hub_file_by_head_has_headers_only", async () => {
  const answer = await fetch(`${server.url}style.css`, { method: "HEAD" });
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), "");
});

test("test_hub_other_paths_and_methods_are_refused", async () => {
  for (const url of ["nothing", "package.json", "README.md", "..%2fchat.c", "index.html"]) {
    assert.equal((await fetch(server.url + url)).status, 404, url);
  }
  assert.equal((await fetch(server.url, { method: "POST" })).status, 405);
});

test("test_hub_files_name_no_other_host", () => {
  for (const [file] of Object.values(ASSETS)) {
    const text = fs.readFileSync(path.join(root, "examples/web", file), "utf8")
      .replace('xmlns="http://www.w3.org/2000/svg"', "");
    assert.doesNotMatch(text, /\b(?:https?|wss?):\/\//, file);
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function/, file);
  }
});
