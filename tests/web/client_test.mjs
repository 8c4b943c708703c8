/*
 * client_test.mjs: ws_hub.js with a fake socket and a fake clock. Nothing
 * waits, nothing is sent.
 *
 * usage: node --test-reporter=tap client_test.mjs SOURCE_ROOT
 */
import assert from "node:assert/strict";
import path from "node:path";
import test from "node:test";
import { pathToFileURL } from "node:url";

import { open, rig, settle } from "./fakes.mjs";

const client = path.join(process.argv[2], "examples/web/ws_hub.js");
const { WsHub, backoffMs } = await import(pathToFileURL(client));

const code = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error.code;
  }
  return "no error";
};

// Connecting

test("test_client_new_offers_the_subprotocol_and_connects", () => {
  const { hub, sockets } = rig(WsHub);
  assert.equal(hub.state, "connecting");
  assert.equal(sockets.length, 1);
  assert.equal(sockets[0].url, "ws://host.example/hub");
  assert.equal(sockets[0].protocol, "ws_hub.v1");
});

test("test_client_http_url_becomes_a_ws_url", () => {
  class Socket {
    constructor(url) { Socket.url = url; }
    close() {}
  }
  const hub = new WsHub("https://host.example/a?b=c", { env: { WebSocket: Socket, fetch: null } });
  assert.equal(Socket.url, "wss://host.example/a?b=c");
  hub.close();
});

test("test_client_without_a_websocket_says_what_to_pass", () => {
  assert.throws(() => rig(WsHub, {}, { WebSocket: undefined }), /env\.WebSocket/);
});

test("test_client_welcome_opens_and_names_the_connection", () => {
  const { hub, of } = open(WsHub);
  assert.equal(hub.state, "open");
  assert.equal(hub.conn, "0000000000000001");
  assert.deepEqual(of("state").map(({ state, previous }) => [state, previous]), [["open", "connecting"]]);
});

test("test_client_without_a_welcome_tries_again", () => {
  const { hub, clock, sockets } = rig(WsHub, { welcomeMs: 3000 });
  clock.advance(3000);
  assert.equal(hub.state, "waiting");
  assert.ok(sockets[0].closed);
  clock.advance(500);
  assert.equal(sockets.length, 2);
});

test("test_client_socket_that_cannot_be_made_is_tried_again", () => {
  const rigged = rig(WsHub, {}, { WebSocket: class { constructor() { throw new Error("refused"); } } });
  assert.equal(rigged.hub.state, "waiting");
  assert.ok(rigged.clock.pending > 0);
});

test("test_client_close_is_final_and_leaves_nothing_behind", async () => {
  const { hub, clock, sockets, document, window } = open(WsHub);
  hub.subscribe("news", () => {});
  const lost = code(hub.publish("news", 1));
  hub.close();
  assert.deepEqual(sockets[0].closed, { code: 1000, reason: "" });
  assert.equal(hub.state, "closed");
  assert.equal(clock.pending, 0);
  assert.equal(document.count + window.count, 0);
  assert.equal(await lost, "closed");
  sockets[0].hangUp();
  assert.equal(hub.state, "closed");
});

// Back-off

test("test_backoff_follows_the_formula", () => {
  for (const random of [0, 0.25, 0.9999]) {
    for (let attempt = 0; attempt < 60; attempt++) {
      const jitter = Math.floor(random * 1001);
      assert.equal(backoffMs(attempt, 500, random), Math.min(30000, 500 * 2 ** attempt + jitter));
    }
  }
  assert.equal(backoffMs(5000, 500, 0.5), 30000);
});

test("test_client_reconnects_by_the_formula_and_no_earlier", () => {
  const rigged = open(WsHub);
  const jitters = [0, 0.5, 0.999, 0.1, 0.7, 0.3, 0.9, 0.2];
  rigged.socket.hangUp();
  for (let attempt = 0; attempt < jitters.length; attempt++) {
    // The first delay was drawn with 0.
    const delay = backoffMs(attempt, 500, attempt === 0 ? 0 : jitters[attempt]);
    const before = rigged.sockets.length;
    assert.equal(rigged.of("state").at(-1).retryInMs, delay);
    rigged.clock.advance(delay - 1);
    assert.equal(rigged.sockets.length, before, `attempt ${attempt} came early`);
    rigged.clock.advance(1);
    assert.equal(rigged.sockets.length, before + 1, `attempt ${attempt} did not come`);
    rigged.random = jitters[attempt + 1] ?? 0;
    rigged.socket.hangUp();
  }
});

