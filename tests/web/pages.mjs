/*
 * pages.mjs: people with a browser: system Chromium through playwright-core.
 * What the console calls an error fails the test, but for what the browser
 * says itself about a server that the test took away.
 */
import assert from "node:assert/strict";
import fs from "node:fs";

import { load } from "./modules.mjs";

export const PATIENCE_MS = 90000;
const AWAY = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|Error in connection establishment|Connection closed before/;

/** Tells a test when the page makes sockets and loses them. Runs in the page. */
function watchSockets() {
  globalThis.sockets = [];
  globalThis.WebSocket = class extends WebSocket {
    constructor(...args) {
      super(...args);
      const record = { url: this.url, at: performance.now(), opened: null, closed: null };
      globalThis.sockets.push(record);
      this.addEventListener("open", () => { record.opened = performance.now(); });
      this.addEventListener("close", () => { record.closed = performance.now(); });
    }
  };
}

export class Browser {
  #browser = null;
  #contexts = [];

  constructor(modules) {
    this.modules = modules;
  }

  async start() {
    const { chromium } = await load(this.modules, "playwright-core");
    const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"]
      .find((path) => path && fs.existsSync(path));
    assert.ok(executablePath, "no chromium: install the package, or set CHROMIUM");
    this.#browser = await chromium.launch({
      executablePath,
      // Root has no sandbox; a container's /dev/shm is small.
      args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
      timeout: PATIENCE_MS,
    });
    return this;
  }

  async stop() {
    await this.#browser?.close();
  }

  /** A person with a storage of their own. @param how options of newContext */
  async person(how = {}) {
    const context = await this.#browser.newContext({
      viewport: { width: 1000, height: 700 }, reducedMotion: "reduce", locale: "en-GB",
      timezoneId: "UTC", ...how,
    });
    context.setDefaultTimeout(PATIENCE_MS);
    await context.addInitScript(watchSockets);
    const person = new Person(await context.newPage());
    this.#contexts.push({ context, person });
    return person;
  }

  /** End of a test: nobody's console holds an error. */
  async farewell() {
    const gone = this.#contexts.splice(0);
    await Promise.all(gone.map(({ context }) => context.close()));
    for (const { person } of gone) assert.deepEqual(person.complaints, []);
  }
}

export class Person {
  complaints = [];
  /** The test takes the server away: the browser may say so. */
  mayLose = false;

  constructor(page) {
    this.page = page;
    page.on("pageerror", (error) => this.complaints.push(error.stack));
    page.on("console", (message) => {
      const text = message.text();
      if (message.type() !== "error" || (this.mayLose && AWAY.test(text))) return;
      this.complaints.push(text);
    });
    page.on("dialog", (dialog) => {
      this.complaints.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
  }

  /** First visit: with a name, into a room. */
  async join(url, name, room = "lobby") {
    await this.page.goto(`${url}#room=${room}`);
    await this.page.fill("#hello-name", name);
    await this.page.click("#hello button");
    await this.state("open");
  }

  state(state) {
    return this.page.waitForSelector(`#state[data-state="${state}"]`);
  }

  async say(text) {
    await this.page.fill("#text", text);
    await this.page.press("#text", "Enter");
  }

  /** Wait for a text in the list of what has arrived. */
  sees(text) {
    return this.page.waitForFunction((wanted) =>
      [...document.querySelectorAll("#log .text, #log .event")].some((line) => line.textContent.includes(wanted)), text);
  }

  texts() {
    return this.page.$$eval("#log .text", (lines) => lines.map((line) => line.textContent));
  }

  /** Wait until so many messages are there. */
  count(n) {
    return this.page.waitForFunction((wanted) => document.querySelectorAll("#log .text").length >= wanted, n);
  }

  sockets() {
    return this.page.evaluate(() => globalThis.sockets);
  }
}
