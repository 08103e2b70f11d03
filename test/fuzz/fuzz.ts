/**
 * Feeds what reads foreign text with damaged copies of recorded inputs. Whatever comes, a reader must answer: without an
 * exception, within a second of processor time, the same each time, and where it refuses, with problems that say what and where. Large inputs
 * (large.ts) have times of their own.
 *
 * usage: fuzz [--count N] [--seed S] [--from I]     (input I of seed S is the same in every run)
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { agentOptions, parseAgentFlags } from "../../src/cli/options.ts";
import { formatCidr, isCidr, lastAddress, parseCidr } from "../../src/core/cidr.ts";
import { type ConfigText, decodeConfig } from "../../src/core/config.ts";
import { parsePorts } from "../../src/core/ports.ts";
import type { Problem } from "../../src/core/problem.ts";
import { compileRuleset, enabledFamilies, type Options } from "../../src/core/ruleset.ts";
import { parseDuration } from "../../src/go/duration.ts";
import { renderRestore } from "../../src/iptables/plan.ts";
import { canonicalListing } from "../../src/iptables/rule.ts";
import { renderAdvice } from "../../src/validate/hints.ts";
import { type Chance, createChance, mutate, readCorpus } from "./inputs.ts";
import { LARGE } from "./large.ts";

const SLOW_MS = 1_000;
const FAILURES_SHOWN = 10;

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
  },
});
const [count, seed, from] = [Number(values.count), Number(values.seed), Number(values.from)];

const corpus = readCorpus(join("test", "conformance", "cases"));
const words = corpus.flags.flat();
const scalars = corpus.configs.flatMap((text) => text.split(/[\s,[\]"'{}]+/)).filter((word) => word !== "");

/** An invariant that does not hold. */
class Broken extends Error {}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Broken(what);
}

/** An input, and the check of what a reader makes of it. */
interface Input {
  readonly reader: string;
  readonly show: unknown;
  readonly check: () => void;
}

const OPTIONS: readonly Options[] = [false, true].flatMap((enableIPv6) =>
  [[], [{ first: 1024n, last: 65_535n }]].map((toPorts) => ({
    masqChain: "IP-MASQ-AGENT",
    toPorts,
    randomFully: true,
    noMasqAllReservedRanges: enableIPv6,
    enableIPv6,
  })),
);

function configInput(chance: Chance, kind: ConfigText["kind"]): Input {
  const amount = kind === "file" ? 1 : chance.less(4);
  const texts = Array.from({ length: amount }, () =>
    mutate(chance, chance.pick(corpus.configs), corpus.configs),
  );
  const files = texts.map((text, i) => ({ path: `/c/ip-masq-${i}`, bytes: Buffer.from(text, "latin1") }));
  const options = chance.pick(OPTIONS);
  return {
    reader: `decodeConfig (${kind})`,
    show: { files: texts, options },
    check: () => {
      const decoded = decodeConfig({ kind, files }, options);
      must(
        plain(decoded) === plain(decodeConfig({ kind, files }, options)),
        "the same bytes, another answer",
      );
      if (!decoded.ok) return checkProblems(decoded.problems, true);
      checkProblems(decoded.value.warnings, false);
      const { config } = decoded.value;
      must(config.resyncIntervalMs >= 100, "an interval below 100 ms");
      must(options.enableIPv6 || config.nonMasqueradeCIDRs.every(({ family }) => family === "IPv4"), "IPv6");
      if (config.nonMasqueradeCIDRs.length > 200) return;
      for (const family of enabledFamilies(options)) {
        const text = renderRestore(compileRuleset(family, config, options), options);
        must(/^\*nat\n:IP-MASQ-AGENT - \[0:0\]\n(-A IP-MASQ-AGENT .*\n)+COMMIT\n$/.test(text), text);
      }
    },
  };
}

/** `limit` may be about no place in a file: the number of the default entries. */
function checkProblems(problems: readonly Problem[], some: boolean): void {
  must(!some || problems.length > 0, "refused without a problem");
  for (const problem of problems) {
    const { path, message, line, column, code } = problem;
    must(message !== "" && path.startsWith("/c/"), `no path or message: ${plain(problem)}`);
    must(renderAdvice(problem).startsWith(`${path}:`), renderAdvice(problem));
    const placed = line !== undefined && column !== undefined && line >= 1 && column >= 1;
    must(placed || code === "limit", `no place: ${plain(problem)}`);
  }
}

function cidrInput(chance: Chance): Input {
  const text = mutate(chance, chance.pick(scalars), scalars);
  return {
    reader: "parseCidr",
    show: text,
    check: () => {
      const cidr = parseCidr(text);
      if (!isCidr(cidr)) return must(cidr.reason === "syntax" || cidr.network.includes("/"), plain(cidr));
      must(lastAddress(cidr) >= cidr.base && cidr.base >= 0n, plain(cidr));
      const again = parseCidr(formatCidr(cidr));
      must(isCidr(again) && again.base === cidr.base && again.bits === cidr.bits, formatCidr(cidr));
    },
  };
}