test("test_client_unstable_connections_keep_the_counter", () => {
  const rigged = open(WsHub, { stableMs: 5000 });
  for (const delay of [500, 1000, 2000, 4000]) {
    rigged.clock.advance(4000);
    rigged.socket.hangUp();
    assert.equal(rigged.of("state").at(-1).retryInMs, delay);
    rigged.clock.advance(delay);
    rigged.socket.welcome();
  }
});

test("test_client_stable_connection_resets_the_counter", () => {
  const rigged = open(WsHub, { stableMs: 5000 });
  rigged.socket.hangUp();
  rigged.clock.advance(500);
  rigged.socket.welcome();
  rigged.clock.advance(5000);
  rigged.socket.hangUp();
  assert.equal(rigged.of("state").at(-1).retryInMs, 500);
});

test("test_client_delays_are_spread_evenly_over_the_jitter", () => {
  // A thousand clients that lose their server at once, with a known generator.
  let x = 123456789;
  const random = () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x / 2 ** 32;
  };
  const buckets = new Array(10).fill(0);
  for (let i = 0; i < 1000; i++) {
    const rigged = open(WsHub, {}, { random });
    rigged.socket.hangUp();
    const jitter = rigged.clock.next - 500;
    assert.ok(jitter >= 0 && jitter <= 1000, `jitter ${jitter}`);
    buckets[Math.min(9, Math.floor(jitter / 100))]++;
    rigged.hub.close();
  }
  // Chi square, 9 degrees of freedom: 27.9 is passed by chance once in 1000.
  const chi = buckets.reduce((sum, n) => sum + (n - 100) ** 2 / 100, 0);
  assert.ok(chi < 27.9, `buckets ${buckets}, chi square ${chi}`);
  assert.ok(Math.max(...buckets) <= 300);
});

test("test_client_reconnect_names_the_connection_it_replaces", () => {
  const { clock, sockets } = open(WsHub);
  sockets[0].hangUp();
  clock.advance(500);
  assert.equal(sockets[1].url, "ws://host.example/hub?replaces=0000000000000001");
  sockets[1].welcome("0000000000000002");
  sockets[1].hangUp();
  clock.advance(1000);
  assert.equal(sockets[2].url, "ws://host.example/hub?replaces=0000000000000002");
});

test("test_client_without_replaces_keeps_the_url", () => {
  const { clock, sockets } = open(WsHub, { replaces: false });
  sockets[0].hangUp();
  clock.advance(500);
  assert.equal(sockets[1].url, "ws://host.example/hub");
});

for (const final of [1008, 4401, 4403]) {
  test(`test_client_close_${final}_is_not_retried`, () => {
    const { hub, clock, sockets, of } = open(WsHub);
    sockets[0].hangUp(final, "no");
    assert.equal(hub.state, "closed");
    assert.deepEqual([of("state").at(-1).code, of("state").at(-1).reason], [final, "no"]);
    assert.equal(clock.pending, 0);
    hub.reconnect(); // but the page may
    assert.equal(sockets.length, 2);
  });
}

for (const passing of [1000, 1001, 1006, 1009, 1011, 1012, 1013]) {
  test(`test_client_close_${passing}_is_retried`, () => {
    const { clock, sockets } = open(WsHub);
    sockets[0].hangUp(passing);
    clock.advance(500);
    assert.equal(sockets.length, 2);
  });
}

test("test_client_reconnect_does_not_wait", () => {
  const { hub, sockets, clock } = open(WsHub);
  sockets[0].hangUp();
  hub.reconnect();
  assert.equal(sockets.length, 2);
  clock.advance(9999);
  assert.equal(sockets.length, 2);
});

// Retry-After

const answer = (status, header) => async (url, how) => {
  answer.asked.push([url, how.method]);
  return { status, headers: { get: (name) => (name === "Retry-After" ? header : null) } };
};
answer.asked = [];

