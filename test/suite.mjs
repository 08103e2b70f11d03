// All tests, with one closing line that adds up their counts.
// usage: node test/suite.mjs [--prove]
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { replayed } from "./conformance/facts.mjs";

const prove = process.argv.includes("--prove");
const AGENT = "node dist/ip-masq-agent.cjs";
const VITEST = ["npx", "vitest", "run", "--reporter=default", "--reporter=json"];
const REPLAY = ["python3", "test/conformance/replay.py"];
const root = process.getuid?.() === 0;
mkdirSync("build", { recursive: true });
// As in vitest.config.ts, for the agents of replay.py.
delete process.env.NODE_EXTRA_CA_CERTS;

/**
 * Each stage's command, and how its counts are read from what it printed. Stages of one `round` run at the same time: those
 * that need one core, and those that mostly wait.
 */
const stages = [
  { round: 1, name: "check", argv: ["npm", "run", "--silent", "check"], counts: oneTest },
  {
    round: 1,
    name: "fuzz",
    argv: [
      "node",
      "scripts/run-ts.mjs",
      "test/fuzz/fuzz.ts",
      "--count",
      prove ? "1200000" : "30000",
      "--seed",
      "1",
    ],
    counts: oneTest,
  },
  {
    round: 2,
    name: "units and kernel",
    ...vitest("vitest"),
    env: prove
      ? {
          KILLS: "200",
          CHANGES: "200",
          DOUBLES: "2000",
          DISTURBANCES: "all",
          FLOOD_MS: "30000",
          HTTP_FLOOD_MS: "30000",
          NETLINK_MESSAGES: "1000000",
          LONG_CHAIN: "50000",
          LENGTH: "all",
          MOVES: "12",
          MOVE_KILLS: "30",
          STORM_MS: "30000",
          ATOMIC_CHANGES: "30",
          ATOMIC_FLOWS: "30000",
          PACKETS_CONFIGS: "2000",
          PACKETS_CHANGES: "100",
          PACKETS_FLOWS: "300000",
          EXPLAINED: "200",
          VERDICTS: "150",
          CONNECTIONS: "200000",
          WHO_FLOWS: "10000",
          WHO_WITHOUT_TO: "10000",
          LISTS: "1000",
          FORGET_FLOWS: "1000",
          EDITS: "100000",
          CHURN: "300",
        }
      : {},
  },
  {
    round: 3,
    name: "recorded facts (--watch=false)",
    argv: [
      ...REPLAY,
      "--agent",
      `${AGENT} --watch=false`,
      "--deviations",
      "test/conformance/deviations.json",
      ...(prove ? ["--slow"] : ["--filter", replayed(false)]),
    ],
    counts: lastLineCounts,
    needsRoot: true,
  },
  {
    round: 3,
    name: "recorded facts (default: --watch)",
    argv: [
      ...REPLAY,
      "--agent",
      AGENT,
      "--deviations",
      "test/conformance/deviations-watch.json",
      ...(prove ? [] : ["--filter", replayed(true)]),
    ],
    counts: lastLineCounts,
    needsRoot: true,
  },
  {
    round: 4,
    name: "recorded facts on Node 24 (--watch=false)",
    argv: [
      "sh",
      "-c",
      `exec ${REPLAY.join(" ")} --agent "$(scripts/node24.sh) dist/ip-masq-agent.cjs --watch=false" --deviations test/conformance/deviations.json`,
    ],
    counts: lastLineCounts,
    needsRoot: true,
    proveOnly: true,
  },
  {
    round: 5,
    name: "soak of half an hour",
    ...vitest("soak", "test/soak"),
    env: { SOAK_S: "1800" },
    needsRoot: true,
    proveOnly: true,
  },
  {
    round: 5,
    name: "differential against Go",
    argv: [
      "node",
      "scripts/run-ts.mjs",
      "test/oracle/differential.ts",
      "--count",
      prove ? "200000" : "20000",
      "--seed",
      "1",
    ],
    counts: oneTest,
    proveOnly: true,
  },
  {
    round: 6,
    name: "a flood of connections that takes a core",
    ...vitest("flood", "test/kernel/observe/http-flood"),
    env: { HTTP_FLOOD_MS: "30000", HTTP_FLOOD_RATES: "5000" },
    needsRoot: true,
    proveOnly: true,
  },
  {
    round: 7,
    name: "images and a release",
    ...vitest("image", "test/image", "test/package/rehearsal"),
    env: { IMAGE_TEST: "1" },
    needsRoot: true,
    proveOnly: true,
  },
];

