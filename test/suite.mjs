// All tests, one after the other, with one closing line that adds up their counts.
// usage: node test/suite.mjs [--prove]
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";

const prove = process.argv.includes("--prove");
const AGENT = "node dist/ip-masq-agent.cjs";
const VITEST = ["npx", "vitest", "run", "--reporter=default", "--reporter=json"];
const REPLAY = ["python3", "test/conformance/replay.py"];
/** Areas of recorded facts in which an agent that watches may act otherwise: the loop, the log, reloads. In the others it only reads. */
const WATCHED = "^(resync|reload|drift|restart|signals|file|tools|klog|legacy)-";
const root = process.getuid?.() === 0;
mkdirSync("build", { recursive: true });

/** Each stage's command, and how its counts are read from what it printed. */
const stages = [
  { name: "check", argv: ["npm", "run", "--silent", "check"], counts: oneTest },
  { name: "package", argv: ["npx", "publint", "--strict"], counts: oneTest },
  {
    name: "units and kernel",
    argv: [...VITEST, "--outputFile.json=build/vitest.json"],
    env: prove
      ? {
          KILLS: "200",
          CHANGES: "200",
          DOUBLES: "2000",
          DISTURBANCES: "all",
          FLOOD_MS: "30000",
          HTTP_FLOOD_MS: "30000",
          HTTP_FLOOD_RATES: "150,1000,5000",
          NETLINK_MESSAGES: "1000000",
          LONG_CHAIN: "50000",
          LENGTH: "all",
          MOVES: "12",
          MOVE_KILLS: "30",
          STORM_MS: "30000",
          ATOMIC_CHANGES: "30",
          ATOMIC_FLOWS: "30000",
          EXPLAINED: "200",
          VERDICTS: "150",
          CONNECTIONS: "200000",
          WHO_FLOWS: "10000",
          WHO_WITHOUT_TO: "10000",
          LISTS: "1000",
        }
      : {},
    counts: () => vitestCounts("build/vitest.json"),
  },
  {
    name: "recorded facts (--watch=false)",
    argv: [
      ...REPLAY,
      "--agent",
      `${AGENT} --watch=false`,
      "--deviations",
      "test/conformance/deviations.json",
      ...(prove ? ["--slow"] : []),
    ],
    counts: lastLineCounts,
    needsRoot: true,
  },
  {
    name: "recorded facts (default: --watch)",
    argv: [
      ...REPLAY,
      "--agent",
      AGENT,
      "--deviations",
      "test/conformance/deviations-watch.json",
      ...(prove ? [] : ["--filter", WATCHED]),
    ],
    counts: lastLineCounts,
    needsRoot: true,
  },
  {
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
    name: "soak of half an hour",
    argv: [...VITEST, "--outputFile.json=build/soak.json", "test/soak"],
    env: { SOAK_S: "1800" },
    counts: () => vitestCounts("build/soak.json"),
    needsRoot: true,
    proveOnly: true,
  },
  {
    name: "fuzz",
    argv: [
      "node",
      "scripts/run-ts.mjs",
      "test/fuzz/fuzz.ts",
      "--count",
      prove ? "1200000" : "60000",
      "--seed",
      "1",
    ],
    counts: oneTest,
  },
  {
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
];

const total = { passed: 0, failed: 0, skipped: 0 };
const broken = [];
for (const stage of stages.filter((stage) => prove || !stage.proveOnly)) {
  console.log(`\n=== ${stage.name}`);
  if (stage.needsRoot && !root) {
    console.log("SKIPPED: needs root (network namespaces)");
    total.skipped++;
    continue;
  }
  const startedAt = performance.now();
  const { code, output } = await run(stage);
  const counts = stage.counts(code, output);
  // A stage that fails without naming a failed test has failed all the same.
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  for (const key of Object.keys(total)) total[key] += counts[key];
  if (counts.failed > 0) broken.push(stage.name);
  console.log(`--- ${stage.name}: exit ${code}, ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}
if (broken.length > 0) console.log(`\nFAILED: ${broken.join(", ")}`);
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(broken.length > 0 ? 1 : 0);

/** Runs a stage; its output is shown and kept. */
function run({ argv, env = {} }) {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0], argv.slice(1), {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...env },
    });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
      process.stdout.write(chunk);
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

function oneTest(code) {
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
}

function vitestCounts(file) {
  const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(file, "utf8"));
  return { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests };
}

function lastLineCounts(_code, output) {
  const [, passed = 0, failed = 0, skipped = 0] =
    /(\d+) passed, (\d+) failed, (\d+) skipped\s*$/.exec(output) ?? [];
  return { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) };
}