test("test_client_refused_handshake_honours_retry_after", async () => {
  answer.asked = [];
  const { clock, sockets, of } = rig(WsHub, {}, { fetch: answer(503, "7") });
  sockets[0].hangUp();
  await settle();
  assert.deepEqual(answer.asked, [["http://host.example/hub", "HEAD"]]);
  assert.equal(of("state").at(-1).retryInMs, 7000);
  clock.advance(6999);
  assert.equal(sockets.length, 1);
  clock.advance(1);
  assert.equal(sockets.length, 2);
});

test("test_client_retry_after_gets_jitter", async () => {
  const rigged = rig(WsHub, {}, { fetch: answer(503, "7") });
  rigged.random = 0.5;
  rigged.socket.hangUp();
  await settle();
  assert.equal(rigged.of("state").at(-1).retryInMs, 7500);
});

test("test_client_retry_after_may_be_a_date", async () => {
  const date = new Date(Date.now() + 20000).toUTCString();
  const { of, sockets } = rig(WsHub, {}, { fetch: answer(503, date) });
  sockets[0].hangUp();
  await settle();
  const { retryInMs } = of("state").at(-1);
  assert.ok(retryInMs > 10000 && retryInMs <= 20000, `${retryInMs}`);
});

for (const [status, header] of [[200, "7"], [503, null], [503, "soon"], [404, "7"], [503, "0"]]) {
  test(`test_client_probe_${status}_${header}_changes_nothing`, async () => {
    const { of, sockets } = rig(WsHub, {}, { fetch: answer(status, header) });
    sockets[0].hangUp();
    await settle();
    assert.equal(of("state").at(-1).retryInMs, 500);
  });
}

test("test_client_probe_that_fails_changes_nothing", async () => {
  const { clock, sockets } = rig(WsHub, {}, { fetch: async () => { throw new TypeError("network"); } });
  sockets[0].hangUp();
  await settle();
  clock.advance(500);
  assert.equal(sockets.length, 2);
});

test("test_client_probe_without_an_answer_is_aborted", async () => {
  let signal;
  const fetch = (url, how) => new Promise((resolve, reject) => {
    signal = how.signal;
    signal.addEventListener("abort", () => reject(new Error("aborted")));
  });
  const { clock, hub, sockets } = rig(WsHub, {}, { fetch });
  sockets[0].hangUp();
  clock.advance(5000);
  await settle();
  assert.ok(signal.aborted);
  hub.close();
  assert.equal(clock.pending, 0);
});

test("test_client_lost_connection_is_not_probed", async () => {
  answer.asked = [];
  const { sockets } = open(WsHub, {}, { fetch: answer(503, "7") });
  sockets[0].hangUp();
  await settle();
  assert.equal(answer.asked.length, 0);
});

test("test_client_probe_has_a_url_of_its_own", async () => {
  answer.asked = [];
  const { sockets } = rig(WsHub, { probe: "/health" }, { fetch: answer(204, null) });
  sockets[0].hangUp();
  await settle();
  assert.deepEqual(answer.asked[0], ["http://host.example/health", "HEAD"]);
});

test("test_client_retry_after_of_a_year_is_bounded", async () => {
  const { of, sockets } = rig(WsHub, {}, { fetch: answer(503, "31536000") });
  sockets[0].hangUp();
  await settle();
  assert.equal(of("state").at(-1).retryInMs, 600000);
});

// Goaway

test("test_client_goaway_reconnects_when_told", () => {
  const { hub, clock, sockets, of } = open(WsHub);
  sockets[0].say({ op: "goaway", reason: "drain", reconnect_ms: 4000 });
  assert.deepEqual(of("goaway"), [{ reason: "drain", reconnectMs: 4000 }]);
  clock.advance(1000);
  assert.equal(hub.state, "open");
  sockets[0].hangUp(1012);
  assert.equal(of("state").at(-1).retryInMs, 3000);
  clock.advance(2999);
  assert.equal(sockets.length, 1);
  clock.advance(1);
  assert.equal(sockets.length, 2);
});

