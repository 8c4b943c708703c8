/*
 * browser_test.mjs: the chat page in headless Chromium, against the example
 * chat and against a host that misbehaves on demand.
 *
 * usage: node --test-reporter=tap browser_test.mjs SOURCE_ROOT MODULES CHAT...
 *        WSH_WEB_SCREENSHOTS=DIR keeps the pictures
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import test, { after, before } from "node:test";

import { Host } from "./host.mjs";
import { hostile } from "./hostile.mjs";
import { load, source } from "./modules.mjs";
import { Browser, PATIENCE_MS } from "./pages.mjs";
import { Server } from "./server.mjs";

const [root, modules, ...chat] = process.argv.slice(2);
const browser = new Browser(modules);
const server = new Server(chat);
let axe = "";

before(async () => {
  await browser.start();
  await server.start();
  axe = await source(modules, "axe-core/axe.min.js");
});

after(async () => {
  await browser.stop();
  await server.stop();
});

/** A case; whatever became of it, its pages are closed. */
function visit(name, call) {
  test(name, async (t) => {
    let failed = true;
    try {
      await call(t);
      failed = false;
    } finally {
      await browser.farewell().catch((error) => { if (!failed) throw error; });
    }
  });
}

async function withHost(call) {
  const host = await new Host(root, modules).start();
  try {
    await call(host);
  } finally {
    await host.stop();
  }
}

/** A client without a page, that sends what no page would. */
async function rawClient() {
  const { WebSocket } = await load(modules, "ws");
  const socket = new WebSocket(server.url.replace("http", "ws"), "ws_hub.v1");
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  const publish = (channel, data) => socket.send(`{"op":"publish","channel":${JSON.stringify(channel)},"data":${data}}`);
  return { publish, close: () => socket.terminate() };
}

// Talking

visit("test_browser_two_pages_see_the_messages_in_one_order", async () => {
  const [ann, bob] = [await browser.person(), await browser.person()];
  await Promise.all([ann.join(server.url, "Ann", "order"), bob.join(server.url, "Bob", "order")]);
  await ann.say("hello");
  await bob.sees("hello");
  const talk = async (person, name) => {
    for (let i = 0; i < 15; i++) await person.say(`${name} ${i}`);
  };
  await Promise.all([talk(ann, "a"), talk(bob, "b")]);
  await Promise.all([ann.count(31), bob.count(31)]);
  const seen = await ann.texts();
  assert.deepEqual(await bob.texts(), seen);
  for (const name of ["a", "b"]) {
    assert.deepEqual(seen.filter((text) => text.startsWith(`${name} `)),
      Array.from({ length: 15 }, (_, i) => `${name} ${i}`));
  }
  assert.equal(await ann.page.locator("#pending li").count(), 0);
  // This server has no presence yet: who has written is who is known.
  await ann.page.locator("#people").getByText("Bob").waitFor();
});

visit("test_browser_rooms_are_apart_and_count_what_is_unread", async () => {
  const [ann, bob] = [await browser.person(), await browser.person()];
  await ann.join(server.url, "Ann", "red");
  await ann.page.fill("#room", "blue");
  await ann.page.press("#room", "Enter");
  await ann.page.waitForSelector('#rooms [data-room="blue"][aria-current]');
  await bob.join(server.url, "Bob", "red");
  await bob.say("for the red room");
  await ann.page.waitForSelector('#rooms [data-room="red"] .badge');
  assert.deepEqual(await ann.texts(), []);
  assert.match(await ann.page.title(), /^\(1\) blue/);
  await ann.page.click('#rooms [data-room="red"]');
  await ann.sees("for the red room");
  assert.equal(await ann.page.locator("#rooms .badge").count(), 0);
  await ann.page.click("#leave");
  await ann.page.waitForSelector('#rooms [data-room="red"]', { state: "detached" });
  await bob.say("after she left");
  await bob.sees("after she left");
  assert.deepEqual(await ann.texts(), []);
});

visit("test_browser_history_of_the_session_survives_a_reload", async () => {
  const ann = await browser.person();
  await ann.join(server.url, "Ann", "diary");
  await ann.say("dear diary");
  await ann.sees("dear diary");
  await ann.page.reload();
  await ann.state("open");
  await ann.sees("dear diary");
  assert.equal(await ann.page.inputValue("#name"), "Ann");
  await ann.say("again");
  await ann.sees("again");
  assert.deepEqual(await ann.texts(), ["dear diary", "again"]);
});

