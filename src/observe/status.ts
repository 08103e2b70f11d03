/** The state of a running agent, as JSON at /status: values only, so that a test needs no server. */

import type { Leaving } from "../agent/output-addresses.ts";
import { counted } from "../text/plural.ts";

/** Times are RFC 3339 texts in UTC; null means not yet. */
export interface Status {
  readonly version: string;
  readonly startedAt: string;
  readonly backend: { readonly name: string; readonly why: string };
  readonly config: ConfigStatus;
  /** With --config-map: the way of the text that counts, and whether the API server is followed now, or why not. */
  readonly api?: { readonly source: string | null; readonly up: boolean; readonly why: string | null };
  /** By group of rules that are programmed together: `IPv4`, `IPv6`, `IPv4 and IPv6`. */
  readonly rules: Readonly<Record<string, RulesStatus>>;
  readonly lastPass: PassStatus | null;
  /** The addresses that masqueraded packets leave with, by family; absent where the configuration names none of a family. */
  readonly leaving?: Readonly<Record<string, LeavingStatus>>;
  /** Entries that no new connection has asked for, for a week or longer, 100 at most; absent where there are none, or nothing counts them. */
  readonly neverAsked?: readonly NeverAsked[];
  /** The number of differences that the agent repaired, and the processes that made them, as far as they are known. */
  readonly healed: { readonly total: number; readonly byProcess: Readonly<Record<string, number>> };
  /** The last events, newest first; absent in the status of an older agent. */
  readonly recent?: { readonly passes: readonly PassStatus[]; readonly healed: readonly Healed[] };
}

export interface NeverAsked {
  readonly cidr: string;
  readonly since: string;
}

export interface LeavingStatus {
  /** The names of links by their addresses, in numeric order; none: the kernel chooses the address. */
  readonly addresses: Readonly<Record<string, string>>;
  /** With several: `pod`, one for each pod, or `flow`, any. */
  readonly by: string;
}

/** A difference that another process made, and that the agent repaired. */
export interface Healed {
  readonly at: string;
  /** The place that differed, such as `rule 2 of IP-MASQ-AGENT`. */
  readonly where: string;
  readonly kind: "missing" | "extra" | "changed";
  /** Null: the process is not known. */
  readonly culprit: { readonly process: string; readonly pid: number } | null;
}

/** The result of reading a configuration. */
export type ReadState = "not read yet" | "accepted" | "refused" | "unreadable";

/** The configuration read last, and the one in force. The status of an older agent lacks the optional fields. */
export interface ConfigStatus {
  /** The source of the configuration read last: the files' names, or a note that there are none. */
  readonly source: string;
  /** The digest of the configuration read last, in hexadecimal digits; null if it is unreadable. */
  readonly hash: string | null;
  readonly state?: ReadState;
  /** Whether the state is `accepted`. If not, the previous configuration, if any, stays in force. */
  readonly valid: boolean;
  readonly problems: readonly string[];
  /** When this text was first read. */
  readonly loadedAt: string | null;
  /** The configuration whose rules the last pass has seen in force, and for which families; null: for none. */
  readonly inForce?: ConfigInForce | null;
}

export interface ConfigInForce {
  readonly source: string;
  readonly hash: string;
  readonly families: readonly string[];
}

export interface RulesStatus {
  /** Whether the last pass has seen them in force. */
  readonly inForce: boolean;
  /** The number of their entries, or of those they should have. */
  readonly cidrs: number;
  /** Whose packets they are about; absent where they are about all. */
  readonly scope?: ScopeStatus;
  readonly lastChangeAt: string | null;
  /** When a pass last checked them. */
  readonly lookedAt?: string;
}

export interface ScopeStatus {
  /** The number of entries about sources. */
  readonly sources: number;
  /** Names of which one matches the link that a packet leaves through; none: any link. */
  readonly interfaces: readonly string[];
}

export interface PassStatus {
  readonly at: string;
  readonly durationMs: number;
  /** Why it ran, such as `start`, `resync`, `config`, `ruleset`. */
  readonly reason: string;
  /** The number of differences. */
  readonly drift: number;
  /** The number of steps that changed something. */
  readonly applied: number;
  readonly errors: readonly string[];
}

/**
 * The state of rules in words. A pass that ends before it checks them, as with `--watch=false` and a bad configuration,
 * does not know.
 */
export function rulesState({ inForce, lookedAt }: RulesStatus, lastPass: PassStatus | null): string {
  if (inForce) return "in force";
  return lookedAt === undefined || lookedAt === lastPass?.at
    ? "not in force"
    : `not checked since ${lookedAt}`;
}

/** Whose packets rules are about, in words after the number of their CIDRs. */
export function scopeText({ scope }: Pick<RulesStatus, "scope">): string {
  const { sources = 0, interfaces = [] } = scope ?? {};
  const from = sources === 0 ? "" : `, ${counted(sources, "source")}`;
  return interfaces.length === 0 ? from : `${from}, through ${interfaces.join(" or ")}`;
}

