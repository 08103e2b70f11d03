/** The rules that the flags and the configuration call for. */
import type { Cidr } from "./cidr.ts";
import type { ConfigText, MasqConfig } from "./config.ts";
import type { Problem, ProblemPlace } from "./problem.ts";
import { compileRuleset, type NodeAddresses, type Options, type Ruleset } from "./ruleset.ts";

export interface Desired {
  readonly options: Options;
  /** The files that were read; none where there is no configuration, which means the defaults. */
  readonly text: ConfigText;
  /** The files' names, or a note that there are none. */
  readonly source: string;
  /** Not for use where there are problems; then there are no rulesets either. */
  readonly config: MasqConfig;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** The addresses of the node that the rulesets are for; absent: it is not known. */
  readonly own?: NodeAddresses;
  /** One for each enabled family. */
  readonly rulesets: readonly Ruleset[];
  /**
   * The place of an entry of the rulesets: `path` is "built-in defaults" for entries that no file gives. Undefined for
   * link-local, which the agent adds.
   */
  readonly placeOf: (cidr: Cidr) => ProblemPlace | undefined;
}

/** The rules that the same configuration calls for on a node with these addresses. */
export function onNode(desired: Desired, own: NodeAddresses): Desired {
  const { rulesets, config, options } = desired;
  return {
    ...desired,
    own,
    rulesets: rulesets.map(({ family }) => compileRuleset(family, config, options, own)),
  };
}
