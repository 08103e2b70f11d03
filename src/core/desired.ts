/** What the flags and the configuration ask for. */
import type { Cidr } from "./cidr.ts";
import type { ConfigText, MasqConfig } from "./config.ts";
import type { Problem, ProblemPlace } from "./problem.ts";
import type { Options, Ruleset } from "./ruleset.ts";

export interface Desired {
  readonly options: Options;
  /** What was read; no files where there is no configuration, which means the defaults. */
  readonly text: ConfigText;
  /** The files' names, or that there are none. */
  readonly source: string;
  /** Not to be used where there are problems; then there are no rulesets either. */
  readonly config: MasqConfig;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** One for each enabled family. */
  readonly rulesets: readonly Ruleset[];
  /**
   * Where an entry of the rulesets stands: `path` is "built-in defaults" for those that no file gives. Undefined for
   * link-local, which nobody wrote.
   */
  readonly placeOf: (cidr: Cidr) => ProblemPlace | undefined;
}