visit("test_browser_hostile_messages_do_nothing", async () => {
  // Without the page's policy: it is the second lock, not the only one.
  const ann = await browser.person({ bypassCSP: true });
  const mallory = await rawClient();
  try {
    await ann.join(server.url, "Ann", "target");
    await ann.say("before");
    await ann.sees("before");
    for (const data of hostile) mallory.publish("room:target", data);
    mallory.publish("room:target", '{"from":"Mallory","text":"the end of it"}');
    await ann.sees("the end of it");
    const seen = await ann.page.evaluate(() => ({
      pwned: globalThis.pwned,
      // All that the page itself makes; nothing else may appear.
      foreign: [...document.querySelectorAll("#scroll *")].map((e) => e.localName)
        .filter((name) => !["ol", "li", "p", "span", "bdi", "time", "div", "button"].includes(name)),
      scripts: document.scripts.length,
      wide: document.documentElement.scrollWidth - innerWidth,
      tallest: Math.max(...[...document.querySelectorAll("#log li")].map((e) => e.clientHeight)),
      nul: document.querySelector("#log").textContent.includes("\u0000"),
      names: [...document.querySelectorAll("#log bdi")].map((e) => [...e.textContent].length),
    }));
    assert.equal(seen.pwned, undefined);
    assert.deepEqual(seen.foreign, []);
    assert.equal(seen.scripts, 1);
    assert.ok(seen.wide <= 0, `${seen.wide} px too wide`);
    assert.ok(seen.tallest < 400, `a message of ${seen.tallest} px`);
    assert.equal(seen.nul, false);
    assert.ok(Math.max(...seen.names) <= 32);
    await ann.sees('<img src=x onerror="globalThis.pwned=1">'); // as it was written
    await ann.page.locator("#log button").first().click();
    await ann.page.waitForSelector('#log button[aria-expanded="true"]');
    await ann.say("after");
    await ann.sees("after");
  } finally {
    mallory.close();
  }
});

visit("test_browser_message_that_the_server_refuses_says_so_and_can_be_sent_again", async () => {
  await withHost(async (host) => {
    const ann = await browser.person();
    host.answers.publish = ({ id }) => host.say({ op: "error", error: "rate", id });
    await ann.join(host.url, "Ann");
    await ann.say("too fast");
    await ann.page.getByText("Not sent: too fast.").waitFor();
    delete host.answers.publish;
    await ann.page.getByRole("button", { name: "Try again" }).click();
    await ann.sees("too fast");
    assert.equal(await ann.page.locator("#pending li").count(), 0);
  });
});

// Losing the server

/** Each try came when the formula says, and its bound was kept. */
function keepsTheFormula(sockets) {
  const lost = sockets.findIndex(({ opened, closed }) => opened !== null && closed !== null);
  const tries = sockets.slice(lost);
  assert.ok(tries.length >= 2, `${tries.length} sockets`);
  for (let i = 0; i + 1 < tries.length; i++) {
    const delay = tries[i + 1].at - tries[i].closed;
    const base = Math.min(30000, 500 * 2 ** i);
    assert.ok(delay >= base - 5, `try ${i} came after ${delay} ms`);
    assert.ok(delay <= base + 1000 + 15000, `try ${i} came after ${delay} ms`); // a loaded machine
  }
}

visit("test_browser_pages_come_back_to_a_restarted_server", async () => {
  const [ann, bob] = [await browser.person(), await browser.person()];
  for (const [person, name] of [[ann, "Ann"], [bob, "Bob"]]) {
    await person.join(server.url, name, "phoenix");
    person.mayLose = true;
  }
  await ann.say("before");
  await bob.sees("before");
  await server.stop();
  await Promise.all([ann.state("waiting"), bob.state("waiting")]);
  await ann.page.waitForFunction(() => globalThis.sockets.length >= 2); // one try in vain
  await server.start();
  await Promise.all([ann.state("open"), bob.state("open")]);
  await Promise.all([ann.sees("You were away"), bob.sees("You were away")]);
  await ann.say("from Ann");
  await bob.say("from Bob");
  await Promise.all([ann, bob].flatMap((person) => [person.sees("from Ann"), person.sees("from Bob")]));
  assert.deepEqual((await ann.texts()).slice().sort(), ["before", "from Ann", "from Bob"]);
  for (const person of [ann, bob]) {
    const sockets = await person.sockets();
    keepsTheFormula(sockets);
    assert.match(sockets.at(-1).url, /\?replaces=[0-9a-f]{16}$/);
  }
});

