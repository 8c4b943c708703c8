// SPDX-License-Identifier: MIT
/*
 * ws_hub.js: the client of a ws_hub server, for browsers and for Node (with
 * the package "ws"). It speaks the subprotocol ws_hub.v1 and keeps a page
 * connected: it reconnects with back-off, subscribes again, says what may have
 * been missed, and notices a link that is dead without saying so.
 *
 * Nothing that a server sends makes it throw or stop. Time, randomness, sockets
 * and requests come in through `options.env`, so that tests need no waiting.
 */

const SUBPROTOCOL = "ws_hub.v1";
const DELAY_MAX_MS = 30000;
const JITTER_MS = 1000;
/** What a server may ask a client to wait, by goaway or Retry-After. */
const TOLD_MAX_MS = 10 * 60 * 1000;
const INTERVAL_MIN_MS = 1000;
const INTERVAL_MAX_MS = 60000;
const PROBE_TIMEOUT_MS = 5000;
const SLOW_STAYS_MS = 5000; // after messages were lost: long enough to be seen
const TIMER_MAX_MS = 0x7fffffff;
/** Policy, not authenticated, forbidden: trying again changes nothing. */
const FINAL_CODES = [1008, 4401, 4403];
/** A subscribe that is refused so is not tried again. */
const FINAL_ERRORS = ["forbidden", "bad_channel", "unknown_op"];

/**
 * @typedef {"connecting" | "open" | "waiting" | "closed"} State
 *
 * `connecting`: until the server's welcome. `waiting`: for the next try.
 * `closed`: by `close()`, or by the server for good.
 */

/**
 * @typedef {object} StateEvent
 * @property {State} state
 * @property {State} previous
 * @property {number} attempt failed or unstable connections in a row
 * @property {number} retryInMs delay until the next try; 0 unless waiting
 * @property {number} code close code, 0 if there was none
 * @property {string} reason of the close
 */

/**
 * @typedef {object} Gap messages that this client did not get: fetch the state
 * @property {string} channel
 * @property {number | null} missed null: unknown
 * @property {string} reason `backpressure`, `broker`, `history`; `reconnect`:
 *   the client was away and the channel has no history to resume from
 */

/**
 * @typedef {object} GoAway
 * @property {string} reason `drain`, `rebalance`, `shed`
 * @property {number} reconnectMs when the client will reconnect
 * @property {string} [transport] where the server wants it, `long-poll`
 * @property {number} [intervalMs]
 */

/**
 * @typedef {object} Member
 * @property {string} user
 * @property {string} conn
 */

/**
 * @typedef {object} Quality
 * @property {boolean} slow answers take longer than `slowMs`, or the server
 *   has dropped messages because the link does not keep up (in the last 5 s,
 *   and until a quick answer)
 * @property {number | null} rttMs the latest answer's round trip
 */

/**
 * @typedef {object} EventMap
 * @property {StateEvent} state
 * @property {Gap} gap
 * @property {WsHubError} error
 * @property {GoAway} goaway
 * @property {Quality} quality
 */

/**
 * @typedef {object} MessageInfo
 * @property {string} channel
 * @property {number} [seq]
 */

/**
 * @callback MessageHandler
 * @param {any} data what was published; bytes arrive as Uint8Array
 * @param {MessageInfo} info
 * @returns {void}
 */

/**
 * @typedef {object} SubscribeOptions
 * @property {(gap: Gap) => void} [gap] the place to fetch the channel's state
 * @property {(member: Member) => void} [join]
 * @property {(member: Member) => void} [leave]
 */

/**
 * @typedef {object} PublishOptions
 * @property {"critical" | "normal" | "volatile"} [class] default `normal`
 * @property {string} [key] for conflating channels
 * @property {boolean} [echo] default true: the sender gets it, too
 */

/**
 * @typedef {object} Env everything from outside; tests replace it
 * @property {any} [WebSocket] a constructor; in Node that of the package "ws"
 * @property {() => number} [now] milliseconds, never going back
 * @property {() => number} [random] 0 <= x < 1
 * @property {(call: () => void, ms: number) => any} [setTimeout]
 * @property {(timer: any) => void} [clearTimeout]
 * @property {any} [fetch] null: no HTTP probe
 * @property {any} [document] tells of `visibilitychange`
 * @property {any} [window] tells of `online` and `offline`
 * @property {(error: unknown) => void} [reportError] gets what handlers throw
 */

