import { known } from "../../../system/fact.ts";
import type { Check } from "../../facts.ts";
import { info } from "../../finding.ts";

export const versions: Check = {
  name: "versions",
  severity: "info",
  looksFor: "nothing: it names the versions that are installed, and the settings that doctor assumed",
  remedy: "nothing to do",
  run({ versions: all, settings }) {
    const tools = all.flatMap((fact) => known(fact) ?? []).map(({ name, version }) => `${name} ${version}`);
    const families = settings.families.join(" and ");
    return [
      info(`backend ${settings.backend}, chain ${settings.chain}, ${families}`),
      ...tools.map((text) => info(text)),
    ];
  },
};