visit("test_browser_message_written_while_away_is_sent_later", async () => {
  const [ann, bob] = [await browser.person(), await browser.person()];
  for (const [person, name] of [[ann, "Ann"], [bob, "Bob"]]) {
    await person.join(server.url, name, "tunnel");
    person.mayLose = true;
  }
  await server.kill();
  await ann.state("waiting");
  await ann.say("from the tunnel");
  await ann.page.getByText("Waiting for the connection").waitFor();
  await server.start();
  // Who is there first misses nothing; Bob may come back after it was sent.
  await Promise.all([ann.sees("from the tunnel"), bob.state("open")]);
  assert.equal(await ann.page.locator("#pending li").count(), 0);
  await ann.say("in daylight");
  await bob.sees("in daylight");
});

visit("test_browser_reconnect_button_does_not_wait", async () => {
  const ann = await browser.person();
  await ann.join(server.url, "Ann");
  ann.mayLose = true;
  await server.kill();
  await ann.state("waiting");
  await server.start();
  await ann.page.waitForFunction(() => !document.getElementById("retry").hidden ||
    document.getElementById("state").dataset.state === "open");
  await ann.page.evaluate(() => document.getElementById("retry").click());
  await ann.state("open");
});

visit("test_browser_goaway_is_obeyed", async () => {
  await withHost(async (host) => {
    const ann = await browser.person();
    await ann.join(host.url, "Ann");
    const [first] = host.links;
    host.say({ op: "goaway", reason: "drain", reconnect_ms: 1200 });
    const told = performance.now();
    await ann.sees("about to restart");
    first.socket.close(1012, "drain");
    await host.until(() => host.links.length === 2, "the page does not come back");
    const waited = host.links[1].at - told;
    assert.ok(waited >= 1100, `back after ${waited} ms`); // two clocks, one of them a browser's
    assert.equal(host.links[1].url, "/?replaces=0000000000000001");
    await host.until(() => host.links[1].commands.some(({ op }) => op === "subscribe"), "no subscribe");
    await ann.state("open");
    await ann.say("after the drain");
    await ann.sees("after the drain");
  });
});

visit("test_browser_forbidden_page_does_not_try_again", async () => {
  await withHost(async (host) => {
    const ann = await browser.person();
    await ann.join(host.url, "Ann");
    host.links[0].socket.close(4403, "banned");
    await ann.state("closed");
    await ann.page.getByText("Not allowed here").waitFor();
    assert.equal(host.links.length, 1);
    await ann.page.click("#retry"); // but a person may
    await ann.state("open");
  });
});

// What the page shows

visit("test_browser_slow_answers_show_a_badge_until_quick_ones_come", async () => {
  await withHost(async (host) => {
    const ann = await browser.person();
    let asked = null;
    await ann.join(host.url, "Ann");
    host.answers.publish = (command) => { asked = command; };
    await ann.say("is this slow?");
    await ann.page.waitForSelector("#slow:not([hidden])");
    host.say({ op: "message", channel: asked.channel, data: asked.data });
    host.say({ op: "published", id: asked.id });
    delete host.answers.publish;
    await ann.sees("is this slow?");
    // On a loaded machine one answer may still be late.
    for (let i = 0; i < 20 && await ann.page.isVisible("#slow"); i++) {
      await ann.say(`quick ${i}`);
      await ann.sees(`quick ${i}`);
    }
    await ann.page.waitForSelector("#slow", { state: "hidden" });
  });
});

visit("test_browser_presence_is_shown_where_the_server_has_it", async () => {
  await withHost(async (host) => {
    const ann = await browser.person();
    const channel = "room:lobby";
    host.answers.presence = ({ id }) =>
      host.say({ op: "presence", id, channel, members: [{ user: "Bob", conn: "1" }, { user: "Cleo", conn: "2" }] });
    await ann.join(host.url, "Ann");
    await ann.page.getByText("Here now").waitFor();
    await ann.page.locator("#people").getByText("Cleo").waitFor();
    host.say({ op: "join", channel, user: "Dan", conn: "3" });
    await ann.page.locator("#people").getByText("Dan").waitFor();
    host.say({ op: "leave", channel, user: "Bob", conn: "1" });
    await ann.page.locator("#people").getByText("Bob").waitFor({ state: "detached" });
  });
});

