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

export interface ConfigStatus {
  /** The files' names, or that there are none. */
  readonly source: string;
  /** A digest of what was read, in hexadecimal digits. */
  readonly hash: string | null;
  /** False: the one before is still in force, if there was one. */
  readonly valid: boolean;
  readonly problems: readonly string[];
  readonly loadedAt: string | null;
}

export interface RulesStatus {
  readonly inForce: boolean;
  readonly cidrs: number;
  readonly lastChangeAt: string | null;
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

/** What a pass has to tell; `at` is in milliseconds since 1970. */
export interface PassReport extends Omit<PassStatus, "at"> {
  readonly at: number;
  /** What failed, by kind. */
  readonly failures: readonly string[];
  readonly config: Omit<ConfigStatus, "loadedAt"> & {
    /** Whether it was read for the first time. */
    readonly isNew: boolean;
  };
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
    config: { source: "not read yet", hash: null, valid: false, problems: [], loadedAt: null },
    rules: {},
    lastPass: null,
    healed: { total: 0, byProcess: {} },
  };
}

/** The status after one more pass. */
export function statusAfter(status: Status, pass: PassReport): Status {
  const at = timeText(pass.at);
  const { durationMs, reason, drift, applied, errors } = pass;
  const { source, hash, valid, problems, isNew } = pass.config;
  return {
    ...status,
    config: { source, hash, valid, problems, loadedAt: isNew ? at : status.config.loadedAt },
    rules: Object.fromEntries(
      pass.rules.map(({ label, inForce, cidrs, changed }) => [
        label,
        { inForce, cidrs, lastChangeAt: changed ? at : (status.rules[label]?.lastChangeAt ?? null) },
      ]),
    ),
    lastPass: { at, durationMs, reason, drift, applied, errors },
    healed: pass.healed.reduce(addHealed, status.healed),
  };
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

/** A type as `typeof` names it, what is inside an object (`*`: each value), a list of texts, or one of these or null. */
type Shape = string | { readonly [key: string]: Shape } | readonly [orNull: Shape];

const SHAPE: Shape = {
  version: "string",
  startedAt: "string",
  backend: { name: "string", why: "string" },
  config: { source: "string", hash: ["string"], valid: "boolean", problems: "texts", loadedAt: ["string"] },
  rules: { "*": { inForce: "boolean", cidrs: "number", lastChangeAt: ["string"] } },
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
  return Object.entries(shape).every(([key, inner]) =>
    key === "*" ? Object.values(members).every((one) => hasShape(one, inner)) : hasShape(members[key], inner),
  );
}
