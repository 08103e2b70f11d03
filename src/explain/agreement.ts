/** Whether rules do what the configuration says. */
import type { TraceOutcome } from "../trace/outcome.ts";

/**
 * `depends`: on what is not known of the packet. `unknown`: it is not known where the packet's destination is translated to, or
 * not all rules could be read.
 */
export type Agreement = "yes" | "no" | "depends" | "unknown";

type Wanted = "keep" | "masquerade";

/** Whether rules do what is wanted, as far as is known; `wantedAt` says what is wanted of an endpoint. */
export function compareOutcomes(
  wanted: Wanted,
  outcomes: readonly TraceOutcome[],
  wantedAt: (destination: bigint) => Wanted = () => wanted,
): Agreement {
  return combine(outcomes.map((outcome) => compare(wanted, outcome, wantedAt))) ?? "no";
}

/** Undefined for a packet that nobody sees. */
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

/** Whether it is not known where the packet goes, so that nobody can say what its receiver sees. */
export function isOpen({
  verdict,
  endpoints,
}: Pick<TraceOutcome, "verdict"> & { readonly endpoints?: unknown }): boolean {
  return verdict === "redirect" && endpoints === undefined;
}