visit("test_browser_keyboard_alone_is_enough", async () => {
  const { page } = await browser.person();
  const focused = () => page.evaluate(() => document.activeElement.id);
  // A dialog's end and a room's entry move the focus in a later task.
  const focusComesTo = (id) => page.waitForFunction((at) => document.activeElement.id === at, id);
  await page.goto(`${server.url}#room=keys`);
  await page.waitForSelector("#hello[open]");
  await focusComesTo("hello-name");
  await page.keyboard.type("Ann");
  await page.keyboard.press("Enter");
  await page.waitForSelector('#state[data-state="open"]');
  await focusComesTo("text");
  await page.keyboard.type("one");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("two");
  await page.keyboard.press("Enter");
  await page.locator("#log .text").filter({ hasText: "one\ntwo" }).waitFor();
  for (let i = 0; i < 20 && await focused() !== "room"; i++) await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(), "room");
  await page.keyboard.type("second");
  await page.keyboard.press("Enter");
  await page.waitForSelector('#rooms [data-room="second"][aria-current]');
  await focusComesTo("text");
  await page.keyboard.press("Alt+ArrowUp");
  await page.waitForSelector('#rooms [data-room="keys"][aria-current]');
  await page.keyboard.press("Alt+ArrowDown");
  await page.waitForSelector('#rooms [data-room="second"][aria-current]');
  for (let i = 0; i < 20 && await focused() !== "scroll"; i++) await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(), "scroll");
});

visit("test_browser_escape_from_the_welcome_gives_a_guest_name", async () => {
  const ann = await browser.person();
  await ann.page.goto(server.url);
  await ann.page.waitForSelector("#hello[open]");
  await ann.page.keyboard.press("Escape");
  await ann.state("open");
  assert.match(await ann.page.inputValue("#name"), /^guest \d+$/);
});

for (const width of [320, 390]) {
  visit(`test_browser_phone_of_${width}_px_has_everything`, async () => {
    const ann = await browser.person({ viewport: { width, height: 640 }, hasTouch: true, isMobile: true });
    const wide = () => ann.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    await ann.join(server.url, "Ann", "pocket");
    await ann.say(`a line without a space: ${"x".repeat(300)}`);
    await ann.sees("a line without");
    assert.ok(await wide() <= 0);
    for (const id of ["#text", "#send", "#menu", "#leave"]) {
      const box = await ann.page.locator(id).boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= width, `${id} is off the screen`);
      assert.ok(box.y + box.height <= 640, `${id} is below the screen`);
      assert.ok(Math.min(box.width, box.height) >= 24, `${id} is too small for a finger`);
    }
    assert.equal(await ann.page.isVisible("#room"), false);
    await ann.page.tap("#menu");
    await ann.page.fill("#room", "other");
    await ann.page.press("#room", "Enter");
    await ann.page.waitForFunction(() => document.getElementById("title").textContent === "# other");
    await ann.page.waitForSelector("#room", { state: "hidden" });
    await ann.page.tap("#menu");
    await ann.page.keyboard.press("Escape");
    await ann.page.waitForSelector("#room", { state: "hidden" });
    assert.equal(await ann.page.evaluate(() => document.activeElement.id), "menu");
  });
}

for (const [name, how] of Object.entries({
  light: { colorScheme: "light" }, dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", viewport: { width: 390, height: 760 } },
})) {
  visit(`test_browser_axe_finds_nothing_serious_${name}`, async () => {
    await withHost(async (host) => {
      // axe brings code of its own, which the page's policy would not let in.
      const ann = await browser.person({ ...how, bypassCSP: true });
      const check = async (where) => {
        await ann.page.evaluate(axe);
        const violations = await ann.page.evaluate(async () => (await globalThis.axe.run()).violations);
        const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
        assert.deepEqual(serious.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), [], where);
      };
      await ann.page.goto(host.url);
      await ann.page.waitForSelector("#hello[open]");
      await check("welcome");
      await ann.page.fill("#hello-name", "Ann");
      await ann.page.click("#hello button");
      await ann.state("open");
      await ann.say("mine");
      host.say({ op: "message", channel: "room:lobby", data: { from: "Bob", text: "x".repeat(3000) } });
      await ann.count(2);
      host.answers.publish = ({ id }) => host.say({ op: "error", error: "rate", id });
      await ann.say("refused");
      await ann.page.getByText("Not sent").waitFor();
      host.say({ op: "gap", channel: "room:lobby", missed: 3, reason: "backpressure" });
      await ann.page.waitForSelector("#slow:not([hidden])");
      await check("room");
      if (name === "phone") {
        await ann.page.click("#menu");
        await check("drawer");
      }
      host.links[0].socket.close(4403, "banned");
      await ann.state("closed");
      await check("closed");
    });
  });
}

