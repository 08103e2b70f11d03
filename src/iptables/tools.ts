/** The programs of each variant of iptables. */

import { type Family, IPTABLES } from "../core/cidr.ts";
import { CommandError } from "../system/command-error.ts";

/** A variant that has tools with a name of its own. */
export type NamedVariant = "nft" | "legacy";

/** The iptables variant to run: the one in PATH as `iptables`, or one by its own name. */
export type IptablesVariant = "path" | NamedVariant;

/** The kernel interface of each variant, as the tools print it. */
export const KERNEL_INTERFACE = { nft: "nf_tables", legacy: "legacy" } as const satisfies Readonly<
  Record<NamedVariant, string>
>;

/** The kernel interface of a tool. */
export type KernelInterface = (typeof KERNEL_INTERFACE)[NamedVariant];

/** The names of a family's tools. */
export interface Tools {
  readonly command: string;
  readonly restore: string;
  readonly save: string;
}

/** The tools of a variant, by their names. */
export function toolsOf(variant: IptablesVariant, family: Family): Tools {
  const name = variant === "path" ? IPTABLES[family] : `${IPTABLES[family]}-${variant}`;
  return { command: name, restore: `${name}-restore`, save: `${name}-save` };
}

/** The kernel interface in a tool's answer to `--version`; tools before 1.8 know only the old one. */
export function kernelInterface(version: string): KernelInterface {
  return version.includes("(nf_tables)") ? "nf_tables" : "legacy";
}

/** The tools of a variant, and the answer of `ask`. */
export interface FoundTools<T> {
  readonly mode: IptablesVariant;
  readonly found: T;
}

/** The variant's tools by their own names, or the plain ones if they belong to the variant. Throws if neither are installed. */
export async function findTools<T extends { readonly variant: KernelInterface }>(
  variant: NamedVariant,
  family: Family,
  ask: (tools: Tools) => Promise<T>,
): Promise<FoundTools<T>> {
  try {
    return { mode: variant, found: await ask(toolsOf(variant, family)) };
  } catch (error) {
    if (!isNotInstalled(error)) throw error;
    const found = await ask(toolsOf("path", family));
    if (found.variant !== KERNEL_INTERFACE[variant]) throw error;
    return { mode: "path", found };
  }
}

/** Whether a tool is missing, rather than failing. */
export function isNotInstalled(error: unknown): error is CommandError {
  return error instanceof CommandError && error.code === "ENOENT";
}
