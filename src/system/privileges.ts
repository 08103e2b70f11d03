/** The privileges of this process; its tools have no more. */

import { readFileSync } from "node:fs";
import { type Privileges, parseEffective } from "./capabilities.ts";
import { type Fact, known } from "./fact.ts";

/** The process' effective capabilities, or those of another set. */
export function readCapabilities(set: "CapEff" | "CapAmb" = "CapEff"): Fact<bigint> {
  const what = "capabilities";
  try {
    const effective = parseEffective(readFileSync("/proc/self/status", "utf8"), set);
    if (effective !== undefined) return { value: effective };
    return { unknown: what, why: "/proc/self/status does not say" };
  } catch (error) {
    return { unknown: what, why: (error as Error).message };
  }
}

export function readPrivileges(): Privileges {
  return {
    root: process.geteuid?.() === 0,
    effective: known(readCapabilities()),
    ambient: known(readCapabilities("CapAmb")),
  };
}