// Two servers

/** The option is there in every build; using it is not. */
function lacksRedis() {
  const run = spawnSync(chat[0], ["--port", "0", "--redis", "redis://%/"], { encoding: "utf8", timeout: PATIENCE_MS });
  return /unexpected|unrecognized|built without/.exec(run.stderr)?.[0];
}

async function redisServer(scratch) {
  const socket = path.join(scratch, "redis.sock");
  const child = spawn("redis-server", ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no",
    "--dir", scratch], { stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("close", resolve));
  for (const end = Date.now() + PATIENCE_MS; !fs.existsSync(socket);) {
    if (Date.now() > end) throw new Error("redis-server does not start");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { url: `redis+unix://${socket}`, stop: () => { child.kill(); return ended; } };
}

visit("test_browser_two_servers_on_one_redis_share_a_room", async (t) => {
  if (lacksRedis()) {
    t.skip("this chat has no Redis broker");
    return;
  }
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "wsh-redis-"));
  const redis = await redisServer(scratch);
  const servers = [0, 1].map(() => new Server([...chat, "--redis", redis.url]));
  try {
    await Promise.all(servers.map((one) => one.start()));
    const [ann, bob] = [await browser.person(), await browser.person()];
    await ann.join(servers[0].url, "Ann", "far");
    await bob.join(servers[1].url, "Bob", "far");
    await ann.say("from one server");
    await bob.sees("from one server");
    await bob.say("from the other");
    await ann.sees("from the other");
    assert.deepEqual(await bob.texts(), await ann.texts());
    await Promise.all([ann, bob].map((person) => person.page.close()));
    await Promise.all(servers.map((one) => one.stop()));
  } finally {
    await Promise.all(servers.map((one) => one.kill()));
    await redis.stop();
    fs.rmSync(scratch, { recursive: true });
  }
});

// Pictures

const TALK = [
  ["Bob", "Good morning! Is the new server up?"],
  ["Ann", "Since ten minutes ago. 15 000 clients went over to it."],
  ["Ann", "The slowest was back after 1.4 s."],
  ["Cleo", "I did not notice a thing."],
  ["Bob", "That is how it should be."],
];

async function picture(how) {
  const ann = await browser.person(how);
  const others = await rawClient();
  const [team, support] = ["team", "support"];
  try {
    await ann.join(server.url, "Ann", team);
    await ann.page.evaluate((room) => { location.hash = `room=${room}`; }, support);
    await ann.page.waitForSelector(`[data-room="${support}"][aria-current]`, { state: "attached" });
    await ann.page.keyboard.press("Alt+ArrowUp");
    for (const [from, text] of TALK) {
      if (from === "Ann") await ann.say(text);
      else others.publish(`room:${team}`, JSON.stringify({ from, text }));
      await ann.sees(text);
    }
    others.publish(`room:${support}`, JSON.stringify({ from: "Dan", text: "Hello?" }));
    await ann.page.waitForSelector("#rooms .badge", { state: "attached" });
    return await ann.page.screenshot({ animations: "disabled", caret: "hide" });
  } finally {
    others.close();
  }
}

for (const [name, how] of Object.entries({
  light: { colorScheme: "light", viewport: { width: 900, height: 560 } },
  dark: { colorScheme: "dark", viewport: { width: 900, height: 560 } },
  phone: { colorScheme: "light", viewport: { width: 360, height: 640 } },
})) {
  visit(`test_browser_picture_${name}_is_small`, async () => {
    const shot = await picture(how);
    assert.ok(shot.length < 100000, `${shot.length} bytes`);
    const directory = process.env.WSH_WEB_SCREENSHOTS;
    if (directory) fs.writeFileSync(path.join(directory, `chat-${name}.png`), shot);
  });
}