test("test_client_goaway_without_a_close_leaves_by_itself", () => {
  const { clock, sockets } = open(WsHub);
  sockets[0].say({ op: "goaway", reason: "rebalance", reconnect_ms: 4000 });
  clock.advance(4000);
  assert.ok(sockets[0].closed);
  assert.equal(sockets.length, 2);
});

test("test_client_goaway_that_fails_goes_on_with_back_off", () => {
  const { clock, sockets, of } = open(WsHub);
  sockets[0].say({ op: "goaway", reason: "drain", reconnect_ms: 100 });
  sockets[0].hangUp(1012);
  clock.advance(100);
  sockets[1].hangUp();
  assert.equal(of("state").at(-1).retryInMs, 500);
});

test("test_client_goaway_passes_on_the_transport", () => {
  const { sockets, of } = open(WsHub);
  sockets[0].say({ op: "goaway", reason: "shed", reconnect_ms: 1, transport: "long-poll", interval_ms: 5000 });
  assert.deepEqual(of("goaway"), [
    { reason: "shed", reconnectMs: 1, transport: "long-poll", intervalMs: 5000 }]);
});

test("test_client_goaway_is_not_overtaken_by_a_visible_page", () => {
  const { clock, document, sockets } = open(WsHub);
  sockets[0].say({ op: "goaway", reason: "drain", reconnect_ms: 4000 });
  sockets[0].hangUp(1012);
  document.fire("visibilitychange");
  clock.advance(3999);
  assert.equal(sockets.length, 1);
  clock.advance(1);
  assert.equal(sockets.length, 2);
});

for (const told of [null, "soon", -1, {}, 1e300]) {
  test(`test_client_goaway_with_reconnect_ms_${JSON.stringify(told)}_lives`, () => {
    const { clock, sockets } = open(WsHub);
    sockets[0].say({ op: "goaway", reconnect_ms: told });
    clock.advance(600000);
    assert.equal(sockets.length >= 2, true);
  });
}

// The link

test("test_client_silent_link_is_asked_then_dropped", () => {
  const { hub, clock, sockets } = open(WsHub);
  clock.advance(29999);
  assert.equal(sockets[0].of("ping").length, 0);
  clock.advance(1);
  assert.equal(sockets[0].of("ping").length, 1);
  clock.advance(9999);
  assert.equal(hub.state, "open");
  clock.advance(1);
  assert.equal(hub.state, "waiting");
  assert.ok(sockets[0].closed);
});

test("test_client_answered_ping_keeps_the_link", () => {
  const { hub, clock, sockets } = open(WsHub);
  for (let i = 1; i <= 20; i++) {
    clock.advance(30000);
    assert.equal(sockets[0].of("ping").length, i);
    sockets[0].answer("ping", { op: "pong" });
  }
  assert.equal(hub.state, "open");
});

test("test_client_busy_link_is_not_asked", () => {
  const { clock, sockets } = open(WsHub);
  for (let i = 0; i < 20; i++) {
    clock.advance(20000);
    sockets[0].say({ op: "message", channel: "x", data: 1 });
  }
  assert.equal(sockets[0].of("ping").length, 0);
});

test("test_client_ping_interval_of_the_server_is_bounded", () => {
  for (const [told, expected] of [[5, 1000], [4294967295, 60000], [0, 30000], ["x", 30000]]) {
    const { clock, sockets } = rig(WsHub);
    sockets[0].welcome("1", told);
    clock.advance(expected - 1);
    assert.equal(sockets[0].of("ping").length, 0, `${told}`);
    clock.advance(1);
    assert.equal(sockets[0].of("ping").length, 1, `${told}`);
  }
});

test("test_client_visible_page_tries_at_once", () => {
  const { clock, document, sockets } = open(WsHub);
  sockets[0].hangUp();
  document.visibilityState = "hidden";
  document.fire("visibilitychange");
  clock.advance(0);
  assert.equal(sockets.length, 1);
  document.visibilityState = "visible";
  document.fire("visibilitychange");
  clock.advance(0);
  assert.equal(sockets.length, 2);
});

test("test_client_visible_page_asks_an_open_link", () => {
  const { document, sockets } = open(WsHub);
  document.fire("visibilitychange");
  document.fire("visibilitychange");
  assert.equal(sockets[0].of("ping").length, 1);
});

