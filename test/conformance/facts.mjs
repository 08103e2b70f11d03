/** Which recorded facts `facts.test.ts` shows in memory, and which `make test` replays. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const directory = join(import.meta.dirname, "cases");

/** All facts; README.md tells their members. */
export const FACTS = readdirSync(directory)
  .sort()
  .flatMap((name) => readFileSync(join(directory, name), "utf8").trimEnd().split("\n"))
  .map((line) => JSON.parse(line));

/** Areas in which an agent that watches may act otherwise: the loop, the log, reloads. In the others it only reads. */
const WATCHED = ["resync", "reload", "drift", "restart", "signals", "file", "tools", "klog", "legacy"];
/** Areas about tools and log files. */
const OUTSIDE = ["chain", "klog", "legacy"];
/** The tools refuse these names of chains, which the model of a nat table does not. */
const REFUSED = ["flags-str-eats-flag", "flags-str-quoted"];

/** Whether a fact is about no more than a command line and a file. */
function isSimple(fact) {
  return ["setup", "steps", "shims", "missingTools"].every((member) => !(member in fact));
}

/** Whether one pass in memory shows the fact. */
export function isInMemory(fact) {
  return isSimple(fact) && !OUTSIDE.includes(fact.area) && !REFUSED.includes(fact.id);
}

/**
 * A pattern of the ids that `make test` replays with the watching agent, or with the other. In the areas in which the two may
 * differ they take turns; of what memory shows, each sixteenth is replayed. `make prove` replays all with both.
 */
export function replayed(watches) {
  const shown = FACTS.filter(isInMemory).filter((_, i) => i % 16 === 0);
  const replayed = [...FACTS.filter((fact) => !isInMemory(fact)), ...shown];
  const inTurn = replayed.filter((fact, i) => watches === (i % 2 === 0 && WATCHED.includes(fact.area)));
  return `^(${inTurn.map(({ id }) => id).join("|")})$`;
}
