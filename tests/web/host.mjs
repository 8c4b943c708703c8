/*
 * host.mjs: a host of the chat page that does what a test tells it to: goaway
 * frames, presence, slow answers, closes. It speaks as much of ws_hub.v1 as
 * the page needs.
 */
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

import { load } from "./modules.mjs";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

export class Host {
  /** Every connection so far: {url, at, socket, commands}. */
  links = [];
  /** Answers to commands by op, instead of the usual ones. */
  answers = {};
  #waiting = [];
  #http = null;
  #ws = null;

  constructor(root, modules) {
    this.web = path.join(root, "examples/web");
    this.modules = modules;
  }

  get url() {
    return `http://127.0.0.1:${this.#http.address().port}/`;
  }

  async start() {
    const { WebSocketServer } = await load(this.modules, "ws");
    this.#http = http.createServer((request, response) => this.#serve(request, response));
    this.#ws = new WebSocketServer({ server: this.#http, handleProtocols: () => "ws_hub.v1" });
    this.#ws.on("connection", (socket, request) => this.#greet(socket, request));
    await new Promise((resolve) => this.#http.listen(0, "127.0.0.1", resolve));
    return this;
  }

  async stop() {
    for (const socket of this.#ws.clients) socket.terminate();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  #serve(request, response) {
    const { pathname } = new URL(request.url, "http://x/");
    const file = path.join(this.web, pathname === "/" ? "index.html" : path.basename(pathname));
    if (!fs.existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "Content-Type": TYPES[path.extname(file)] }).end(fs.readFileSync(file));
  }

  #greet(socket, request) {
    const link = { url: request.url, at: performance.now(), socket, commands: [] };
    this.links.push(link);
    socket.on("message", (text) => this.#obey(link, JSON.parse(text)));
    this.say({ op: "welcome", conn: String(this.links.length).padStart(16, "0"), server: "host", ping_ms: 30000 }, link);
    this.#wake();
  }

  #obey(link, command) {
    const { op, id, channel, data } = command;
    const usual = {
      subscribe: () => this.say({ op: "subscribed", id, channel }, link),
      unsubscribe: () => this.say({ op: "unsubscribed", id, channel }, link),
      presence: () => this.say({ op: "error", error: "unknown_op", id }, link),
      ping: () => this.say({ op: "pong", id }, link),
      publish: () => {
        this.say({ op: "message", channel, data }, link);
        this.say({ op: "published", id }, link);
      },
    };
    link.commands.push(command);
    (this.answers[op] ?? usual[op])?.(command, link);
    this.#wake();
  }

  /** To one connection, by default the latest. */
  say(event, link = this.links.at(-1)) {
    link.socket.send(JSON.stringify(event));
  }

  #wake() {
    for (const call of this.#waiting.splice(0)) call();
  }

  /** Wait until a condition on this host holds. */
  async until(condition, what, patience = 60000) {
    const end = performance.now() + patience;
    while (!condition()) {
      if (performance.now() > end) throw new Error(`waited in vain: ${what}`);
      await new Promise((resolve) => {
        this.#waiting.push(resolve);
        setTimeout(resolve, 1000);
      });
    }
  }
}