test("test_client_network_that_is_back_is_used_within_a_second", () => {
  const rigged = open(WsHub, { baseMs: 20000 });
  rigged.socket.hangUp();
  rigged.random = 0.5;
  rigged.window.fire("online");
  rigged.clock.advance(499);
  assert.equal(rigged.sockets.length, 1);
  rigged.clock.advance(1);
  assert.equal(rigged.sockets.length, 2);
});

test("test_client_late_answer_makes_the_link_slow_and_a_quick_one_good", async () => {
  const { hub, clock, sockets, of } = open(WsHub);
  hub.publish("news", 1);
  clock.advance(2000);
  assert.deepEqual(of("quality").map(({ slow }) => slow), [true]);
  sockets[0].answer("publish", { op: "published" });
  hub.publish("news", 2);
  clock.advance(50);
  sockets[0].answer("publish", { op: "published" });
  assert.deepEqual(of("quality").map(({ slow }) => slow), [true, false]);
  assert.equal(hub.quality.rttMs, 50);
});

test("test_client_backpressure_gap_makes_the_link_slow_for_a_while", () => {
  const { hub, clock, sockets, of } = open(WsHub);
  const quickAnswer = () => {
    hub.publish("c", 1);
    sockets[0].answer("publish", { op: "published" });
  };
  sockets[0].say({ op: "gap", channel: "c", missed: 3, reason: "backpressure" });
  assert.equal(hub.quality.slow, true);
  clock.advance(4999);
  quickAnswer();
  assert.equal(hub.quality.slow, true);
  clock.advance(1);
  quickAnswer();
  assert.equal(hub.quality.slow, false);
  assert.deepEqual(of("quality").map(({ slow }) => slow), [true, false]);
});

// Subscriptions

test("test_client_subscribe_before_the_welcome_waits_for_it", () => {
  const { hub, sockets } = rig(WsHub);
  hub.subscribe("news", () => {});
  assert.equal(sockets[0].sent.length, 0);
  sockets[0].welcome();
  assert.deepEqual(sockets[0].sent.map(({ op, channel }) => [op, channel]), [["subscribe", "news"]]);
});

test("test_client_subscribed_fulfils_ready_and_messages_flow", async () => {
  const { hub, sockets } = open(WsHub);
  const got = [];
  const sub = hub.subscribe("news", (data, info) => got.push([data, info.channel]));
  sockets[0].answer("subscribe", { op: "subscribed", channel: "news" });
  await sub.ready;
  sockets[0].say({ op: "message", channel: "news", data: { a: [1] } });
  sockets[0].say({ op: "message", channel: "other", data: 2 });
  assert.deepEqual(got, [[{ a: [1] }, "news"]]);
});

test("test_client_two_handlers_share_one_subscription", () => {
  const { hub, sockets } = open(WsHub);
  const got = [];
  const first = hub.subscribe("news", (data) => got.push(["first", data]));
  const second = hub.subscribe("news", (data) => got.push(["second", data]));
  assert.equal(sockets[0].of("subscribe").length, 1);
  sockets[0].say({ op: "message", channel: "news", data: 1 });
  first.unsubscribe();
  sockets[0].say({ op: "message", channel: "news", data: 2 });
  assert.equal(sockets[0].of("unsubscribe").length, 0);
  second.unsubscribe();
  second.unsubscribe();
  assert.equal(sockets[0].of("unsubscribe").length, 1);
  assert.deepEqual(got, [["first", 1], ["second", 1], ["second", 2]]);
});

test("test_client_handler_that_unsubscribes_another_is_obeyed", () => {
  const { hub, sockets } = open(WsHub);
  const got = [];
  hub.subscribe("news", () => second.unsubscribe());
  const second = hub.subscribe("news", (data) => got.push(data));
  sockets[0].say({ op: "message", channel: "news", data: 1 });
  assert.deepEqual(got, []);
});

test("test_client_reconnect_subscribes_again_in_one_go", () => {
  const { hub, clock, sockets } = open(WsHub);
  for (const name of ["a", "b", "c"]) hub.subscribe(name, () => {});
  hub.subscribe("gone", () => {}).unsubscribe();
  sockets[0].hangUp();
  clock.advance(500);
  sockets[1].welcome();
  assert.deepEqual(sockets[1].sent.map(({ op, channel }) => [op, channel]),
    [["subscribe", "a"], ["subscribe", "b"], ["subscribe", "c"]]);
});

