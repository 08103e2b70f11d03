import { known } from "../../../system/fact.ts";
import type { Check } from "../../facts.ts";
import { warning } from "../../finding.ts";

export const autoBackend: Check = {
  name: "auto-backend",
  severity: "warning",
  looksFor: "--backend=auto, if it would choose a different backend now",
  remedy: "wait for the agent to move its rules, or restart it",
  run({ settings, auto }) {
    const wanted = known(auto);
    if (wanted === undefined || wanted.backend === settings.backend) return [];
    const { backend, why } = wanted;
    return [
      warning(
        `--backend=auto chooses ${backend} now, since ${why}, but the rules are those of ${settings.backend}`,
        "the agent moves within seconds, or at its resync interval with --watch=false; if it does not, see its log, and restart it",
      ),
    ];
  },
};
