/** Reads what may not exist, or not be readable for us, for `doctor`: the reason is part of the answer. */

import { readFileSync } from "node:fs";
import { CommandError, isForbidden } from "./command-error.ts";

/** A file's text; undefined if there is none. */
export function readText(path: string, what: string): Fact<string | undefined> {
  return tryRead(what, () => readFileSync(path, "utf8"));
}

/** The result of `look`; undefined if the system says that there is no such thing. */
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

/** Names a cause only where a privilege or a package is the remedy. */
export function causeOf(error: unknown): { readonly cause?: Cause } {
  const { code, stderr = "" } = error as { readonly code?: string; readonly stderr?: string };
  if (code === "ENOENT" && error instanceof CommandError) return { cause: "no tool" };
  if (code === "EPERM" || code === "EACCES" || isForbidden(stderr)) return { cause: "permission" };
  return {};
}

/** A fact that follows from another, if that is known. */
export function derive<T, U>(fact: Fact<T>, make: (value: T) => U): Fact<U> {
  return "value" in fact ? { value: make(fact.value) } : fact;
}

/** The cause of a failed read, where it implies a remedy. */
export type Cause = "permission" | "no tool";

/** A fact, or the check that was not possible and why; `minor` if a healthy node may lack it. */
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