/**
 * @typedef {object} Options
 * @property {number} [baseMs] of the back-off; default 500
 * @property {number} [stableMs] a connection that lives so long resets the
 *   attempt counter; default 10000
 * @property {number} [welcomeMs] from connecting to the welcome; default 10000
 * @property {number} [answerMs] until a command without an answer has failed;
 *   default 10000
 * @property {number} [pongMs] until a silent link is dead, after a ping;
 *   default 10000
 * @property {number} [pingMs] silence before a ping; default: what the server
 *   says in its welcome
 * @property {number} [slowMs] default 2000
 * @property {"refuse" | "queue"} [offline] what publish does without a
 *   connection; default `refuse`
 * @property {number} [queueMax] messages in that queue; default 100
 * @property {number} [maxBytes] of one command, the server's
 *   `max_json_bytes`; default 65536
 * @property {number} [maxBufferedBytes] unsent, above it publish is refused;
 *   default 1 MiB
 * @property {string | false} [probe] URL that is asked for Retry-After when a
 *   handshake failed; default: the server's own, over HTTP
 * @property {boolean} [replaces] name the lost connection to the server, as
 *   the query parameter `replaces`; default true
 * @property {Env} [env]
 */

/**
 * Delay before a connection attempt: min(30 s, baseMs * 2^attempt + random(0
 * to 1000) ms). The jitter keeps the clients of a restarted server apart.
 *
 * @param {number} attempt 0 for the first
 * @param {number} baseMs
 * @param {number} random 0 <= x < 1
 * @returns {number} milliseconds, 0 to 30000
 */
export function backoffMs(attempt, baseMs, random) {
  const jitter = Math.floor(random * (JITTER_MS + 1));
  return Math.min(DELAY_MAX_MS, baseMs * 2 ** attempt + jitter);
}

/** Why a request failed, or what the server complained about. */
export class WsHubError extends Error {
  /**
   * @param {string} code the server's (`forbidden`, `limit`, `rate`...), or the
   *   client's own: `offline`, `queue_full`, `lost` (sent, no answer: it may
   *   have arrived), `timeout`, `too_large`, `bad_data` (no JSON), `buffered`, `closed`,
   *   `bad_frame`, `connect`
   * @param {string} [detail]
   * @param {string} [channel]
   */
  constructor(code, detail = "", channel = undefined) {
    super(detail ? `${code}: ${detail}` : code);
    this.name = "WsHubError";
    this.code = code;
    this.channel = channel;
  }
}

/** @param {unknown} value */
const isObject = (value) =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {unknown} value @returns {string} */
const textOf = (value) => (typeof value === "string" ? value : "");

/** @param {unknown} value @returns {number | null} */
const countOf = (value) =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;

/** @param {string} text @returns {Uint8Array | null} */
function bytesOfBase64(text) {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}

/** Seconds or a date. @param {string | null} value @param {number} now */
function retryAfterMs(value, now) {
  if (!value) return null;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}

/** One handler on one channel; what `WsHub.subscribe` returns. */
export class Subscription {
  #end;

  /**
   * @param {string} channel
   * @param {Promise<void>} ready
   * @param {() => void} end
   */
  constructor(channel, ready, end) {
    /** @type {string} */
    this.channel = channel;
    /**
     * Fulfilled when messages flow for the first time; rejected if refused.
     * @type {Promise<void>}
     */
    this.ready = ready;
    this.#end = end;
  }

  /** The handler is not called again. */
  unsubscribe() {
    this.#end();
  }
}

/**
 * @typedef {object} Ear what stands behind a Subscription
 * @property {MessageHandler} handler
 * @property {SubscribeOptions} options
 * @property {(value?: any) => void} resolve
 * @property {(error: WsHubError) => void} reject
 */

/**
 * @typedef {object} Channel what the server should know: one per channel
 * @property {Set<Ear>} ears
 * @property {"none" | "asked" | "live"} state on this connection
 * @property {boolean} wasLive on any connection: messages may be missing
 * @property {number} attempt of subscribes that were refused for now
 * @property {any} timer of the next one
 * @property {string | null} epoch
 * @property {number | null} seq
 */

/**
 * @typedef {object} Request a command that waits for its answer
 * @property {string} op
 * @property {string} channel
 * @property {number} sentAt
 * @property {(value: any) => void} resolve
 * @property {(error: WsHubError) => void} reject
 */

