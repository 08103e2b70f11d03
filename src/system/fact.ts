/** Reading what may not be there, or not for us, for `doctor`: the reason is part of the answer. */
import { readFileSync } from "node:fs";
import { isFailure } from "../backend/driver.ts";
import type { Cause, Fact } from "../doctor/facts.ts";
import { CommandError, isForbidden } from "./exec.ts";

/** A file's text; undefined if there is none. */
export function readText(path: string, what: string): Fact<string | undefined> {
  return learn(what, () => readFileSync(path, "utf8"));
}

/** What `look` finds; undefined if the system says that there is no such thing. */
export function learn<T>(what: string, look: () => T): Fact<T | undefined> {
  try {
    return { value: look() };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    if (code === "ENOENT" || code === "ENOTDIR") return { value: undefined };
    return { unknown: what, why: message, ...causeOf(error) };
  }
}

/** What `ask` answers, or the failure of a tool or of the kernel. */
export async function attempt<T>(what: string, ask: () => Promise<T>): Promise<Fact<T>> {
  try {
    return { value: await ask() };
  } catch (error) {
    if (isFailure(error)) return { unknown: what, why: error.message, ...causeOf(error) };
    throw error;
  }
}

/** Only what a privilege or a package would mend is said to be that. */
function causeOf(error: unknown): { readonly cause?: Cause } {
  const { code, stderr = "" } = error as { readonly code?: string; readonly stderr?: string };
  if (code === "ENOENT" && error instanceof CommandError) return { cause: "no tool" };
  if (code === "EPERM" || code === "EACCES" || isForbidden(stderr)) return { cause: "permission" };
  return {};
}

/** What follows from a fact, if it is known. */
export function derive<T, U>(fact: Fact<T>, make: (value: T) => U): Fact<U> {
  return "value" in fact ? { value: make(fact.value) } : fact;
}