test("test_client_reconnect_without_history_tells_of_a_gap", () => {
  const { hub, clock, sockets, of } = open(WsHub);
  const gaps = [];
  hub.subscribe("news", () => {}, { gap: (gap) => gaps.push(gap) });
  sockets[0].answer("subscribe", { op: "subscribed", channel: "news" });
  assert.deepEqual(gaps, []);
  sockets[0].hangUp();
  clock.advance(500);
  sockets[1].welcome();
  assert.deepEqual(gaps, []);
  sockets[1].answer("subscribe", { op: "subscribed", channel: "news" });
  assert.deepEqual(gaps, [{ channel: "news", missed: null, reason: "reconnect" }]);
  assert.deepEqual(of("gap"), gaps);
});

test("test_client_reconnect_with_history_resumes", () => {
  const { hub, clock, sockets, of } = open(WsHub);
  hub.subscribe("news", () => {});
  sockets[0].answer("subscribe", { op: "subscribed", channel: "news", seq: 40, epoch: "e1" });
  sockets[0].say({ op: "message", channel: "news", data: 1, seq: 41 });
  sockets[0].hangUp();
  clock.advance(500);
  sockets[1].welcome();
  assert.deepEqual(sockets[1].sent[0].since, { epoch: "e1", seq: 41 });
  sockets[1].answer("subscribe", { op: "subscribed", channel: "news", seq: 44, epoch: "e1" });
  assert.deepEqual(of("gap"), []); // the server tells, if there is one
});

test("test_client_gap_of_the_server_reaches_its_channel", () => {
  const { hub, sockets } = open(WsHub);
  const gaps = [];
  hub.subscribe("a", () => {}, { gap: (gap) => gaps.push(gap) });
  hub.subscribe("b", () => {}, { gap: () => gaps.push("b") });
  sockets[0].say({ op: "gap", channel: "a", missed: 3, reason: "broker" });
  sockets[0].say({ op: "gap", channel: "a", missed: "x", reason: 7 });
  assert.deepEqual(gaps, [
    { channel: "a", missed: 3, reason: "broker" }, { channel: "a", missed: null, reason: "" }]);
});

test("test_client_forbidden_channel_is_refused_for_good", async () => {
  const { hub, clock, sockets, of } = open(WsHub);
  const sub = hub.subscribe("secret", () => {});
  sockets[0].answer("subscribe", { op: "error", error: "forbidden", channel: "secret" });
  assert.equal(await code(sub.ready), "forbidden");
  assert.deepEqual(of("error").map((error) => [error.code, error.channel]), [["forbidden", "secret"]]);
  sockets[0].hangUp();
  clock.advance(500);
  sockets[1].welcome();
  assert.equal(sockets[1].of("subscribe").length, 0);
});

test("test_client_channel_over_a_limit_is_asked_for_again", () => {
  const { hub, clock, sockets } = open(WsHub);
  hub.subscribe("busy", () => {});
  sockets[0].answer("subscribe", { op: "error", error: "limit", channel: "busy" });
  clock.advance(500);
  assert.equal(sockets[0].of("subscribe").length, 2);
});

test("test_client_channel_that_is_dropped_is_not_asked_for_again", () => {
  const { hub, clock, sockets } = open(WsHub);
  const sub = hub.subscribe("busy", () => {});
  sockets[0].answer("subscribe", { op: "error", error: "limit", channel: "busy" });
  sub.unsubscribe();
  clock.advance(20000);
  assert.equal(sockets[0].of("subscribe").length, 1);
});

test("test_client_subscribe_without_an_answer_is_asked_for_again", () => {
  const { hub, clock, sockets } = open(WsHub);
  hub.subscribe("quiet", () => {});
  clock.advance(9999);
  assert.equal(sockets[0].of("subscribe").length, 1);
  clock.advance(501);
  assert.equal(sockets[0].of("subscribe").length, 2);
});