export class WsHub {
  #url;
  /** @type {Required<Omit<Options, "pingMs" | "probe" | "env">> & Options} */ #options;
  /** @type {any} */ #env;
  /** @type {State} */ #state = "closed";
  /** @type {any} */ #socket = null;
  /** @type {any} */ #timer = null; // of the next try, or of the welcome
  /** @type {any} */ #watch = null; // of the link and of answers
  #watchAt = Infinity;
  #attempt = 0;
  /** @type {string | null} */ #conn = null;
  #openedAt = 0;
  #heardAt = 0;
  #pingedAt = -1; // -1: no ping is out
  #pingMs = DELAY_MAX_MS;
  #notBefore = 0; // the server's word: no try earlier than this
  #delay = 0; // as it was when waiting began
  #retryAt = 0;
  /** @type {number | null} */ #goawayAt = null;
  /** @type {any} */ #goawayTimer = null;
  #code = 0;
  #reason = "";
  #nextId = 1;
  /** @type {Map<number, Request>} */ #requests = new Map();
  /** @type {Map<string, Channel>} */ #channels = new Map();
  /** @type {{command: object, request: Request}[]} */ #queue = [];
  /** @type {Map<string, Set<Function>>} */ #listeners = new Map();
  #slowUntil = 0;
  /** @type {Quality} */ #quality = { slow: false, rttMs: null };
  /** @type {[any, string, () => void][]} */ #ears = [];

