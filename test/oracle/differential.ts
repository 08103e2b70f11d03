/**
 * Compares what we make of random inputs with what Go's own libraries make of them (main.go).
 *
 *     node scripts/run-ts.mjs test/oracle/differential.ts --count 200000 --seed 1 [--op document]
 *
 * Needs Go with yaml.v2 2.4.0 and sigs.k8s.io/yaml 1.3.0, which on Debian 12 are the packages golang-go,
 * golang-gopkg-yaml.v2-dev and golang-k8s-sigs-yaml-dev. Exits with 1 if there is a disagreement.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { formatCidr, isCidr, parseCidr } from "../../src/core/cidr.ts";
import { decodeConfig } from "../../src/core/config.ts";
import { parseDocument } from "../../src/core/document.ts";
import { parseDuration } from "../../src/go/duration.ts";
import { boolType } from "../../src/go/flag-types.ts";
import { parseGoInt } from "../../src/go/integer.ts";
import type { Node } from "../../src/yaml/node.ts";
import { documentSeeds, generateDocument, type Random, randomFrom } from "./corpus.ts";
import { isLeftOut } from "./left-out.ts";
import {
  generateBoolean,
  generateCidr,
  generateConfig,
  generateDuration,
  generateInteger,
} from "./values.ts";

const BATCH = 2000;
/** A batch takes about a second. */
const ANSWER_MS = 60_000;
const BINARY = "/tmp/ip-masq-agent-oracle";
const GO_ENVIRONMENT = { GO111MODULE: "off", GOPATH: "/usr/share/gocode", GOCACHE: "/tmp/gocache" };

interface Answer {
  readonly ok: boolean;
  readonly error?: string;
  readonly ambiguous?: boolean;
  readonly value?: unknown;
}

/** One operation of main.go: inputs for it, and our answer to one. Values are compared as JSON. */
interface Operation {
  readonly generate: (random: Random) => Buffer;
  /** Inputs that we answer differently on purpose. */
  readonly leavesOut?: (data: Buffer) => boolean;
  readonly ours: (data: Buffer) => Answer;
  /** Whether error texts have to agree, too; both are given in full. */
  readonly sameError?: (ours: string, theirs: string) => boolean;
}

const seeds = documentSeeds();

const OPERATIONS: Readonly<Record<string, Operation>> = {
  document: {
    generate: (random) => generateDocument(random, seeds),
    leavesOut: isLeftOut,
    ours: (data) => {
      const parsed = parseDocument(data, "config");
      if (parsed.ok) return { ok: true, value: canonical(parsed.value.root) };
      return { ok: false, error: parsed.problems[0]?.message ?? "no problem given" };
    },
    sameError: sameDocumentError,
  },
  config: { generate: generateConfig, ours: ourConfig },
  cidr: { generate: generateCidr, ours: ourCidr },
  duration: {
    generate: generateDuration,
    ours: (data) => {
      const parsed = parseDuration(data.toString());
      return parsed.ok
        ? { ok: true, value: String(parsed.nanoseconds) }
        : { ok: false, error: parsed.message };
    },
  },
  bool: { generate: generateBoolean, ours: (data) => answerOf(boolType.parse(data.toString())) },
  atoi: {
    generate: generateInteger,
    ours: (data) => answerOf(parseGoInt(data.toString(), 10, 64)),
    sameError: (ours, theirs) => theirs.endsWith(ours),
  },
};

function answerOf(parsed: { ok: boolean; value?: unknown; fault?: string; message?: string }): Answer {
  return parsed.ok
    ? { ok: true, value: String(parsed.value) }
    : { ok: false, error: parsed.fault ?? parsed.message ?? "" };
}

/** What the Go program would decode and validate, with IPv6 on. Our shortest interval is 100 ms, so `main.go`'s is raised to it. */
function ourConfig(data: Buffer): Answer {
  const options = { noMasqAllReservedRanges: false, enableIPv6: true };
  const decoded = decodeConfig({ kind: "file", files: [{ path: "config", bytes: data }] }, options);
  if (!decoded.ok) return { ok: false, error: decoded.problems[0]?.message ?? "no problem given" };
  const { config } = decoded.value;
  return {
    ok: true,
    value: {
      nonMasqueradeCIDRs: config.nonMasqueradeCIDRs.map(({ text }) => text),
      cidrLimit: config.cidrLimit,
      masqLinkLocal: config.masqLinkLocal,
      masqLinkLocalIPv6: config.masqLinkLocalIPv6,
      resyncIntervalMs: config.resyncIntervalMs,
    },
  };
}