test("test_client_unsubscribe_and_subscribe_again_gets_messages", () => {
  const { hub, sockets } = open(WsHub);
  const got = [];
  hub.subscribe("news", () => {}).unsubscribe();
  hub.subscribe("news", (data) => got.push(data));
  // The first subscribe was overtaken; its refusal is not the second one's.
  sockets[0].say({ op: "error", error: "not_subscribed", id: sockets[0].of("subscribe")[0].id });
  sockets[0].answer("subscribe", { op: "subscribed", channel: "news" });
  sockets[0].say({ op: "message", channel: "news", data: 1 });
  assert.deepEqual(got, [1]);
});

test("test_client_bytes_arrive_as_bytes", () => {
  const { hub, sockets, of } = open(WsHub);
  const got = [];
  hub.subscribe("bin", (data) => got.push(data));
  sockets[0].say({ op: "message", channel: "bin", data: "AAH/", encoding: "base64" });
  sockets[0].say({ op: "message", channel: "bin", data: "%%%", encoding: "base64" });
  assert.deepEqual(got, [Uint8Array.of(0, 1, 255)]);
  assert.deepEqual(of("error").map((error) => error.code), ["bad_frame"]);
});

test("test_client_frame_that_is_no_object_is_reported_and_the_link_lives", () => {
  const { hub, sockets, of } = open(WsHub);
  for (const text of ["{", "[]", "null", "7"]) sockets[0].say(text);
  assert.deepEqual(of("error").map((error) => error.code), new Array(4).fill("bad_frame"));
  assert.equal(hub.state, "open");
});

test("test_client_operation_of_a_later_version_is_ignored", () => {
  const { sockets, of } = open(WsHub);
  sockets[0].say({ op: "later", channel: "a" });
  assert.deepEqual(of("error"), []);
});

test("test_client_handler_that_throws_harms_nobody", () => {
  const { hub, sockets, thrown } = open(WsHub);
  const got = [];
  hub.subscribe("news", () => { throw new Error("page"); });
  hub.subscribe("news", (data) => got.push(data));
  sockets[0].say({ op: "message", channel: "news", data: 1 });
  assert.deepEqual(got, [1]);
  assert.deepEqual(thrown.map(({ message }) => message), ["page"]);
});

// Presence

test("test_client_presence_of_an_old_server_is_unknown_op", async () => {
  const { hub, sockets, of } = open(WsHub);
  const members = code(hub.presence("room"));
  sockets[0].answer("presence", { op: "error", error: "unknown_op" });
  assert.equal(await members, "unknown_op");
  assert.deepEqual(of("error"), []); // who asked has been told
});

test("test_client_presence_lists_members_and_tells_of_changes", async () => {
  const { hub, sockets } = open(WsHub);
  const seen = [];
  hub.subscribe("room", () => {}, {
    join: (who) => seen.push(["join", who.user]), leave: (who) => seen.push(["leave", who.user]),
  });
  const members = hub.presence("room");
  sockets[0].answer("presence", { op: "presence", members: [{ user: "ann", conn: "1" }, 7, { user: 3 }] });
  assert.deepEqual(await members, [{ user: "ann", conn: "1" }, { user: "", conn: "" }]);
  sockets[0].say({ op: "join", channel: "room", user: "bob", conn: "2" });
  sockets[0].say({ op: "leave", channel: "room", user: "bob", conn: "2" });
  assert.deepEqual(seen, [["join", "bob"], ["leave", "bob"]]);
});

// Publishing

test("test_client_publish_is_fulfilled_by_published", async () => {
  const { hub, sockets } = open(WsHub);
  const done = hub.publish("news", { a: 1 }, { class: "volatile", key: "k", echo: false });
  const { id, ...command } = sockets[0].sent[0];
  assert.deepEqual(command,
    { op: "publish", channel: "news", data: { a: 1 }, class: "volatile", key: "k", echo: false });
  sockets[0].say({ op: "published", id });
  assert.equal(await done, undefined);
});

test("test_client_publish_that_is_refused_says_why", async () => {
  const { hub, sockets } = open(WsHub);
  const done = code(hub.publish("news", 1));
  sockets[0].answer("publish", { op: "error", error: "forbidden" });
  assert.equal(await done, "forbidden");
});