/** Instead of a digest, where nothing was seen in force: whether a pass has checked at all. */
export function nothingInForce({ rules, lastPass }: Status): "nothing" | "not known" {
  const unseen = Object.values(rules).some(
    ({ lookedAt }) => lookedAt !== undefined && lookedAt !== lastPass?.at,
  );
  return unseen ? "not known" : "nothing";
}

/** A report about a pass; `at` is in milliseconds since 1970. */
export interface PassReport extends Omit<PassStatus, "at"> {
  readonly at: number;
  /** The failures, by kind. */
  readonly failures: readonly string[];
  readonly backend: Status["backend"];
  /** The configuration read last. */
  readonly config: Pick<ConfigStatus, "source" | "hash" | "problems"> & {
    readonly state: ReadState;
    /** Whether this was its first reading. */
    readonly isNew: boolean;
  };
  /** The last good configuration, for which `rules` and `families` are; null before the first. */
  readonly current: Pick<ConfigInForce, "source" | "hash"> | null;
  readonly rules: readonly {
    readonly label: string;
    readonly inForce: boolean;
    readonly cidrs: number;
    readonly scope?: ScopeStatus;
    /** Whether the pass programmed something. */
    readonly changed: boolean;
  }[];
  readonly families: readonly {
    readonly family: string;
    readonly inForce: boolean;
    readonly cidrs: number;
    readonly intervals: number;
  }[];
  /** The node's addresses in use, for each family that the configuration names addresses of. */
  readonly leaving: readonly Leaving[];
  /** Differences that other processes had made and this pass repaired, by process. */
  readonly healed: readonly { readonly kind: string; readonly process: string; readonly count: number }[];
}

/** The number of processes told apart; the rest count under one name. */
const PROCESSES_AT_MOST = 20;
const OTHERS = "others";

/** The status of an agent that has just started. */
export function initialStatus(version: string, backend: Status["backend"], startedAt: number): Status {
  return {
    version,
    startedAt: timeText(startedAt),
    backend,
    config: {
      source: "not read yet",
      hash: null,
      state: "not read yet",
      valid: false,
      problems: [],
      loadedAt: null,
      inForce: null,
    },
    rules: {},
    lastPass: null,
    healed: { total: 0, byProcess: {} },
  };
}

/** The status after one more pass. */
export function statusAfter(status: Status, pass: PassReport): Status {
  const at = timeText(pass.at);
  const { durationMs, reason, drift, applied, errors, backend, current } = pass;
  const { source, hash, state, problems, isNew } = pass.config;
  const families = pass.families.flatMap(({ family, inForce }) => (inForce ? [family] : []));
  const { leaving: _, ...before } = status;
  return {
    ...before,
    backend,
    config: {
      source,
      hash,
      state,
      valid: state === "accepted",
      problems,
      loadedAt: isNew ? at : status.config.loadedAt,
      inForce: current === null || families.length === 0 ? null : { ...current, families },
    },
    rules: {
      ...unseenRules(status, backend),
      ...Object.fromEntries(
        pass.rules.map(({ label, inForce, cidrs, scope, changed }) => [
          label,
          {
            inForce,
            cidrs,
            ...(scope === undefined ? {} : { scope }),
            lastChangeAt: changed ? at : (status.rules[label]?.lastChangeAt ?? null),
            lookedAt: at,
          },
        ]),
      ),
    },
    lastPass: { at, durationMs, reason, drift, applied, errors },
    ...leavingStatus(pass.leaving),
    healed: pass.healed.reduce(addHealed, status.healed),
  };
}

function leavingStatus(leaving: PassReport["leaving"]): Pick<Status, "leaving"> {
  if (leaving.length === 0) return {};
  const byFamily = leaving.map(({ family, addresses, by }) => {
    const links = Object.fromEntries(addresses.map(({ address, link }) => [address, link]));
    return [family, { addresses: links, by }] as const;
  });
  return { leaving: Object.fromEntries(byFamily) };
}

/**
 * The last known state of rules, for a pass that has not checked them. A different backend has different groups of
 * them.
 */
function unseenRules(status: Status, backend: Status["backend"]): Status["rules"] {
  if (status.backend.name !== backend.name) return {};
  return Object.fromEntries(
    Object.entries(status.rules).map(([label, one]) => [label, { ...one, inForce: false }]),
  );
}

function addHealed(
  { total, byProcess }: Status["healed"],
  { process, count }: PassReport["healed"][number],
): Status["healed"] {
  const isKnown = Object.hasOwn(byProcess, process);
  const name = isKnown || Object.keys(byProcess).length < PROCESSES_AT_MOST ? process : OTHERS;
  const before = Object.hasOwn(byProcess, name) ? (byProcess[name] ?? 0) : 0;
  return { total: total + count, byProcess: { ...byProcess, [name]: before + count } };
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
