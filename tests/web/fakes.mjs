/*
 * fakes.mjs: the world of a client under test: a clock that stands still until
 * it is advanced, sockets whose other end is the test, given random numbers.
 */

/** Timers in the order of their time, then of their making. */
export class FakeClock {
  #now = 1000;
  #next = 1;
  /** @type {Map<number, {at: number, call: () => void}>} */ #timers = new Map();

  now = () => this.#now;

  setTimeout = (call, ms) => {
    if (!(ms >= 0 && ms <= 0x7fffffff)) throw new RangeError(`a timer of ${ms} ms`);
    this.#timers.set(this.#next, { at: this.#now + ms, call });
    return this.#next++;
  };

  clearTimeout = (timer) => void this.#timers.delete(timer);

  get pending() {
    return this.#timers.size;
  }

  /** Milliseconds until the first timer, Infinity if there is none. */
  get next() {
    return Math.min(...[...this.#timers.values()].map(({ at }) => at)) - this.#now;
  }

  /** Run what is due in the next `ms` milliseconds, each at its time. */
  advance(ms) {
    const end = this.#now + ms;
    for (let turn = 0; ; turn++) {
      if (turn > 100000) throw new Error("timers without end");
      let first = null;
      for (const [id, timer] of this.#timers) {
        if (timer.at <= end && (!first || timer.at < first.timer.at)) first = { id, timer };
      }
      if (!first) break;
      this.#timers.delete(first.id);
      this.#now = Math.max(this.#now, first.timer.at);
      first.timer.call();
    }
    this.#now = end;
  }
}

/** A socket as the client sees it, and the server's end for the test. */
export class FakeSocket {
  sent = [];
  closed = null;
  bufferedAmount = 0;
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;

  constructor(url, protocol) {
    this.url = url;
    this.protocol = protocol;
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code, reason) {
    this.closed = { code, reason };
  }

  // The server's end

  say(event) {
    this.onmessage?.({ data: typeof event === "string" ? event : JSON.stringify(event) });
  }

  welcome(conn = "0000000000000001", ping_ms = 30000) {
    this.say({ op: "welcome", conn, server: "fake", ping_ms });
  }

  hangUp(code = 1006, reason = "") {
    this.onclose?.({ code, reason });
  }

  /** Commands of one kind, oldest first. */
  of(op) {
    return this.sent.filter((command) => command.op === op);
  }

  /** Answer the latest command of a kind. */
  answer(op, event) {
    this.say({ id: this.of(op).at(-1).id, ...event });
  }
}

/** Listens like a document or a window; `fire` is the browser's part. */
export class FakeTarget {
  #listeners = new Map();
  visibilityState = "visible";

  addEventListener(type, call) {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), call]);
  }

  removeEventListener(type, call) {
    this.#listeners.set(type, (this.#listeners.get(type) ?? []).filter((other) => other !== call));
  }

  get count() {
    return [...this.#listeners.values()].flat().length;
  }

  fire(type) {
    for (const call of this.#listeners.get(type) ?? []) call({ type });
  }
}

/** Let promises settle. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

/**
 * A client in a fake world.
 *
 * @returns hub, clock, sockets, events (what `on` told), thrown (by handlers)
 */
export function rig(WsHub, options = {}, env = {}) {
  const clock = new FakeClock();
  const rigged = {
    clock, sockets: [], events: [], thrown: [], random: 0,
    document: new FakeTarget(), window: new FakeTarget(), fetches: [],
  };
  class Socket extends FakeSocket {
    constructor(...args) {
      super(...args);
      rigged.sockets.push(this);
    }
  }
  rigged.hub = new WsHub("ws://host.example/hub", {
    ...options,
    env: {
      WebSocket: Socket, now: clock.now, random: () => rigged.random,
      setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout,
      document: rigged.document, window: rigged.window, fetch: null,
      reportError: (error) => rigged.thrown.push(error), ...env,
    },
  });
  for (const type of ["state", "gap", "error", "goaway", "quality"]) {
    rigged.hub.on(type, (event) => rigged.events.push({ type, event }));
  }
  Object.defineProperty(rigged, "socket", { get: () => rigged.sockets.at(-1) });
  rigged.of = (type) => rigged.events.filter((entry) => entry.type === type).map(({ event }) => event);
  return rigged;
}

/** As rig(), past the welcome. */
export function open(WsHub, options, env) {
  const rigged = rig(WsHub, options, env);
  rigged.socket.welcome();
  return rigged;
}