function ourCidr(data: Buffer): Answer {
  const cidr = parseCidr(data.toString());
  if (isCidr(cidr))
    return { ok: true, value: { aligned: true, family: cidr.family, network: formatCidr(cidr) } };
  return cidr.reason === "syntax"
    ? { ok: false, error: "" }
    : { ok: true, value: { aligned: false, network: cidr.network } };
}

/** main.go's canonical form: numbers as they are, strings in hexadecimal, with one U+FFFD for any number of bad bytes. */
function canonical(root: Node): string {
  const out: string[] = [];
  const hex = (text: string) => Buffer.from(text.replace(/\uFFFD+/g, "\uFFFD")).toString("hex");
  const pending: (Node | string)[] = [root];
  for (let top = pending.pop(); top !== undefined; top = pending.pop()) {
    if (typeof top === "string") out.push(top);
    else if (top.kind === "null") out.push("<nil>");
    else if (top.kind === "boolean") out.push(String(top.value));
    else if (top.kind === "number") out.push(`#${top.literal}`);
    else if (top.kind === "string") out.push(hex(top.value));
    else if (top.kind === "array") pending.push("]", ...top.items.toReversed(), "[");
    else pending.push("}", ...top.members.toReversed().flatMap(({ key, value }) => [value, hex(key)]), "{");
  }
  return out.map((text) => `${text} `).join("");
}

/**
 * Whether two errors are the same but for what we say differently: no line, one message for all bad bytes and one for all bad
 * tags; bad bytes come first. Go prints the offending key as a Go value, and takes any one of several unsupported keys.
 */
function sameDocumentError(ours: string, theirs: string): boolean {
  return /^yaml: (?:not valid|control characters)/.test(ours) || shortError(ours) === shortError(theirs);
}

function shortError(text: string): string {
  return text
    .replace(/^yaml: line \d+: /, "yaml: ")
    .replace(/^((?:yaml: invalid|Unsupported) map key).*/s, "$1")
    .replace(
      /did not find (?:expected '!'|expected tag URI|the expected '>')/,
      "did not find expected whitespace or line break",
    )
    .replace(/^invalid character '(?:[\u0080-\u00ff]|\\u00[0-9a-f]{2})'/, "invalid character beyond ASCII")
    .replace(/^.*exceeded max depth.*/, "exceeded max depth");
}

/** main.go as a process: the answers to inputs, in their order. */
interface Oracle {
  readonly ask: (op: string, inputs: readonly Buffer[]) => Promise<Answer[]>;
  readonly stop: () => void;
}

function startOracle(): Oracle {
  const child = spawn(BINARY, { env: { GOGC: "400" }, stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    ask: async (op, inputs) => {
      const requests = inputs.map((data) => `${JSON.stringify({ op, data: data.toString("base64") })}\n`);
      child.stdin.write(requests.join(""));
      const hung = setTimeout(() => {
        console.log(`${op.slice(0, 20)}: no answer to a batch of ${inputs.length} for ${ANSWER_MS / 1000} s`);
        process.exit(1);
      }, ANSWER_MS);
      const answers: Answer[] = [];
      for (const _ of inputs) {
        const line = await lines.next();
        if (line.done) throw new Error("the oracle has died");
        answers.push(JSON.parse(line.value));
      }
      clearTimeout(hung);
      return answers;
    },
    stop: () => child.stdin.end(),
  };
}

/** Sends requests of every length up to 4 KiB, so that the last byte of one falls on every place in the oracle's buffers. */
async function checkProtocol(oracle: Oracle): Promise<void> {
  for (let length = 0; length < 4096; length++) await oracle.ask("?".repeat(length), [Buffer.alloc(0)]);
}

function answer(operation: Operation, data: Buffer): Answer {
  try {
    return operation.ours(data);
  } catch (error) {
    return { ok: false, error: `we threw: ${error}` };
  }
}

/** The difference, if any. */
function disagreement(operation: Operation, data: Buffer, theirs: Answer): string | undefined {
  const ours = answer(operation, data);
  if (ours.error?.startsWith("we threw")) return ours.error;
  if (ours.ok !== theirs.ok) return ours.ok ? "we accept" : "we refuse";
  if (!ours.ok) {
    const same = operation.sameError?.(ours.error ?? "", theirs.error ?? "") ?? true;
    return same ? undefined : "error text";
  }
  if (theirs.ambiguous) return undefined;
  return stableJson(ours.value) === stableJson(theirs.value) ? undefined : "value";
}

/** JSON with the keys sorted, as Go prints a map. */
function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part instanceof Object && !Array.isArray(part) ? Object.fromEntries(Object.entries(part).sort()) : part,
  );
}

