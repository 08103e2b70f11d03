/** GETs from within a lab's node, by one process for all: each of its own would take 60 ms of a core. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Lab } from "./lab.ts";

/** An answer; without one `code` is 0, and `body` the reason, such as `ECONNREFUSED`. */
export interface HttpAnswer {
  readonly code: number;
  readonly body: string;
}

type Get = (url: string) => Promise<HttpAnswer>;

const getters = new WeakMap<Lab, Get>();

/** One GET of `http://HOST:PORT/PATH`, on a connection of its own. */
export function httpGet(lab: Lab, url: string): Promise<HttpAnswer> {
  const get = getters.get(lab) ?? startGetter(lab);
  getters.set(lab, get);
  return get(url);
}

const SCRIPT = `const { get } = require("node:http");
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, url } = JSON.parse(line);
  const tell = (answer) => console.log(JSON.stringify({ id, ...answer }));
  get(url, { agent: false }, (answer) => {
    let body = "";
    answer.setEncoding("utf8").on("data", (chunk) => { body += chunk; });
    answer.on("end", () => tell({ code: answer.statusCode, body }));
  }).on("error", ({ code }) => tell({ code: 0, body: code }));
}).on("close", () => process.exit());`;

/** The process ends with its standard input, and with the lab. */
function startGetter(lab: Lab): Get {
  const [file = "", ...args] = lab.inside("node", process.execPath, "-e", SCRIPT);
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.on("error", () => {});
  const waiting = new Map<number, (answer: HttpAnswer) => void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { id, ...answer } = JSON.parse(line) as HttpAnswer & { readonly id: number };
    waiting.get(id)?.(answer);
    waiting.delete(id);
  });
  child.on("exit", () => {
    for (const answer of waiting.values()) answer({ code: 0, body: "the client has ended" });
  });
  let id = 0;
  return (url) =>
    new Promise((resolve) => {
      waiting.set(++id, resolve);
      child.stdin.write(`${JSON.stringify({ id, url })}\n`);
    });
}
