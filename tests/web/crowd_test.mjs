/*
 * crowd_test.mjs: 1 000 clients whose server is killed and started again. They
 * come back spread over the jitter, not in a herd.
 *
 * What is judged are counts. The delays that the clients chose follow the
 * formula whatever the machine does. When they really came is judged as well,
 * with three tries, because this process may itself be stopped for longer than
 * a bucket is wide: then many come "at once" that would not have.
 *
 * usage: node --test-reporter=tap crowd_test.mjs SOURCE_ROOT MODULES CHAT...
 */
import assert from "node:assert/strict";
import path from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import test, { after, before } from "node:test";
import { pathToFileURL } from "node:url";

import { load } from "./modules.mjs";
import { Server } from "./server.mjs";

const [root, modules, ...chat] = process.argv.slice(2);
const { WsHub } = await import(pathToFileURL(path.join(root, "examples/web/ws_hub.js")));
const CLIENTS = 1000;
const BUCKET_MS = 100;
const BASE_MS = 500;
const TURNS = 3;
const PATIENCE_MS = 240000;

const server = new Server([...chat, "--max-connections", "4000", "--log-level", "error"]);
const crowd = [];

/** One client and what it did: when it lost, what it chose, when it tried. */
function member(WebSocket) {
  const one = { messages: 0, delays: [], tries: [], lostAt: 0 };
  class Socket extends WebSocket {
    constructor(url, protocol) {
      super(url, protocol, { perMessageDeflate: false });
      one.tries.push(performance.now());
    }
  }
  one.hub = new WsHub(server.url, { env: { WebSocket: Socket }, baseMs: BASE_MS, probe: false, stableMs: 0 });
  one.hub.on("state", ({ state, previous, retryInMs }) => {
    if (state !== "waiting" || previous !== "open") return;
    one.lostAt = performance.now();
    one.delays.push(retryInMs);
    one.tries = [];
  });
  one.sub = one.hub.subscribe("crowd", () => one.messages++);
  return one;
}

async function until(condition, what) {
  const end = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited in vain: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const count = (condition) => crowd.filter(condition).length;

function histogram(values) {
  const buckets = [];
  for (const value of values) {
    const at = Math.floor(value / BUCKET_MS);
    buckets[at] = (buckets[at] ?? 0) + 1;
  }
  return Array.from(buckets, (n) => n ?? 0);
}

const shown = (buckets) => buckets.map((n, i) => `${i * BUCKET_MS}:${n}`).filter((text) => !text.endsWith(":0")).join(" ");

/** Kill, start, wait until all are back. @returns what they chose and did */
async function turn(t) {
  const before_ = crowd.map(({ delays }) => delays.length);
  const stall = monitorEventLoopDelay({ resolution: 10 });
  await server.kill();
  await server.start();
  stall.enable();
  await until(() => count((one, i) => one.delays.length > before_[i] && one.hub.state === "open") === CLIENTS,
    () => `${count(({ hub }) => hub.state === "open")} of ${CLIENTS} are back`);
  stall.disable();
  const chosen = crowd.map(({ delays }) => delays.at(-1));
  const first = Math.min(...crowd.map(({ lostAt }) => lostAt));
  const came = crowd.map(({ tries }) => tries.at(-1) - first);
  const stalled = stall.max / 1e6;
  t.diagnostic(`chosen, ms:clients ${shown(histogram(chosen))}`);
  t.diagnostic(`came, ms:clients ${shown(histogram(came))}; this process was stopped for up to ${stalled.toFixed(0)} ms`);
  return { chosen, came, stalled };
}

before(async () => {
  const { WebSocket } = await load(modules, "ws");
  await server.start();
  for (let i = 0; i < CLIENTS; i++) {
    crowd.push(member(WebSocket));
    if (i % 50 === 49) await until(() => count(({ hub }) => hub.state === "open") > i - 50, () => "connecting");
  }
  await Promise.all(crowd.map(({ sub }) => sub.ready));
});

after(async () => {
  for (const { hub } of crowd) hub.close();
  await server.stop();
});

test("test_crowd_comes_back_by_the_formula_and_not_in_a_herd", async (t) => {
  const share = CLIENTS / (1000 / BUCKET_MS);
  const turns = [];
  for (let i = 0; i < TURNS; i++) {
    const done = await turn(t);
    turns.push(done);
    for (const delay of done.chosen) assert.ok(delay >= BASE_MS && delay <= BASE_MS + 1000, `${delay} ms`);
    assert.ok(Math.max(...histogram(done.chosen.map((delay) => delay - BASE_MS))) <= 3 * share);
    // A timer counts from the start of its loop turn: early by what the turn took before it was set.
    for (const one of crowd) {
      const early = one.tries[0] - one.lostAt - one.delays.at(-1);
      assert.ok(early > -2 - done.stalled, `a try came ${-early} ms early`);
    }
    if (Math.max(...histogram(done.came)) <= 3 * share) return;
  }
  const quiet = turns.filter(({ stalled }) => stalled < BUCKET_MS);
  assert.equal(quiet.length, 0, "on a machine that kept up, a bucket held more than 3 times its share");
  t.diagnostic("this process was stopped in every turn: what the clients chose is all that could be judged");
});

test("test_crowd_that_is_back_hears_every_message_once", async () => {
  for (const one of crowd) one.messages = 0;
  await until(() => count(({ hub }) => hub.state === "open") === CLIENTS, () => "open");
  const [writer] = crowd;
  for (let i = 0; i < 3; i++) await writer.hub.publish("crowd", i);
  await until(() => count(({ messages }) => messages >= 3) === CLIENTS,
    () => `${count(({ messages }) => messages >= 3)} of ${CLIENTS} have heard it`);
  assert.equal(count(({ messages }) => messages !== 3), 0);
});
