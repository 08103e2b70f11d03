/** The interface of a backend towards the program. */

import type { Chosen } from "../agent/choose.ts";
import type { Finds, Search } from "../backend/cleanup.ts";
import type { Driver, Traces } from "../backend/driver.ts";
import type { Plan } from "../backend/step.ts";
import type { Options, Ruleset } from "../core/ruleset.ts";
import type { OwnRules } from "../diff/live.ts";
import type { RuleChange } from "../diff/rule-changes.ts";
import type { OwnSide } from "../doctor/facts.ts";
import type { IptablesVariant } from "../iptables/tools.ts";
import type { ToolWorld } from "../iptables/world.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import type { NftablesWorld } from "../nftables/driver.ts";
import type { MemoryLimit } from "../system/memory-limit.ts";
import type { Run } from "../system/script.ts";

/** The inputs of drivers: the flags, and the world. */
export interface DriverWorld {
  readonly flags: {
    readonly masqChain: string;
    readonly iptablesMode: IptablesVariant | "auto";
    readonly ipsetThreshold: number;
  };
  readonly tools: ToolWorld;
  readonly nftables: NftablesWorld;
  readonly memoryLimit: MemoryLimit | undefined;
  readonly open: () => Promise<Nftables>;
  readonly signal: AbortSignal;
}

export interface Backend {
  readonly createDriver: (variant: IptablesVariant, world: DriverWorld) => Driver;
  /** The number of CIDRs that may be configured without a set, with this value of `--ipset-threshold`. */
  readonly setsAbove: (ipsetThreshold: number) => number;
  readonly traces: Traces;
  /** The variants in which an agent with this choice has no rules of this backend, but may find some. */
  readonly otherVariants: (
    choice: Chosen & { readonly isOwn: boolean },
    world: DriverWorld,
  ) => Promise<readonly IptablesVariant[]>;
  /** Warns about leftovers of an agent with different options on the same backend. */
  readonly warn: (variant: IptablesVariant, options: Options, world: DriverWorld) => Promise<void>;
  readonly commands: () => Promise<BackendCommands>;
}

/** The functions of a backend that only commands use. */
export interface BackendCommands {
  /** The rules that `run` would program on a node without our rules. */
  readonly render: (rulesets: readonly Ruleset[], flags: LayoutFlags) => Rendered;
  /** The rules that differ between two configurations. */
  readonly compare: (before: Ruleset, after: Ruleset, flags: LayoutFlags) => readonly RuleChange[];
  /** The rules in force on this node, and the steps that would bring them in line. Throws a failure. */
  readonly current: (
    rulesets: readonly Ruleset[],
    look: Pick<LayoutFlags, "ipset-threshold"> & { readonly variant: IptablesVariant },
    world: { readonly run: Run; readonly signal: AbortSignal },
  ) => Promise<OwnRules>;
  /** Finds what `cleanup` removes. Throws a failure. */
  readonly findOurs: (search: Search) => Promise<Finds>;
  readonly doctor: OwnSide;
}

/** The flags with a part in how rules are laid out. */
export interface LayoutFlags {
  readonly "iptables-mode": IptablesVariant | "auto";
  readonly "ipset-threshold": number;
}

/** Steps, and their assumptions about the node. */
export interface Rendered {
  readonly parts: readonly (Pick<Plan, "steps" | "refusal"> & { readonly label: string })[];
  readonly assumed: readonly string[];
}
