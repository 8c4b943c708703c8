/*
 * fuzz_test.mjs: random frames of a server, random calls of a page, random
 * time. The client never throws, and never wedges: left alone with a server
 * that behaves, it is open and every subscription is live.
 *
 * usage: node --test-reporter=tap fuzz_test.mjs SOURCE_ROOT
 *        WSH_FUZZ_SEED=N one seed; WSH_FUZZ_ROUNDS=N how many (default 300)
 */
import assert from "node:assert/strict";
import path from "node:path";
import test from "node:test";
import { pathToFileURL } from "node:url";

import { rig, settle } from "./fakes.mjs";

const client = path.join(process.argv[2], "examples/web/ws_hub.js");
const { WsHub } = await import(pathToFileURL(client));
const ROUNDS = Number(process.env.WSH_FUZZ_ROUNDS ?? 300);
const STEPS = 120;

const OPS = ["welcome", "message", "subscribed", "unsubscribed", "published", "presence", "pong",
  "join", "leave", "gap", "error", "goaway", "future", "__proto__", "constructor", ""];
const CHANNELS = ["a", "b", "c", "__proto__", ""];
const ERRORS = ["invalid_message", "unknown_op", "forbidden", "bad_channel", "limit", "too_large",
  "not_subscribed", "rate", "toString"];
const CODES = [0, 1000, 1001, 1006, 1008, 1009, 1012, 1013, 4401, 4403, 99999, NaN, undefined];

/** mulberry32 */
function generator(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n) => Math.floor(next() * n);
  const one = (list) => list[below(list.length)];
  return { next, below, one };
}

function anything(random, depth = 0) {
  return random.one([
    () => null, () => true, () => random.below(1e9), () => -1, () => 1e308, () => 0.5, () => "",
    () => "x".repeat(random.below(50)), () => random.one(CHANNELS), () => "\u0000\ud800\u202e",
    () => (depth > 3 ? [] : Array.from({ length: random.below(4) }, () => anything(random, depth + 1))),
    () => (depth > 3 ? {} : { [random.one(OPS)]: anything(random, depth + 1) }),
  ])();
}

function frame(random, socket) {
  const roll = random.below(20);
  if (roll === 0) return random.one(["", "null", "[]", "7", '"text"', "{", "{}", "\u0000", "[".repeat(9999)]);
  if (roll === 1) return JSON.stringify(anything(random));
  const event = { op: random.one(OPS), channel: random.one(CHANNELS) };
  const sure = (value) => (random.below(4) ? value : anything(random));
  if (random.below(2)) event.id = sure(random.one(socket.sent)?.id ?? 1);
  for (const [name, make] of Object.entries({
    data: () => anything(random), seq: () => random.below(99), epoch: () => "e", conn: () => "00ff",
    ping_ms: () => random.below(9e9), missed: () => random.below(9), error: () => random.one(ERRORS),
    reason: () => random.one(["backpressure", "broker", "drain"]), reconnect_ms: () => random.below(9000),
    members: () => [{ user: "u" }], user: () => "u", encoding: () => "base64", detail: () => "d",
    transport: () => "long-poll",
  })) if (random.below(3) === 0) event[name] = sure(make());
  return JSON.stringify(event);
}

/** One random event in the client's life. */
function step(random, rigged, subs) {
  const { hub, clock, socket, document, window } = rigged;
  const channel = random.one(["a", "b", "c"]);
  random.one([
    () => socket.say(frame(random, socket)), () => socket.say(frame(random, socket)),
    () => socket.say(frame(random, socket)), () => socket.say(frame(random, socket)),
    () => socket.welcome("01", random.below(100000)),
    () => socket.onmessage?.({ data: random.one([undefined, new ArrayBuffer(3), 7, {}]) }),
    () => socket.hangUp(random.one(CODES), random.one(["", "why", undefined])),
    () => clock.advance(random.below(random.one([10, 1000, 40000]))),
    () => subs.push(hub.subscribe(channel, () => { if (random.below(5) === 0) throw new Error("page"); },
      { gap: () => { if (random.below(9) === 0) hub.reconnect(); } })),
    () => subs.splice(random.below(subs.length + 1), 1)[0]?.unsubscribe(),
    () => void hub.publish(channel, anything(random)),
    () => void hub.presence(channel).catch(() => {}),
    () => void hub.ping().catch(() => {}),
    () => { document.visibilityState = random.one(["visible", "hidden"]); document.fire("visibilitychange"); },
    () => window.fire(random.one(["online", "offline"])),
    () => { socket.bufferedAmount = random.one([0, 2 << 20]); },
    () => { if (random.below(8) === 0) hub.close(); else hub.reconnect(); },
  ])();
}

/** A server that behaves from now on; true when everything is as it should. */
function recover(rigged, random) {
  const got = new Map(["a", "b", "c"].map((channel) => [channel, 0]));
  for (const channel of got.keys()) rigged.hub.subscribe(channel, () => got.set(channel, got.get(channel) + 1));
  if (rigged.hub.state === "closed") rigged.hub.reconnect();
  let asked = new Set(); // of the socket's channels
  let last = rigged.socket;
  for (let turn = 0; turn < 2000; turn++) {
    const { socket } = rigged;
    if (socket !== last) asked = new Set();
    last = socket;
    if (rigged.hub.state === "connecting") socket.welcome("02");
    for (const command of socket.sent.splice(0)) {
      const { id, channel } = command;
      if (rigged.hub.state !== "open" || rigged.socket !== socket) break;
      if (command.op === "subscribe") asked.add(channel);
      if (command.op === "unsubscribe") asked.delete(channel);
      if (command.op === "subscribe") socket.say({ op: "subscribed", id, channel });
      if (command.op === "ping") socket.say({ op: "pong", id });
      if (command.op === "publish") socket.say({ op: "published", id });
      if (command.op === "unsubscribe") socket.say({ op: "unsubscribed", id, channel });
    }
    rigged.clock.advance(random.one([1, 500, 5000]));
  }
  for (const channel of asked) rigged.socket.say({ op: "message", channel, data: 0 });
  return { state: rigged.hub.state, got: [...got.values()] };
}

async function life(seed) {
  const random = generator(seed);
  const fetch = async () => ({
    status: random.one([200, 503]),
    headers: { get: () => random.one([null, "3", "x", "99999999999"]) },
  });
  const rigged = rig(WsHub, { offline: random.one(["queue", "refuse"]), queueMax: 5 }, { random: random.next, fetch });
  const subs = [];
  for (let i = 0; i < STEPS; i++) {
    step(random, rigged, subs);
    if (i % 10 === 0) await settle();
  }
  const end = recover(rigged, random);
  assert.deepEqual(end, { state: "open", got: [1, 1, 1] }, `seed ${seed}`);
  const foreign = rigged.thrown.filter(({ message }) => message !== "page");
  assert.deepEqual(foreign, [], `seed ${seed}`);
  rigged.hub.close();
  await settle();
  assert.ok(rigged.clock.pending <= 1, `seed ${seed}: ${rigged.clock.pending} timers`); // a probe's
}

test("test_fuzz_random_servers_and_pages_never_throw_and_never_wedge", async () => {
  const only = process.env.WSH_FUZZ_SEED;
  const seeds = only ? [Number(only)] : Array.from({ length: ROUNDS }, (_, i) => i + 1);
  for (const seed of seeds) {
    try {
      await life(seed);
    } catch (error) {
      error.message = `seed ${seed}: ${error.message}`;
      throw error;
    }
  }
});
