/** Reads a status, which may be that of an agent of a different version. */
import type { Status } from "./status.ts";

/** Reads the reply of another agent, perhaps of a different version: undefined if it is not a status. */
export function parseStatus(text: string): Status | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return hasShape(value, SHAPE) ? (value as Status) : undefined;
}

/**
 * A type as `typeof` names it, the content of an object (`*`: each value, also of a list; `?`: may be absent), a list of texts, or one
 * of these or null.
 */
type Shape = string | { readonly [key: string]: Shape } | readonly [orNull: Shape];

const PASS: Shape = {
  at: "string",
  durationMs: "number",
  reason: "string",
  drift: "number",
  applied: "number",
  errors: "texts",
};

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
  rules: {
    "*": {
      inForce: "boolean",
      cidrs: "number",
      "scope?": { sources: "number", interfaces: "texts" },
      lastChangeAt: ["string"],
      "lookedAt?": "string",
    },
  },
  lastPass: [PASS],
  "leaving?": { "*": { addresses: { "*": "string" }, by: "string" } },
  "neverAsked?": { "*": { cidr: "string", since: "string" } },
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