const total = { passed: 0, failed: 0, skipped: 0 };
/** For each stage that failed, its name and what it says of its failures. */
const broken = [];
const wanted = stages.filter((stage) => prove || !stage.proveOnly);
for (const round of new Set(wanted.map((stage) => stage.round))) {
  const together = wanted.filter((stage) => stage.round === round);
  await Promise.all(together.map((stage) => judge(stage, together.length === 1)));
}
// Once more at the end: of a long output, often only the last lines are kept.
for (const { name, lines } of broken)
  console.log([`\nFAILED: ${name}`, ...lines.map((line) => `  ${line.slice(0, 240)}`)].join("\n"));
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(broken.length > 0 ? 1 : 0);

/** Runs a stage and adds its counts; one that is not alone is shown at its end. */
async function judge(stage, alone) {
  const head = `\n=== ${stage.name}\n`;
  if (stage.needsRoot && !root) {
    console.log(`${head}SKIPPED: needs root (network namespaces)`);
    total.skipped++;
    return;
  }
  if (alone) process.stdout.write(head);
  const startedAt = performance.now();
  const { code, output } = await run(stage, alone);
  const counts = stage.counts(code, output);
  // A stage that fails without naming a failed test has failed all the same.
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  for (const key of Object.keys(total)) total[key] += counts[key];
  if (counts.failed > 0)
    broken.push({ name: stage.name, lines: (stage.failures ?? lastFailures)(output).slice(0, 10) });
  if (!alone) process.stdout.write(head + output);
  console.log(`--- ${stage.name}: exit ${code}, ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}

/** Runs a stage's command; all that it prints is kept, and shown at once if it runs alone. */
function run({ argv, env = {} }, alone) {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0], argv.slice(1), {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    let output = "";
    for (const stream of ["stdout", "stderr"])
      child[stream].setEncoding("utf8").on("data", (chunk) => {
        output += chunk;
        if (alone) process[stream].write(chunk);
      });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

function oneTest(code) {
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

/** A stage of Vitest's, which writes its report into build/; one of an earlier run goes. */
function vitest(report, ...tests) {
  const file = `build/${report}.json`;
  rmSync(file, { force: true });
  return {
    argv: [...VITEST, `--outputFile.json=${file}`, ...tests],
    counts: () => vitestCounts(file),
    failures: () => vitestFailures(file),
  };
}

/** The counts of a report; the files that took longest are shown. */
function vitestCounts(file) {
  const report = vitestReport(file);
  if (report === undefined) return { passed: 0, failed: 1, skipped: 0 };
  const { numPassedTests, numFailedTests, numPendingTests } = report;
  const files = report.testResults.map(({ name, startTime, endTime }) => ({
    name: relative(".", name),
    seconds: (endTime - startTime) / 1000,
  }));
  const slowest = files.sort((a, b) => b.seconds - a.seconds).slice(0, 10);
  console.log(
    `slowest files: ${slowest.map(({ name, seconds }) => `${name} ${seconds.toFixed(0)} s`).join(", ")}`,
  );
  return { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests };
}

/** The report that this run has written; undefined if Vitest ended before that. */
function vitestReport(file) {
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}

/** A line for each test that failed, and for each file that could not be run. */
function vitestFailures(file) {
  const report = vitestReport(file);
  if (report === undefined) return [`${file} was not written: Vitest did not end by itself`];
  return report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const failed = assertionResults.filter((test) => test.status === "failed");
    const lines = failed.map((test) => `${test.fullName}: ${firstLine(test.failureMessages.join("\n"))}`);
    if (status === "failed" && failed.length === 0) lines.push(firstLine(message));
    return lines.map((line) => `${relative(".", name)}: ${line}`);
  });
}

function firstLine(text) {
  return stripVTControlCharacters(text).trim().split("\n")[0];
}

/** What replay.py says of each fact that failed; of other commands, the last lines. */
function lastFailures(output) {
  const lines = stripVTControlCharacters(output).trimEnd().split("\n");
  const facts = lines.flatMap((line, i) => {
    if (line.startsWith("FAIL ")) return `${line} ${(lines[i + 1] ?? "").trim()}`;
    return line.includes(": listed as an intended difference") ? line : [];
  });
  return facts.length > 0 ? facts : lines.slice(-10);
}

function lastLineCounts(_code, output) {
  const [, passed = 0, failed = 0, skipped = 0] =
    /(\d+) passed, (\d+) failed, (\d+) skipped\s*$/.exec(output) ?? [];
  return { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) };
}
