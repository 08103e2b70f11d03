/** Compares the effect of rules with the configuration. */
import type { TraceOutcome } from "../trace/outcome.ts";

/**
 * `depends`: on unknown details of the packet. `unknown`: the translated destination of the packet is not known, or
 * not all rules could be read.
 */
export type Agreement = "yes" | "no" | "depends" | "unknown";

type Wanted = "keep" | "masquerade";

/** Compares the effect of the rules with the wanted one; `wantedAt` gives the wanted effect for an endpoint. */
export function compareOutcomes(
  wanted: Wanted,
  outcomes: readonly TraceOutcome[],
  wantedAt: (destination: bigint) => Wanted = () => wanted,
): Agreement {
  return combine(outcomes.map((outcome) => compare(wanted, outcome, wantedAt))) ?? "no";
}

/** Undefined for a packet that no receiver sees. */
function compare(
  wanted: Wanted,
  { verdict, endpoints }: TraceOutcome,
  wantedAt: (destination: bigint) => Wanted,
): Agreement | undefined {
  switch (verdict) {
    case "keep":
    case "untracked":
      return wanted === "keep" ? "yes" : "no";
    case "masquerade":
    case "translate":
      return wanted === "masquerade" ? "yes" : "no";
    case "drop":
      return undefined;
    case "unknown":
      return "depends";
    case "redirect":
      return endpoints === undefined
        ? "unknown"
        : combine(
            endpoints.map(({ destination, trace: { possible, otherwise } }) =>
              combine([...possible, otherwise].map((one) => compare(wantedAt(destination), one, wantedAt))),
            ),
          );
  }
}

function combine(all: readonly (Agreement | undefined)[]): Agreement | undefined {
  const some = new Set(all.filter((one) => one !== undefined));
  if (some.has("unknown")) return "unknown";
  const [first] = some;
  return some.size > 1 ? "depends" : first;
}

/** Whether the packet's destination is unknown, and so the address that its receiver sees. */
export function isOpen({
  verdict,
  endpoints,
}: Pick<TraceOutcome, "verdict"> & { readonly endpoints?: unknown }): boolean {
  return verdict === "redirect" && endpoints === undefined;
}
