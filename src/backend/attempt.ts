/** Turns failures of tools and of the kernel into facts. */

import { causeOf, type Fact } from "../system/fact.ts";
import { isFailure } from "./driver.ts";

/** The answer of `ask`, or the failure of a tool or of the kernel. */
export async function attempt<T>(what: string, ask: () => Promise<T>): Promise<Fact<T>> {
  try {
    return { value: await ask() };
  } catch (error) {
    if (isFailure(error)) return { unknown: what, why: error.message, ...causeOf(error) };
    throw error;
  }
}
