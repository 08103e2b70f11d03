/** Reading what may not be there, or not for us, for `doctor`: the reason is part of the answer. */

import { readFileSync } from "node:fs";
import { CommandError, isForbidden } from "./command-error.ts";

/** A file's text; undefined if there is none. */
export function readText(path: string, what: string): Fact<string | undefined> {
  return tryRead(what, () => readFileSync(path, "utf8"));
}

/** What `look` finds; undefined if the system says that there is no such thing. */
export function tryRead<T>(what: string, look: () => T): Fact<T | undefined> {
  try {
    return { value: look() };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    if (code === "ENOENT" || code === "ENOTDIR") return { value: undefined };
    return { unknown: what, why: message, ...causeOf(error) };
  }
}

/** Only what a privilege or a package would mend is said to be that. */
export function causeOf(error: unknown): { readonly cause?: Cause } {
  const { code, stderr = "" } = error as { readonly code?: string; readonly stderr?: string };
  if (code === "ENOENT" && error instanceof CommandError) return { cause: "no tool" };
  if (code === "EPERM" || code === "EACCES" || isForbidden(stderr)) return { cause: "permission" };
  return {};
}

/** What follows from a fact, if it is known. */
export function derive<T, U>(fact: Fact<T>, make: (value: T) => U): Fact<U> {
  return "value" in fact ? { value: make(fact.value) } : fact;
}

/** Why something could not be learnt, as far as that says what to do about it. */
export type Cause = "permission" | "no tool";

/** Something learnt, or what could not be checked and why; `minor` if a healthy node may lack it. */
export type Fact<T> =
  | { readonly value: T }
  | { readonly unknown: string; readonly why: string; readonly cause?: Cause; readonly minor?: boolean };

export function isKnown<T>(fact: Fact<T>): fact is { readonly value: T } {
  return "value" in fact;
}

/** The value of a fact, if it is known. */
export function known<T>(fact: Fact<T>): T | undefined {
  return isKnown(fact) ? fact.value : undefined;
}
