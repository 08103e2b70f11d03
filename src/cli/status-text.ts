/** A status as lines for people. */
import { counted } from "../core/plural.ts";
import type { PassStatus, Status } from "../observe/status.ts";
import type { Colours } from "./colours.ts";

/** A name and what there is to say, line by line. */
export function renderStatus(status: Status, colours: Colours): string {
  const { version, startedAt, backend, config, rules, lastPass, healed } = plain(status);
  const problems = [...config.problems, ...(lastPass?.errors ?? [])].filter(
    (one, i, all) => all.indexOf(one) === i,
  );
  const configState = config.valid ? colours.green("accepted") : colours.red("not accepted");
  const rows: (readonly [string, string])[] = [
    ["agent", `${version}, since ${startedAt}`],
    ["backend", `${backend.name} (${backend.why})`],
    [
      "config",
      `${config.source}: ${config.loadedAt === null ? "not read yet" : `${configState} at ${config.loadedAt}`}`,
    ],
    ...(config.hash === null ? [] : [["hash", config.hash] as const]),
    ...Object.entries(rules).map(
      ([label, one]) => ["rules", `${label}: ${renderRules(one, colours)}`] as const,
    ),
    ["last pass", lastPass === null ? "none yet" : renderPass(lastPass)],
    ["healed", renderHealed(healed)],
    ...problems.map((problem) => ["problem", colours.red(problem)] as const),
  ];
  return rows.map(([name, text]) => `${colours.bold(name.padEnd(10))} ${text}\n`).join("");
}

function renderRules({ inForce, cidrs, lastChangeAt }: Status["rules"][string], colours: Colours): string {
  const state = inForce ? colours.green("in force") : colours.red("not in force");
  return `${counted(cidrs, "CIDR")}, ${state}${lastChangeAt === null ? "" : `, changed at ${lastChangeAt}`}`;
}

function renderPass({ at, durationMs, reason, drift, applied, errors }: PassStatus): string {
  const what =
    errors.length > 0
      ? "failed"
      : applied === 0
        ? "nothing to do"
        : `${counted(drift, "difference")} put right`;
  return `${at} (${reason}), ${Number(durationMs).toFixed(1)} ms: ${what}`;
}

function renderHealed({ total, byProcess }: Status["healed"]): string {
  const parts = Object.entries(byProcess).map(([name, count]) => `${name} ${count}`);
  return `${total}${parts.length === 0 ? "" : ` (${parts.join(", ")})`}`;
}

/** What another process said must not reach the terminal as it is. */
function plain<T>(value: T): T {
  if (typeof value === "string") return value.replaceAll(/\p{Cc}/gu, "?") as T;
  if (Array.isArray(value)) return value.map(plain) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [plain(key), plain(one)])) as T;
}
