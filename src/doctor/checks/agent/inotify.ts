import { known } from "../../../system/fact.ts";
import type { Check } from "../../facts.ts";
import { warning } from "../../finding.ts";

/** From this share on. */
const FULL = 0.9;

/** Watching the configuration needs one instance and a few watches. */
export const inotify: Check = {
  name: "inotify",
  severity: "warning",
  looksFor: "more than 90 % of this user's inotify instances or watches in use",
  remedy: "raise the sysctl that the finding names",
  run({ inotify: fact }) {
    const found = known(fact);
    if (found === undefined) return [];
    const { instances, maxInstances, watches, maxWatches } = found;
    const rows = [
      { name: "fs.inotify.max_user_instances", used: instances, max: maxInstances },
      { name: "fs.inotify.max_user_watches", used: watches, max: maxWatches },
    ];
    return rows
      .filter(({ used, max }) => used / max > FULL)
      .map(({ name, used, max }) =>
        warning(
          `${used} of ${max} of ${name} are used: when none is left, no process, this agent included, can add another file watch`,
          `sysctl -w ${name}=${max * 4}`,
        ),
      );
  },
};
