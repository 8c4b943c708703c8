/*
 * server.mjs: the chat as a process: start it on a free port, end it, start it
 * again on the same one. A complaint of a sanitizer fails the test that stops
 * the server.
 */
import { spawn } from "node:child_process";

const PATIENCE_MS = 60000;

export class Server {
  output = "";
  /** @type {number} 0 until the first start */ port = 0;
  #process = null;
  #exited = null;

  /** @param {string[]} command program and arguments */
  constructor(command) {
    this.command = command;
  }

  get url() {
    return `http://127.0.0.1:${this.port}/`;
  }

  async start() {
    const [program, ...args] = this.command;
    const child = spawn(program, [...args, "--port", String(this.port)], { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    this.#exited = new Promise((resolve) => {
      child.once("error", resolve);
      child.once("close", (status, signal) => resolve(signal ?? status));
    });
    child.stderr.setEncoding("utf8").on("data", (text) => { this.output += text; });
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the server does not start: ${this.output}`)), PATIENCE_MS);
      const fail = (why) => { clearTimeout(late); reject(new Error(`the server ended (${why}): ${this.output}`)); };
      this.#exited.then(fail);
      child.stdout.setEncoding("utf8").on("data", (text) => {
        this.output += text;
        const found = /listening on wss?:\/\/[^\n]*:(\d+)\n/.exec(this.output);
        if (!found) return;
        clearTimeout(late);
        this.port = Number(found[1]);
        resolve();
      });
    });
    return this;
  }

  /** SIGKILL: no farewell. */
  async kill() {
    this.#process?.kill("SIGKILL");
    await this.#exited;
    this.#process = null;
    this.#judge();
  }

  /** SIGTERM: connections are closed with 1001. */
  async stop() {
    this.#process?.kill("SIGTERM");
    const status = await this.#exited;
    if (this.#process && status !== 0) throw new Error(`the server ended with ${status}: ${this.output}`);
    this.#process = null;
    this.#judge();
  }

  #judge() {
    const { output } = this;
    this.output = "";
    if (/runtime error:|Sanitizer:/.test(output)) throw new Error(output);
  }
}