test("test_client_publish_offline_is_refused", async () => {
  const { hub } = rig(WsHub);
  assert.equal(await code(hub.publish("news", 1)), "offline");
});

test("test_client_publish_offline_is_queued_with_a_bound", async () => {
  const { hub, sockets } = rig(WsHub, { offline: "queue", queueMax: 2 });
  const done = [1, 2, 3].map((data) => hub.publish("news", data));
  hub.subscribe("news", () => {});
  assert.equal(await code(done[2]), "queue_full");
  assert.equal(await code(hub.publish("news", 4, { class: "volatile" })), "offline");
  sockets[0].welcome();
  // Own messages are heard: the subscriptions go first.
  assert.deepEqual(sockets[0].sent.map(({ op, data }) => [op, data]),
    [["subscribe", undefined], ["publish", 1], ["publish", 2]]);
  for (const { id } of sockets[0].of("publish")) sockets[0].say({ op: "published", id });
  await Promise.all(done.slice(0, 2));
});

test("test_client_publish_in_flight_is_lost_with_the_connection", async () => {
  const { hub, clock, sockets } = open(WsHub, { offline: "queue" });
  const done = code(hub.publish("news", 1));
  sockets[0].hangUp();
  assert.equal(await done, "lost");
  clock.advance(500);
  sockets[1].welcome();
  assert.equal(sockets[1].sent.length, 0); // it may have arrived: not sent twice
});

test("test_client_publish_without_an_answer_times_out", async () => {
  const { hub, clock, sockets } = open(WsHub);
  const done = code(hub.publish("news", 1));
  sockets[0].say({ op: "message", channel: "x", data: 0 });
  clock.advance(10000);
  assert.equal(await done, "timeout");
});

test("test_client_publish_above_the_servers_limit_is_not_sent", async () => {
  const { hub, sockets } = open(WsHub);
  assert.equal(await code(hub.publish("news", "ä".repeat(40000))), "too_large");
  assert.equal(sockets[0].sent.length, 0);
  hub.publish("news", "x".repeat(60000));
  assert.equal(sockets[0].sent.length, 1);
});

test("test_client_publish_that_is_no_json_is_refused", async () => {
  const { hub, sockets } = open(WsHub);
  const circle = {};
  circle.circle = circle;
  assert.equal(await code(hub.publish("news", circle)), "bad_data");
  assert.equal(await code(hub.publish("news", 1n)), "bad_data");
  hub.publish("news", undefined);
  assert.equal(sockets[0].sent[0].data, null);
});

test("test_client_publish_on_a_full_link_is_refused", async () => {
  const { hub, sockets } = open(WsHub);
  sockets[0].bufferedAmount = (1 << 20) + 1;
  assert.equal(await code(hub.publish("news", 1)), "buffered");
});

test("test_client_ping_measures_the_round_trip", async () => {
  const { hub, clock, sockets } = open(WsHub);
  const rtt = hub.ping();
  clock.advance(120);
  sockets[0].answer("ping", { op: "pong" });
  assert.equal(await rtt, 120);
});

// Listeners that act

test("test_client_listener_may_close_at_every_state", () => {
  for (const when of ["connecting", "open", "waiting"]) {
    const rigged = rig(WsHub);
    rigged.hub.on("state", ({ state }) => { if (state === when) rigged.hub.close(); });
    rigged.socket.welcome();
    rigged.socket.hangUp();
    rigged.clock.advance(60000);
    assert.equal(rigged.hub.state, "closed", when);
    assert.equal(rigged.clock.pending, 0, when);
  }
});

test("test_client_listener_may_reconnect_when_the_connection_is_lost", () => {
  const rigged = open(WsHub);
  rigged.hub.on("state", ({ state }) => { if (state === "waiting") rigged.hub.reconnect(); });
  rigged.socket.hangUp();
  rigged.socket.welcome();
  assert.equal(rigged.hub.state, "open");
  assert.equal(rigged.sockets.length, 2);
});

test("test_client_listener_that_was_taken_off_is_silent", () => {
  const rigged = rig(WsHub);
  let calls = 0;
  rigged.hub.on("state", () => calls++)();
  rigged.socket.welcome();
  assert.equal(calls, 0);
});
