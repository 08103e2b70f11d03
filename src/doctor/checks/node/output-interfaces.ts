/** Names in outputInterfaces that no link of this node has. */
import { matchesLink } from "../../../core/sources.ts";
import { known } from "../../../system/fact.ts";
import type { Check, Facts } from "../../facts.ts";
import { type FindingText, warning } from "../../finding.ts";

/** As many as fit a line. */
const SHOWN = 8;

export const outputInterfaces: Check = {
  name: "output-interfaces",
  severity: "warning",
  looksFor: "a name in outputInterfaces that no link of this node has",
  remedy: "correct the name, or take it out if other nodes do not have it either",
  run(facts) {
    const [{ scope } = { scope: undefined }] = known(facts.config)?.rulesets ?? [];
    const links = known(facts.links)?.links;
    return scope === undefined || links === undefined
      ? []
      : lookAt(scope.interfaces, [...links.keys()], facts);
  },
};

function lookAt(names: readonly string[], links: readonly string[], facts: Facts): readonly FindingText[] {
  const missing = names.filter((name) => !links.some((link) => matchesLink(name, link)));
  if (missing.length === 0) return [];
  const uplinks = [...new Set((known(facts.links)?.uplinks ?? []).flatMap(({ name }) => name ?? []))];
  const hint =
    uplinks.length === 0 ? "" : `; the default route leaves through ${uplinks.slice(0, SHOWN).join(", ")}`;
  const what =
    missing.length === names.length
      ? "so that nothing is masqueraded"
      : "so that nothing is masqueraded there";
  return [
    warning(
      `outputInterfaces names ${missing.join(", ")}, but no link of this node has that name, ${what}`,
      `correct outputInterfaces${hint}`,
    ),
  ];
}