  /**
   * Connects at once, and stays connected until `close()`.
   *
   * @param {string | URL} url ws: or wss:; a path is taken on the page's host
   * @param {Options} [options]
   */
  constructor(url, options = {}) {
    const global = /** @type {any} */ (globalThis);
    this.#url = new URL(url, global.location?.href);
    this.#url.protocol = this.#url.protocol.replace(/^http/, "ws");
    this.#options = {
      baseMs: 500, stableMs: 10000, welcomeMs: 10000, answerMs: 10000,
      pongMs: 10000, slowMs: 2000, offline: "refuse", queueMax: 100,
      maxBytes: 65536, maxBufferedBytes: 1 << 20, replaces: true, ...options,
    };
    this.#env = {
      WebSocket: global.WebSocket,
      now: () => performance.now(),
      random: Math.random,
      setTimeout: (/** @type {any} */ call, /** @type {number} */ ms) => setTimeout(call, ms),
      clearTimeout: (/** @type {any} */ timer) => clearTimeout(timer),
      fetch: global.fetch?.bind(global),
      document: global.document,
      window: global.window,
      reportError: global.reportError?.bind(global)
        ?? ((/** @type {unknown} */ error) => queueMicrotask(() => { throw error; })),
      ...options.env,
    };
    if (!this.#env.WebSocket) throw new TypeError('no WebSocket: pass env.WebSocket, as of "ws"');
    this.#listen();
    this.#connect();
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** The server's name for this connection; null before the first one. */
  get conn() {
    return this.#conn;
  }

  /** @returns {Quality} */
  get quality() {
    return { ...this.#quality };
  }

  /**
   * @template {keyof EventMap} K
   * @param {K} type
   * @param {(event: EventMap[K]) => void} listener
   * @returns {() => void} stops it
   */
  on(type, listener) {
    const set = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, set.add(listener));
    return () => void set.delete(listener);
  }

  /**
   * Get the messages of a channel, now and after every reconnect. Several
   * handlers share one subscription of the server's.
   *
   * @param {string} channel 1 to 255 bytes of UTF-8
   * @param {MessageHandler} handler
   * @param {SubscribeOptions} [options]
   * @returns {Subscription}
   */
  subscribe(channel, handler, options = {}) {
    let entry = this.#channels.get(channel);
    if (!entry) {
      entry = {
        ears: new Set(), state: "none", wasLive: false, attempt: 0,
        timer: null, epoch: null, seq: null,
      };
      this.#channels.set(channel, entry);
    }
    /** @type {Ear} */
    const ear = { handler, options, resolve() {}, reject() {} };
    const ready = new Promise((resolve, reject) => Object.assign(ear, { resolve, reject }));
    ready.catch(() => {}); // who does not ask is told by `error`
    entry.ears.add(ear);
    if (entry.state === "live") ear.resolve();
    if (entry.state === "none" && this.#state === "open") this.#ask(channel, entry);
    return new Subscription(channel, ready, () => this.#drop(channel, ear));
  }

  /**
   * @param {string} channel
   * @param {any} data anything that JSON can say
   * @param {PublishOptions} [options]
   * @returns {Promise<void>} fulfilled when the server has taken it; rejected
   *   with a WsHubError. A rejection that nobody handles is dropped.
   */
  publish(channel, data, options = {}) {
    /** @type {Record<string, any>} */
    const command = { op: "publish", channel, data: data === undefined ? null : data };
    for (const name of /** @type {const} */ (["class", "key", "echo"])) {
      if (options[name] !== undefined) command[name] = options[name];
    }
    const result = this.#state === "open" ? this.#request(command) : this.#enqueue(command);
    const done = result.then(() => {});
    done.catch(() => {}); // not every page asks
    return done;
  }

  /**
   * Who is on a channel. Servers without presence answer `unknown_op`.
   *
   * @param {string} channel
   * @returns {Promise<Member[]>}
   */
  presence(channel) {
    return this.#request({ op: "presence", channel }).then(({ members }) =>
      (Array.isArray(members) ? members : []).filter(isObject).map(memberOf));
  }

  /** @returns {Promise<number>} round trip in milliseconds */
  ping() {
    const sentAt = this.#env.now();
    return this.#request({ op: "ping" }).then(() => this.#env.now() - sentAt);
  }

  /** Try now instead of later; also after the server closed for good. */
  reconnect() {
    if (this.#state === "waiting" || this.#state === "closed") {
      if (this.#ears.length === 0) this.#listen();
      this.#connect();
    }
  }

  /** Close for good. @param {number} [code] @param {string} [reason] */
  close(code = 1000, reason = "") {
    if (this.#state === "closed") return;
    const socket = this.#socket;
    this.#detach();
    try {
      socket?.close(code, reason);
    } catch (error) {
      this.#env.reportError(error);
    }
    this.#end(code, reason);
  }

  // Connecting

  #connect() {
    this.#env.clearTimeout(this.#timer);
    const url = new URL(this.#url);
    if (this.#options.replaces && this.#conn) url.searchParams.set("replaces", this.#conn);
    this.#setState("connecting");
    if (this.#state !== "connecting") return; // closed by a listener
    let socket;
    try {
      socket = new this.#env.WebSocket(url.href, SUBPROTOCOL);
    } catch (error) {
      this.#emit("error", new WsHubError("connect", String(error)));
      this.#lose(0, "");
      return;
    }
    this.#socket = socket;
    const mine = (/** @type {(event: any) => void} */ call) =>
      (/** @type {any} */ event) => { if (this.#socket === socket) call(event); };
    socket.onmessage = mine((event) => this.#receive(event.data));
    socket.onclose = mine((event) => this.#lose(countOf(event?.code) ?? 0, textOf(event?.reason)));
    socket.onerror = () => {}; // a close follows; "ws" wants a listener
    this.#timer = this.#after(this.#options.welcomeMs, () => this.#giveUp("no welcome"));
  }

  /** The socket is of no use: do not wait for its close. @param {string} why */
  #giveUp(why) {
    const socket = this.#socket;
    this.#detach();
    try {
      if (typeof socket?.terminate === "function") socket.terminate();
      else socket?.close();
    } catch (error) {
      this.#env.reportError(error);
    }
    this.#lose(0, why);
  }

  #detach() {
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
  }

  /** The connection is gone, or was never there.
   * @param {number} code @param {string} reason */
  #lose(code, reason) {
    const wasOpen = this.#state === "open";
    const now = this.#env.now();
    this.#detach();
    this.#rest();
    if (wasOpen && now - this.#openedAt >= this.#options.stableMs) this.#attempt = 0;
    if (FINAL_CODES.includes(code)) {
      this.#end(code, reason);
      return;
    }
    this.#code = code;
    this.#reason = reason;
    let delay;
    if (this.#goawayAt !== null) {
      delay = Math.max(0, this.#goawayAt - now);
      this.#notBefore = now + delay;
      this.#goawayAt = null;
      this.#attempt = 0;
    } else {
      delay = backoffMs(this.#attempt, this.#options.baseMs, this.#env.random());
      this.#attempt++;
    }
    this.#failAll("lost", "the connection broke before the answer");
    this.#wait(delay);
    if (!wasOpen && this.#state === "waiting") this.#probe();
  }

  /** @param {number} delay */
  #wait(delay) {
    this.#delay = delay;
    this.#retryAt = this.#env.now() + delay;
    this.#env.clearTimeout(this.#timer);
    this.#timer = this.#after(delay, () => this.#connect());
    this.#setState("waiting");
  }

  /** Nothing but listeners is left. @param {number} code @param {string} reason */
  #end(code, reason) {
    this.#rest();
    this.#env.clearTimeout(this.#timer);
    this.#goawayAt = null;
    this.#attempt = 0;
    this.#notBefore = 0;
    this.#code = code;
    this.#reason = reason;
    for (const [target, type, call] of this.#ears) target.removeEventListener(type, call);
    this.#ears = [];
    this.#failAll("closed", reason);
    for (const { request } of this.#queue.splice(0)) {
      request.reject(new WsHubError("closed", reason, request.channel));
    }
    this.#setState("closed");
  }

  /** What belongs to one connection stops. */
  #rest() {
    this.#env.clearTimeout(this.#watch);
    this.#env.clearTimeout(this.#goawayTimer);
    this.#watchAt = Infinity;
    this.#pingedAt = -1;
    for (const entry of this.#channels.values()) {
      this.#env.clearTimeout(entry.timer);
      entry.state = "none";
    }
  }

  /** Browsers hide the answer to a failed handshake; HTTP tells. */
  async #probe() {
    const { probe } = this.#options;
    if (probe === false || !this.#env.fetch) return;
    const url = new URL(probe ?? this.#url.href, this.#url);
    url.protocol = url.protocol.replace(/^ws/, "http");
    const abort = new AbortController();
    const timer = this.#after(PROBE_TIMEOUT_MS, () => abort.abort());
    try {
      const answer = await this.#env.fetch(url.href, {
        method: "HEAD", cache: "no-store", signal: abort.signal,
      });
      const told = retryAfterMs(answer.headers.get("Retry-After"), Date.now());
      if ((answer.status === 503 || answer.status === 429) && told !== null) this.#postpone(told);
    } catch {
      // No answer is no advice.
    } finally {
      this.#env.clearTimeout(timer);
    }
  }

  /** @param {number} told milliseconds */
  #postpone(told) {
    const jitter = Math.floor(this.#env.random() * (JITTER_MS + 1));
    const at = this.#env.now() + Math.min(told, TOLD_MAX_MS) + jitter;
    this.#notBefore = Math.max(this.#notBefore, at);
    if (this.#state === "waiting" && at > this.#retryAt) this.#wait(at - this.#env.now());
  }

  // The page and the network

  #listen() {
    const { document, window } = this.#env;
    const hear = (/** @type {any} */ target, /** @type {string} */ type, /** @type {() => void} */ call) => {
      if (typeof target?.addEventListener !== "function") return;
      target.addEventListener(type, call);
      this.#ears.push([target, type, call]);
    };
    hear(document, "visibilitychange", () => {
      if (document.visibilityState === "visible") this.#wake(0);
    });
    // Many clients get their network back in the same moment.
    hear(window, "online", () => this.#wake(Math.floor(this.#env.random() * (JITTER_MS + 1))));
    hear(window, "offline", () => this.#check());
  }

  /** A good moment to try. @param {number} delay */
  #wake(delay) {
    const now = this.#env.now();
    const at = Math.max(now + delay, this.#notBefore);
    if (this.#state === "waiting" && at < this.#retryAt) this.#wait(at - now);
    else this.#check();
  }

  /** Is the link alive? */
  #check() {
    if (this.#state === "open" && this.#pingedAt < 0) this.#sendPing();
  }

  #sendPing() {
    this.#pingedAt = this.#env.now();
    this.#request({ op: "ping" }).catch(() => {});
  }

  // Sending

  /** @param {Record<string, any>} command @returns {Promise<any>} the answer */
  #request(command) {
    return new Promise((resolve, reject) => {
      const request = { op: command.op, channel: command.channel, sentAt: 0, resolve, reject };
      if (this.#state !== "open") reject(new WsHubError("offline", "", command.channel));
      else this.#send(command, request);
    });
  }

  /** @param {Record<string, any>} command @param {Request} request */
  #send(command, request) {
    const id = this.#nextId++;
    /** @param {string} code @param {string} [detail] */
    const refuse = (code, detail) => request.reject(new WsHubError(code, detail, request.channel));
    let text;
    try {
      text = JSON.stringify({ ...command, id });
    } catch (error) {
      refuse("bad_data", String(error));
      return;
    }
    const bytes = text.length * 3 <= this.#options.maxBytes ? 0 : new TextEncoder().encode(text).length;
    if (bytes > this.#options.maxBytes) {
      refuse("too_large", `${bytes} bytes`);
    } else if (command.op === "publish" && this.#socket.bufferedAmount > this.#options.maxBufferedBytes) {
      refuse("buffered", "the link does not keep up");
    } else {
      request.sentAt = this.#env.now();
      this.#requests.set(id, request);
      try {
        this.#socket.send(text);
      } catch (error) {
        this.#requests.delete(id);
        refuse("lost", String(error));
      }
      this.#watchBy(request.sentAt + Math.min(this.#options.slowMs, this.#options.answerMs));
    }
  }

  /** Publish without a connection. @param {Record<string, any>} command @returns {Promise<any>} */
  #enqueue(command) {
    return new Promise((resolve, reject) => {
      const { channel } = command;
      const refuse = (/** @type {string} */ code) => reject(new WsHubError(code, "", channel));
      if (this.#state === "closed") refuse("closed");
      else if (this.#options.offline !== "queue" || command.class === "volatile") refuse("offline");
      else if (this.#queue.length >= this.#options.queueMax) refuse("queue_full");
      else {
        const request = { op: command.op, channel, sentAt: 0, resolve, reject };
        this.#queue.push({ command, request });
      }
    });
  }

  /** @param {string} channel @param {Ear} ear */
  #drop(channel, ear) {
    const entry = this.#channels.get(channel);
    if (!entry?.ears.delete(ear) || entry.ears.size > 0) return;
    this.#forget(channel, entry);
    if (this.#state === "open" && entry.state !== "none") {
      this.#request({ op: "unsubscribe", channel }).catch(() => {});
    }
  }

  /** Subscribe on this connection. @param {string} channel @param {Channel} entry */
  #ask(channel, entry) {
    /** @type {Record<string, any>} */
    const command = { op: "subscribe", channel };
    if (entry.epoch !== null && entry.seq !== null) {
      command.since = { epoch: entry.epoch, seq: entry.seq };
    }
    entry.state = "asked";
    const resumed = command.since !== undefined;
    this.#send(command, {
      op: "subscribe", channel, sentAt: 0,
      resolve: (event) => this.#subscribed(channel, entry, event, resumed),
      reject: (error) => this.#refused(channel, entry, error),
    });
  }

  /** @param {string} channel @param {Channel} entry @param {any} event @param {boolean} resumed */
  #subscribed(channel, entry, event, resumed) {
    if (this.#channels.get(channel) !== entry) return;
    const away = entry.wasLive && !resumed;
    entry.state = "live";
    entry.wasLive = true;
    entry.attempt = 0;
    const epoch = typeof event.epoch === "string" || typeof event.epoch === "number" ? event.epoch : null;
    const seq = countOf(event.seq);
    if (epoch !== null && seq !== null) {
      // A resumed channel goes on counting from what it has.
      if (entry.epoch !== epoch || entry.seq === null) entry.seq = seq;
      entry.epoch = epoch;
    }
    for (const ear of entry.ears) ear.resolve();
    if (away) this.#gap({ channel, missed: null, reason: "reconnect" });
  }

  /** @param {string} channel @param {Channel} entry @param {WsHubError} error */
  #refused(channel, entry, error) {
    if (this.#channels.get(channel) !== entry) return;
    entry.state = "none";
    if (error.code === "lost" || error.code === "closed") return; // the next connection asks
    if (FINAL_ERRORS.includes(error.code) || error.code === "too_large") {
      this.#forget(channel, entry);
      for (const ear of entry.ears) ear.reject(error);
    } else {
      const delay = backoffMs(entry.attempt++, this.#options.baseMs, this.#env.random());
      entry.timer = this.#after(delay, () => {
        if (this.#state === "open" && entry.state === "none") this.#ask(channel, entry);
      });
    }
    this.#emit("error", error);
  }

  /** @param {string} channel @param {Channel} entry */
  #forget(channel, entry) {
    this.#env.clearTimeout(entry.timer);
    this.#channels.delete(channel);
  }

  // Receiving

  /** @param {unknown} text */
  #receive(text) {
    this.#heardAt = this.#env.now();
    this.#pingedAt = -1;
    let event;
    try {
      event = JSON.parse(/** @type {string} */ (text));
    } catch {
      event = null;
    }
    if (typeof text !== "string" || !isObject(event)) {
      this.#emit("error", new WsHubError("bad_frame", "not a JSON object"));
      return;
    }
    if (event.op === "welcome") this.#welcome(event);
    else if (this.#state === "open") this.#handle(event);
  }

  /** @param {any} event */
  #handle(event) {
    const channel = textOf(event.channel);
    switch (event.op) {
      case "message":
        this.#message(channel, event);
        break;
      case "subscribed":
      case "unsubscribed":
      case "published":
      case "presence":
      case "pong":
        this.#answer(event);
        break;
      case "error":
        this.#error(channel, event);
        break;
      case "gap":
        if (textOf(event.reason) === "backpressure") {
          this.#slowUntil = this.#env.now() + SLOW_STAYS_MS;
          this.#setQuality(true, this.#quality.rttMs);
        }
        this.#gap({ channel, missed: countOf(event.missed), reason: textOf(event.reason) });
        break;
      case "join":
      case "leave":
        this.#each(channel, (ear) => ear.options[/** @type {"join" | "leave"} */ (event.op)]?.(memberOf(event)));
        break;
      case "goaway":
        this.#goaway(event);
        break;
      default: // of a later version
    }
  }

  /** @param {any} event */
  #welcome(event) {
    if (this.#state !== "connecting") return;
    const now = this.#env.now();
    const told = this.#options.pingMs ?? countOf(event.ping_ms) ?? 0;
    this.#env.clearTimeout(this.#timer);
    this.#conn = textOf(event.conn) || null;
    this.#openedAt = now;
    this.#notBefore = 0;
    this.#pingMs = told <= 0 ? DELAY_MAX_MS
      : Math.min(Math.max(told, INTERVAL_MIN_MS), INTERVAL_MAX_MS);
    this.#watchBy(now + this.#pingMs);
    const before = [...this.#channels];
    const queue = this.#queue.splice(0);
    this.#slowUntil = 0;
    this.#setQuality(false, this.#quality.rttMs);
    this.#code = 0;
    this.#reason = "";
    this.#state = "open"; // listeners hear of it when everything is asked for
    for (const [channel, entry] of before) if (entry.state === "none") this.#ask(channel, entry);
    for (const { command, request } of queue) this.#send(command, request);
    this.#tell("connecting");
  }

  /** @param {string} channel @param {any} event */
  #message(channel, event) {
    const entry = this.#channels.get(channel);
    if (!entry) return;
    const seq = countOf(event.seq);
    if (seq !== null) entry.seq = seq;
    let { data } = event;
    if (event.encoding === "base64") {
      data = bytesOfBase64(textOf(data));
      if (data === null) {
        this.#emit("error", new WsHubError("bad_frame", "base64", channel));
        return;
      }
    }
    const info = seq === null ? { channel } : { channel, seq };
    this.#each(channel, (ear) => ear.handler(data, info));
  }

  /** @param {any} event @returns {Request | undefined} */
  #take(event) {
    const request = this.#requests.get(event.id);
    if (!request) return undefined;
    this.#requests.delete(event.id);
    const rtt = this.#env.now() - request.sentAt;
    this.#setQuality(rtt > this.#options.slowMs || this.#env.now() < this.#slowUntil, rtt);
    return request;
  }

  /** @param {any} event */
  #answer(event) {
    this.#take(event)?.resolve(event);
  }

  /** @param {string} channel @param {any} event */
  #error(channel, event) {
    const error = new WsHubError(textOf(event.error) || "unknown", textOf(event.detail), channel || undefined);
    const request = this.#take(event);
    if (request) {
      error.channel ??= request.channel;
      request.reject(error);
    }
    // A request's owner has been told; the rest is everybody's.
    if (!request) this.#emit("error", error);
  }

  /** @param {Gap} gap */
  #gap(gap) {
    this.#each(gap.channel, (ear) => ear.options.gap?.(gap));
    this.#emit("gap", gap);
  }

  /** @param {any} event */
  #goaway(event) {
    const told = countOf(event.reconnect_ms);
    const delay = told === null
      ? backoffMs(0, this.#options.baseMs, this.#env.random())
      : Math.min(told, TOLD_MAX_MS);
    this.#goawayAt = this.#env.now() + delay;
    this.#env.clearTimeout(this.#goawayTimer);
    this.#goawayTimer = this.#after(delay, () => this.#giveUp("goaway"));
    /** @type {GoAway} */
    const goaway = { reason: textOf(event.reason), reconnectMs: delay };
    if (typeof event.transport === "string") goaway.transport = event.transport;
    const interval = countOf(event.interval_ms);
    if (interval !== null) goaway.intervalMs = interval;
    this.#emit("goaway", goaway);
  }

  // The link and the answers: one timer for whatever is due first

  /** @param {number} at */
  #watchBy(at) {
    if (at >= this.#watchAt) return;
    this.#env.clearTimeout(this.#watch);
    this.#watchAt = at;
    this.#watch = this.#after(at - this.#env.now(), () => this.#look());
  }

  #look() {
    const now = this.#env.now();
    const { answerMs, pongMs, slowMs } = this.#options;
    this.#watchAt = Infinity;
    if (this.#state !== "open") return;
    if (this.#pingedAt >= 0 && now - this.#pingedAt >= pongMs) {
      this.#giveUp("the link is dead");
      return;
    }
    const overdue = [];
    for (const [id, request] of this.#requests) {
      const age = now - request.sentAt;
      if (age < slowMs && age < answerMs) break; // in the order of sending
      if (age >= slowMs) this.#setQuality(true, this.#quality.rttMs);
      if (age >= answerMs) overdue.push(id);
    }
    for (const id of overdue) {
      const request = this.#requests.get(id);
      this.#requests.delete(id);
      request?.reject(new WsHubError("timeout", "no answer", request.channel));
    }
    if (this.#state !== "open") return; // a listener closed
    if (this.#pingedAt < 0 && now - this.#heardAt >= this.#pingMs) this.#sendPing();
    this.#watchBy(this.#nextLook(now));
  }

  /** @param {number} now */
  #nextLook(now) {
    const { answerMs, pongMs, slowMs } = this.#options;
    let at = this.#pingedAt >= 0 ? this.#pingedAt + pongMs : this.#heardAt + this.#pingMs;
    for (const request of this.#requests.values()) {
      const slowAt = request.sentAt + slowMs;
      at = Math.min(at, slowAt > now ? slowAt : request.sentAt + answerMs);
    }
    return Math.max(at, now + 1);
  }

  /** @param {boolean} slow @param {number | null} rttMs */
  #setQuality(slow, rttMs) {
    const changed = slow !== this.#quality.slow;
    this.#quality = { slow, rttMs };
    if (changed) this.#emit("quality", this.quality);
  }

  // Telling

  /** @param {State} state */
  #setState(state) {
    const previous = this.#state;
    this.#state = state;
    this.#tell(previous);
  }

  /** @param {State} previous */
  #tell(previous) {
    const retryInMs = this.#state === "waiting" ? Math.round(this.#delay) : 0;
    this.#emit("state", {
      state: this.#state, previous, attempt: this.#attempt, retryInMs,
      code: this.#code, reason: this.#reason,
    });
  }

  /** @template {keyof EventMap} K @param {K} type @param {EventMap[K]} event */
  #emit(type, event) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) this.#call(() => listener(event));
  }

  /** @param {string} channel @param {(ear: Ear) => void} call */
  #each(channel, call) {
    const ears = this.#channels.get(channel)?.ears ?? new Set();
    // A handler may end any of them.
    for (const ear of [...ears]) if (ears.has(ear)) this.#call(() => call(ear));
  }

  /** What the page's code throws is the page's. @param {() => void} call */
  #call(call) {
    try {
      call();
    } catch (error) {
      this.#env.reportError(error);
    }
  }

  /** @param {string} code @param {string} detail */
  #failAll(code, detail) {
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) request.reject(new WsHubError(code, detail, request.channel));
  }

  /** @param {number} ms @param {() => void} call */
  #after(ms, call) {
    return this.#env.setTimeout(call, Math.min(Math.max(ms, 0), TIMER_MAX_MS));
  }
}

/** @param {any} value @returns {Member} */
function memberOf(value) {
  return { user: textOf(value.user), conn: textOf(value.conn) };
}