function durationInput(chance: Chance): Input {
  const text = mutate(chance, chance.pick(scalars), scalars);
  return {
    reader: "parseDuration",
    show: text,
    check: () => {
      const parsed = parseDuration(text);
      if (!parsed.ok) return must(parsed.message.startsWith("time: "), plain(parsed));
      must(BigInt.asIntN(64, parsed.nanoseconds) === parsed.nanoseconds, plain(parsed));
    },
  };
}

function portsInput(chance: Chance): Input {
  const text = mutate(chance, "1024-29999,32768-65535,5", scalars);
  return {
    reader: "parsePorts",
    show: text,
    check: () => {
      const parsed = parsePorts(text);
      if (!parsed.ok) return must(parsed.message !== "", "no message");
      must(
        parsed.ranges.every(({ first, last }) => first <= last),
        plain(parsed),
      );
    },
  };
}

/** Possible output of iptables -S: our rules, damaged. */
function listingInput(chance: Chance): Input {
  const text = mutate(chance, chance.pick(LISTED), LISTED).replaceAll("\n", " ");
  return {
    reader: "canonicalListing",
    show: text,
    check: () => {
      const canonical = canonicalListing("IPv4", text);
      // None of our comments has a backslash, so the reading of one does not matter.
      if (text.includes("\\")) return;
      must(canonicalListing("IPv4", canonical) === canonical, `not canonical: ${canonical}`);
    },
  };
}

function flagsInput(chance: Chance): Input {
  const args = [...chance.pick(corpus.flags)];
  for (let changes = chance.less(4); changes >= 0; changes--) {
    const at = chance.less(args.length + 1);
    args.splice(at, chance.less(2), mutate(chance, args[at] ?? chance.pick(words), words));
  }
  return {
    reader: "parseAgentFlags",
    show: args,
    check: () => {
      const parsed = parseAgentFlags(args);
      if (parsed.kind === "error") must(parsed.message !== "", "no message");
      if (parsed.kind === "flags") agentOptions(parsed.values);
    },
  };
}

const LISTED = [
  '-d 10.0.0.0/8 -m comment --comment "ip-masq-agent: local traffic" -j RETURN',
  "-p tcp -m comment --comment x -m statistic --mode random --probability 0.46929256292 -j MASQUERADE --to-ports 1024-29999 --random-fully",
  '-m comment --comment "say \\"hi\\"" -j MASQUERADE --to-ports 5000',
  "! -s 10.0.0.0/8 -o eth0 -m mark --mark 0x1/0x1 -j SNAT --to-source 10.0.0.1",
];

/** Values as text, for comparing and showing. */
function plain(value: unknown): string {
  return JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? `${part}n` : part));
}

function inputOf(chance: Chance): Input {
  const which = chance.less(11);
  if (which < 5) return configInput(chance, "file");
  const others = [cidrInput, durationInput, portsInput, flagsInput, listingInput];
  return others[which - 5]?.(chance) ?? configInput(chance, "directory");
}

/** The fault of the answer to an input; undefined if there is none. */
function failureOf({ check }: Input): string | undefined {
  const before = busyMs();
  try {
    check();
  } catch (error) {
    return error instanceof Broken ? error.message : ((error as Error).stack ?? String(error));
  }
  const took = busyMs() - before;
  return took > SLOW_MS ? `${took.toFixed(0)} ms` : undefined;
}

/** The processor time of this process, which does not depend on what else the machine does. */
function busyMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

let failures = 0;

/** How long each large input takes. */
async function tryLarge(): Promise<void> {
  for (const { name, limitMs, run } of LARGE) {
    const before = busyMs();
    await run();
    const took = busyMs() - before;
    if (took <= limitMs) continue;
    failures++;
    console.error(`${name}: ${took.toFixed(0)} ms, and ${limitMs} are allowed`);
  }
}

const startedAt = performance.now();
for (let i = from; i < from + count; i++) {
  const input = inputOf(createChance(seed * 1_000_003 + i));
  const failure = failureOf(input);
  if (failure !== undefined && ++failures <= FAILURES_SHOWN) {
    const shown = plain(input.show);
    console.error(
      `input ${i} of seed ${seed}, ${input.reader}: ${failure.slice(0, 2_000)}\n  ${shown.slice(0, 2_000)}`,
    );
  }
}
const rate = (count / (performance.now() - startedAt)) * 1_000;
void tryLarge().then(() => {
  console.log(
    `${count} inputs and ${LARGE.length} large ones, ${failures} failures, ${rate.toFixed(0)} inputs per second`,
  );
  process.exitCode = failures === 0 ? 0 : 1;
});
