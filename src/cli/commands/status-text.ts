/** A status as lines for people. */

import { describeLeaving } from "../../agent/output-addresses.ts";
import {
  type LeavingStatus,
  nothingInForce,
  type PassStatus,
  type RulesStatus,
  rulesState,
  type Status,
  scopeText,
} from "../../observe/status.ts";
import type { Colours } from "../../text/colours.ts";
import { counted } from "../../text/plural.ts";

/** A name and its text, line by line. */
export function renderStatus(status: Status, colours: Colours): string {
  const said = plain(status);
  const { version, startedAt, backend, config, api, rules, leaving = {}, lastPass, healed } = said;
  const problems = [...config.problems, ...(lastPass?.errors ?? [])].filter(
    (one, i, all) => all.indexOf(one) === i,
  );
  const state = config.state ?? (config.valid ? "accepted" : "refused");
  const configState = config.valid ? colours.green(state) : colours.red(state);
  const rows: (readonly [string, string])[] = [
    ["agent", `${version}, since ${startedAt}`],
    ["backend", `${backend.name} (${backend.why})`],
    ["config", config.source],
    ...(api === undefined ? [] : [["api", renderApi(api, colours)] as const]),
    ...(config.inForce === undefined ? [] : [["in force", renderInForce(said, colours)] as const]),
    [
      "read last",
      config.hash === null
        ? `nothing (${configState})`
        : `${config.hash} (${configState}) at ${config.loadedAt}`,
    ],
    ...Object.entries(rules).map(
      ([label, one]) => ["rules", `${label}: ${renderRules(one, lastPass, colours)}`] as const,
    ),
    ...Object.entries(leaving).map(
      ([family, one]) => ["leaving", `${family}: ${renderLeaving(one)}`] as const,
    ),
    ["last pass", lastPass === null ? "none yet" : renderPass(lastPass)],
    ["healed", renderHealed(healed)],
    ...problems.map((problem) => ["problem", colours.red(problem)] as const),
  ];
  return rows.map(([name, text]) => `${colours.bold(name.padEnd(10))} ${text}\n`).join("");
}

function renderApi({ up, why }: NonNullable<Status["api"]>, colours: Colours): string {
  return up ? colours.green("followed") : colours.red(`not followed${why === null ? "" : `: ${why}`}`);
}

function renderInForce(status: Status, colours: Colours): string {
  const { inForce, source } = status.config;
  if (!inForce) return colours.red(nothingInForce(status));
  const from = inForce.source === source ? "" : ` of ${inForce.source}`;
  return `${inForce.hash}${from} (${inForce.families.join(", ")})`;
}

function renderRules(one: RulesStatus, lastPass: PassStatus | null, colours: Colours): string {
  const { inForce, cidrs, lastChangeAt } = one;
  const words = rulesState(one, lastPass);
  const state = inForce ? colours.green(words) : colours.red(words);
  return `${counted(cidrs, "CIDR")}${scopeText(one)}, ${state}${lastChangeAt === null ? "" : `, changed at ${lastChangeAt}`}`;
}

function renderLeaving({ addresses, by }: LeavingStatus): string {
  const each = Object.entries(addresses).map(([address, link]) => ({ address, link }));
  return each.length === 0
    ? "no address of the node is in outputAddresses: MASQUERADE chooses the address"
    : `as ${describeLeaving(each, by)}`;
}

function renderPass({ at, durationMs, reason, drift, applied, errors }: PassStatus): string {
  const what =
    errors.length > 0
      ? "failed"
      : applied === 0
        ? "nothing to do"
        : `${counted(drift, "difference")} repaired`;
  return `${at} (${reason}), ${Number(durationMs).toFixed(1)} ms: ${what}`;
}

function renderHealed({ total, byProcess }: Status["healed"]): string {
  const parts = Object.entries(byProcess).map(([name, count]) => `${name} ${count}`);
  return `${total}${parts.length === 0 ? "" : ` (${parts.join(", ")})`}`;
}

/** Text of another process must not reach the terminal unchanged. */
function plain<T>(value: T): T {
  if (typeof value === "string") return value.replaceAll(/\p{Cc}/gu, "?") as T;
  if (Array.isArray(value)) return value.map(plain) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [plain(key), plain(one)])) as T;
}
