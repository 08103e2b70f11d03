/** What a running agent says of itself, as JSON at /status: values only, so that a test needs no server. */

/** Times are RFC 3339 texts in UTC; null means not yet. */
export interface Status {
  readonly version: string;
  readonly startedAt: string;
  readonly backend: { readonly name: string; readonly why: string };
  readonly config: ConfigStatus;
  /** By what is programmed together: `IPv4`, `IPv6`, `IPv4 and IPv6`. */
  readonly rules: Readonly<Record<string, RulesStatus>>;
  readonly lastPass: PassStatus | null;
  /** How many differences were put right that others had made, and whose they were, as far as that is known. */
  readonly healed: { readonly total: number; readonly byProcess: Readonly<Record<string, number>> };
}

/** What became of a configuration that was read. */
export type ReadState = "not read yet" | "accepted" | "refused" | "unreadable";

/** What was read last, and what is in force. Fields that may be absent are so in the status of an older agent. */
export interface ConfigStatus {
  /** Of what was read last: the files' names, or that there are none. */
  readonly source: string;
  /** The digest of what was read last, in hexadecimal digits; null if it is unreadable. */
  readonly hash: string | null;
  readonly state?: ReadState;
  /** Whether the state is `accepted`. If not, the one before stays in force, if there was one. */
  readonly valid: boolean;
  readonly problems: readonly string[];
  /** When its text was read for the first time. */
  readonly loadedAt: string | null;
  /** The configuration whose rules the last pass has seen in force, and of which families; null: of none. */
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
  /** How many entries they have, or should have. */
  readonly cidrs: number;
  readonly lastChangeAt: string | null;
  /** When a pass last looked at them. */
  readonly lookedAt?: string;
}

export interface PassStatus {
  readonly at: string;
  readonly durationMs: number;
  /** Why it ran, such as `start`, `resync`, `config`, `ruleset`. */
  readonly reason: string;
  /** How many differences there were. */
  readonly drift: number;
  /** How many steps were taken to change something. */
  readonly applied: number;
  readonly errors: readonly string[];
}

/** The state of rules in words. A pass that ends before it looks, as with `--watch=false` and a bad configuration, knows nothing. */
export function rulesState({ inForce, lookedAt }: RulesStatus, lastPass: PassStatus | null): string {
  if (inForce) return "in force";
  return lookedAt === undefined || lookedAt === lastPass?.at
    ? "not in force"
    : `not looked at since ${lookedAt}`;
}

/** In the place of a digest, where nothing was seen in force: whether a pass has looked at all. */
export function nothingInForce({ rules, lastPass }: Status): "nothing" | "not known" {
  const unseen = Object.values(rules).some(
    ({ lookedAt }) => lookedAt !== undefined && lookedAt !== lastPass?.at,
  );
  return unseen ? "not known" : "nothing";
}

/** What a pass has to tell; `at` is in milliseconds since 1970. */
export interface PassReport extends Omit<PassStatus, "at"> {
  readonly at: number;
  /** What failed, by kind. */
  readonly failures: readonly string[];
  readonly backend: Status["backend"];
  /** What was read last. */
  readonly config: Pick<ConfigStatus, "source" | "hash" | "problems"> & {
    readonly state: ReadState;
    /** Whether it was read for the first time. */
    readonly isNew: boolean;
  };
  /** The last good configuration, for which `rules` and `families` are; null before the first. */
  readonly current: Pick<ConfigInForce, "source" | "hash"> | null;
  readonly rules: readonly {
    readonly label: string;
    readonly inForce: boolean;
    readonly cidrs: number;
    /** Whether something was programmed. */
    readonly changed: boolean;
  }[];
  readonly families: readonly {
    readonly family: string;
    readonly inForce: boolean;
    readonly cidrs: number;
    readonly intervals: number;
  }[];
  /** Differences that others had made and this pass has put right, by the process that made them. */
  readonly healed: readonly { readonly kind: string; readonly process: string; readonly count: number }[];
}

/** As many processes are told apart; what others did counts under one name. */
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
  return {
    ...status,
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
        pass.rules.map(({ label, inForce, cidrs, changed }) => [
          label,
          {
            inForce,
            cidrs,
            lastChangeAt: changed ? at : (status.rules[label]?.lastChangeAt ?? null),
            lookedAt: at,
          },
        ]),
      ),
    },
    lastPass: { at, durationMs, reason, drift, applied, errors },
    healed: pass.healed.reduce(addHealed, status.healed),
  };
}

/** What was known of rules, for a pass that has not looked at them. Another backend has other groups of them. */
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

/** Reads what another agent said, perhaps of another version: undefined if it is no status. */
export function parseStatus(text: string): Status | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return hasShape(value, SHAPE) ? (value as Status) : undefined;
}

/** A type as `typeof` names it, what is inside an object (`*`: each value; `?`: may be absent), a list of texts, or one of these or null. */
type Shape = string | { readonly [key: string]: Shape } | readonly [orNull: Shape];

const SHAPE: Shape = {
  version: "string",
  startedAt: "string",
  backend: { name: "string", why: "string" },
  config: {
    source: "string",
    hash: ["string"],
    "state?": "string",
    valid: "boolean",
    problems: "texts",
    loadedAt: ["string"],
    "inForce?": [{ source: "string", hash: "string", families: "texts" }],
  },
  rules: { "*": { inForce: "boolean", cidrs: "number", lastChangeAt: ["string"], "lookedAt?": "string" } },
  lastPass: [
    {
      at: "string",
      durationMs: "number",
      reason: "string",
      drift: "number",
      applied: "number",
      errors: "texts",
    },
  ],
  healed: { total: "number", byProcess: { "*": "number" } },
};

function hasShape(value: unknown, shape: Shape): boolean {
  if (typeof shape === "string") {
    if (shape !== "texts") return typeof value === shape;
    return Array.isArray(value) && value.every((one) => typeof one === "string");
  }
  if (Array.isArray(shape)) return value === null || hasShape(value, shape[0]);
  if (typeof value !== "object" || value === null) return false;
  const members = value as Record<string, unknown>;
  return Object.entries(shape).every(([key, inner]) => {
    if (key === "*") return Object.values(members).every((one) => hasShape(one, inner));
    const value = members[key.replace("?", "")];
    return (key.endsWith("?") && value === undefined) || hasShape(value, inner);
  });
}
