/** Compares the effect of rules with the configuration. */
import type { TraceOutcome } from "../trace/outcome.ts";

/**
 * `depends`: on unknown details of the packet. `unknown`: the translated destination of the packet is not known, or
 * not all rules could be read.
 */
export type Agreement = "yes" | "no" | "depends" | "unknown";

/** The verdict that the configuration wants for a packet. */
export interface Wanted {
  readonly verdict: "keep" | "masquerade";
  /** Whether a packet that leaves through a link is ours; undefined: its source decides. Absent: every packet is. */
  readonly isOurs?: (out: string | undefined) => boolean | undefined;
  /** The addresses that it may leave with; undefined: any. */
  readonly as?: readonly bigint[] | undefined;
}

/** An outcome that is right for some sources: a packet that is ours is masqueraded, another keeps its address. */
type RightForSome = "right if ours" | "right if not ours";

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
  outcome: TraceOutcome,
  wantedAt: (destination: bigint) => Wanted,
): Agreement | RightForSome | undefined {
  const { verdict, endpoints } = outcome;
  switch (verdict) {
    case "keep":
    case "untracked":
      return compareKept(wanted, outcome);
    case "masquerade":
    case "translate":
      return compareMasqueraded(wanted, outcome);
    case "drop":
      return undefined;
    case "unknown":
      return "depends";
    case "redirect":
      return endpoints === undefined
        ? "unknown"
        : combine(
            endpoints.map(({ destination, isHere, trace: { possible, otherwise } }) => {
              // Packets for the node itself are not our rules' business.
              const then: Wanted = isHere === true ? { verdict: "keep" } : wantedAt(destination);
              return combine([...possible, otherwise].map((one) => compare(then, one, wantedAt)));
            }),
          );
  }
}

function compareKept(wanted: Wanted, outcome: TraceOutcome): Agreement | RightForSome {
  if (wanted.verdict === "keep") return "yes";
  const ours = whetherOurs(wanted, outcome);
  return ours === undefined ? "right if not ours" : ours ? "no" : "yes";
}

function compareMasqueraded(wanted: Wanted, outcome: TraceOutcome): Agreement | RightForSome {
  if (wanted.verdict === "keep") return "no";
  const ours = whetherOurs(wanted, outcome);
  if (ours === false) return "no";
  const leaves = compareAddress(wanted, outcome);
  return leaves === "yes" && ours === undefined ? "right if ours" : leaves;
}

/** Undefined: its source decides. */
function whetherOurs({ isOurs }: Wanted, { route }: TraceOutcome): boolean | undefined {
  return isOurs === undefined || isOurs(route?.kind === "unicast" ? route.out : undefined);
}

/** Whether a packet leaves with an address that it may have. */
function compareAddress({ as }: Wanted, { verdict, targets }: TraceOutcome): Agreement {
  if (as === undefined) return "yes";
  if (verdict === "masquerade") return "no";
  const found = targets?.map(({ addresses }) => addresses) ?? [undefined];
  if (found.includes(undefined)) return "depends";
  return found.every((one) => one?.first === one?.last && as.includes(one?.first ?? -1n)) ? "yes" : "no";
}

/** Outcomes that are right for some sources are not wrong only where there are some for either kind. */
function combine(all: readonly (Agreement | RightForSome | undefined)[]): Agreement | undefined {
  const kinds = new Set(all.filter((one) => one !== undefined));
  const isForBoth = kinds.has("right if ours") && kinds.has("right if not ours");
  const some = new Set([...kinds].map((one) => (isForSome(one) ? (isForBoth ? "depends" : "no") : one)));
  if (some.has("unknown")) return "unknown";
  const [first] = some;
  return some.size > 1 ? "depends" : first;
}

function isForSome(one: Agreement | RightForSome): one is RightForSome {
  return one.startsWith("right");
}

/** Whether the packet's destination is unknown, and so the address that its receiver sees. */
export function isOpen({
  verdict,
  endpoints,
}: Pick<TraceOutcome, "verdict"> & { readonly endpoints?: unknown }): boolean {
  return verdict === "redirect" && endpoints === undefined;
}