/** Cuts pieces out of an input as long as it is disagreed about in the same way. */
async function minimise(
  oracle: Oracle,
  op: string,
  operation: Operation,
  input: Buffer,
  kind: string,
): Promise<Buffer> {
  let best = input;
  for (let size = Math.ceil(best.length / 2); size >= 1; ) {
    const candidates: Buffer[] = [];
    for (let at = 0; at < best.length && candidates.length < 400; at += size) {
      candidates.push(Buffer.concat([best.subarray(0, at), best.subarray(at + size)]));
    }
    const answers = await oracle.ask(op, candidates);
    const found = candidates.find(
      (data, i) =>
        !operation.leavesOut?.(data) && disagreement(operation, data, answers[i] as Answer) === kind,
    );
    if (found !== undefined) best = found;
    else size = size === 1 ? 0 : Math.ceil(size / 2);
  }
  return best;
}

function generateInput({ generate, leavesOut }: Operation, random: Random): Buffer {
  for (;;) {
    const input = generate(random);
    if (!leavesOut?.(input)) return input;
  }
}

async function compare(
  oracle: Oracle,
  op: string,
  operation: Operation,
  count: number,
  seed: number,
): Promise<number> {
  const random = randomFrom(seed);
  const counts = { compared: 0, accepted: 0, ambiguous: 0, disagreements: 0 };
  while (counts.compared < count) {
    const inputs = Array.from({ length: Math.min(BATCH, count - counts.compared) }, () =>
      generateInput(operation, random),
    );
    const answers = await oracle.ask(op, inputs);
    for (const [i, data] of inputs.entries()) {
      const theirs = answers[i] as Answer;
      counts.compared++;
      if (theirs.ok) counts.accepted++;
      if (theirs.ambiguous) counts.ambiguous++;
      const kind = disagreement(operation, data, theirs);
      if (kind === undefined) continue;
      counts.disagreements++;
      if (counts.disagreements > 40) continue;
      const least = await minimise(oracle, op, operation, data, kind);
      const [again] = await oracle.ask(op, [least]);
      console.log(`\n${op}: ${kind}: ${JSON.stringify(least.toString("latin1"))}`);
      console.log(`  Go:   ${JSON.stringify(again)}\n  ours: ${JSON.stringify(answer(operation, least))}`);
    }
  }
  console.log(`${op}: ${JSON.stringify(counts)} (seed ${seed})`);
  return counts.disagreements;
}

/** Builds the oracle; a message if that can't be done here. */
function build(): string | undefined {
  const source = ["test/oracle/main.go", `${__dirname}/main.go`].find(existsSync);
  if (source === undefined) return "run it in the project's directory: test/oracle/main.go is not here";
  const env = { ...process.env, ...GO_ENVIRONMENT };
  const { error, status, stderr } = spawnSync("go", ["build", "-o", BINARY, source], {
    env,
    encoding: "utf8",
  });
  if (error !== undefined) return `Go is missing (${error.message})`;
  return status === 0 ? undefined : `the oracle can't be built: ${stderr}`;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { count: { type: "string" }, seed: { type: "string" }, op: { type: "string" } },
  });
  const problem = build();
  if (problem !== undefined) {
    console.log(`SKIPPED: ${problem}`);
    return 0;
  }
  const oracle = startOracle();
  await checkProtocol(oracle);
  const count = Number(values.count ?? 20_000);
  const seed = Number(values.seed ?? 1);
  let disagreements = 0;
  for (const [op, operation] of Object.entries(OPERATIONS)) {
    if (values.op !== undefined && values.op !== op) continue;
    disagreements += await compare(oracle, op, operation, count, seed);
  }
  oracle.stop();
  return disagreements === 0 ? 0 : 1;
}

main().then((status) => {
  process.exitCode = status;
});
