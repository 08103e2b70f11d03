import { missingCapabilities } from "../../../system/capabilities.ts";
import { type Cause, type Fact, known } from "../../../system/fact.ts";
import type { Check, Facts } from "../../facts.ts";
import { info, warning } from "../../finding.ts";
import { sweep } from "../../sweep.ts";

export const couldNotCheck: Check = {
  name: "could-not-check",
  severity: "warning",
  looksFor: "what doctor could not look at, and why; info if a healthy node may lack it",
  remedy: "run doctor as root in the node's network namespace, in the agent's image",
  run(facts) {
    const fields: readonly unknown[] = Object.values(facts);
    return [...fields.flatMap((field) => [field, ...Object.values(field ?? {})]), ...notCompared(facts)]
      .filter(isUnknown)
      .map(({ unknown, why, minor, cause }) =>
        (minor === true ? info : warning)(
          `could not check ${unknown}: ${why}`,
          cause === undefined ? ASK : REMEDIES[cause](known(facts.capabilities)),
        ),
      );
  },
};

/** The parts of the address space in which rules of others were not followed. */
function notCompared(facts: Facts): readonly Fact<never>[] {
  return [...sweep(facts).values()].flatMap(({ leftOut }) =>
    leftOut === undefined ? [] : { unknown: "everything that rules of others decide", why: leftOut },
  );
}

/** The tool's or the kernel's own words say more than we know. */
const ASK = "the tool or the kernel gave this reason: run the same by hand to look further";

const REMEDIES: Readonly<Record<Cause, (effective: bigint | undefined) => string>> = {
  permission: (effective) =>
    effective !== undefined && missingCapabilities(effective).length === 0
      ? "this process has NET_ADMIN and NET_RAW: a user namespace, a seccomp profile, a security module or the file's owner forbids it"
      : "run doctor as root in the node's network namespace (in Kubernetes, securityContext.capabilities.add: NET_ADMIN, NET_RAW)",
  "no tool": () => "run doctor in the agent's image, which has the tools, or install it",
};

function isUnknown(one: unknown): one is Exclude<Fact<never>, { readonly value: never }> {
  return typeof one === "object" && one !== null && "unknown" in one;
}
