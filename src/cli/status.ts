/** The command `status`: what the agent that runs on this node says of itself. */
import { get } from "node:http";
import { type HttpAddress, hostPort, parseHttpAddress, reachable } from "../observe/http-address.ts";
import { parseStatus, type Status } from "../observe/status.ts";
import { adoptFlags } from "./adopt.ts";
import { type Command, UsageError } from "./command.ts";
import { agentFlags, pickFlags } from "./options.ts";
import { renderStatus } from "./status-text.ts";

const flags = pickFlags("http-address");

/** For the agent to answer; it does so from memory. */
const PATIENCE_MS = 5_000;
const BODY_BYTES = 1024 * 1024;

export const statusCommand: Command<typeof flags> = {
  name: "status",
  summary: "Asks the agent that runs on this node what it does",
  operands: "",
  details: `Shows the backend, the configuration, what is in force, the last pass and what was healed. The exit code
is 1 if no agent answers, its configuration is bad, or its last pass had an error.

The agent serves this at its --http-address, which is taken from the agent that runs in this network namespace, if one is seen; else
give the same here, if it is not the default.`,
  flags,
  examples: [
    { args: "status", what: "the agent at the default address" },
    { args: "status --http-address=127.0.0.1:9000 -o json", what: "another one, for a program to read" },
  ],
  async run(input, { out, err, colours, signal }) {
    const { values, pid } = adoptFlags(input, flags);
    const address = askable(values["http-address"]);
    if (typeof address === "string") {
      if (pid === undefined) throw new UsageError(address);
      err(`ip-masq-agent status: the agent with pid ${pid} cannot be asked: its ${address}\n`);
      return 1;
    }
    const url = `http://${hostPort(reachable(address))}/status`;
    const answer = await ask(url, signal);
    const status = answer.ok ? parseStatus(answer.body) : undefined;
    if (!answer.ok || status === undefined) {
      const why = answer.ok ? "what answers is no ip-masq-agent: is --http-address right?" : answer.why;
      err(`ip-masq-agent status: ${url}: ${why}\n`);
      return 1;
    }
    out(input.output === "json" ? `${JSON.stringify(status)}\n` : renderStatus(status, colours));
    return isWell(status) ? 0 : 1;
  },
};

/** The address, or what is wrong with the flag: not all that can be listened at can be put into a URL. */
function askable(text: string): HttpAddress | string {
  if (text === "") return "--http-address is empty, so nothing is served";
  const address = parseHttpAddress(text);
  if (address === undefined)
    return `--http-address=${text} is no HOST:PORT, such as ${agentFlags["http-address"].initial}`;
  if (address.port === 0)
    return "--http-address has port 0, and only its log says which one the system chose";
  if (address.host.includes("%")) return `--http-address has a zone (${address.host}), which no URL can have`;
  return address;
}

function isWell({ config, rules, lastPass }: Status): boolean {
  const isInForce = Object.values(rules).every(({ inForce }) => inForce);
  return config.valid && isInForce && lastPass !== null && lastPass.errors.length === 0;
}

type Answer = { readonly ok: true; readonly body: string } | { readonly ok: false; readonly why: string };

/** One GET, bounded in time and size. */
function ask(url: string, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    const fail = (error: NodeJS.ErrnoException) => {
      if (signal.aborted) reject(error);
      else
        resolve({
          ok: false,
          why: deadline.aborted ? `no answer within ${PATIENCE_MS / 1000} s` : describe(error),
        });
    };
    const request = get(url, { signal: AbortSignal.any([signal, deadline]), agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("error", fail);
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > BODY_BYTES) response.destroy(new Error("the answer is too long for a status"));
      });
      response.on("end", () => {
        const body = Buffer.concat(chunks).toString("utf8");
        if (response.statusCode === 200) resolve({ ok: true, body });
        else resolve({ ok: false, why: `HTTP status ${response.statusCode}: is --http-address right?` });
      });
    });
    request.on("error", fail);
  });
}

function describe({ code, message }: NodeJS.ErrnoException): string {
  if (code === "ECONNREFUSED")
    return "nothing listens there: is the agent running, in this network namespace, and with this --http-address?";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "this host name cannot be resolved";
  if (code?.startsWith("HPE_") === true)
    return "what answers there does not speak HTTP: is --http-address right?";
  return message || code || "the connection failed";
}
