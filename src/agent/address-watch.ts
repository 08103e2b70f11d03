/**
 * Requests a pass when the node's addresses change, in one of two ways: the kernel's events, or, without them, the list itself each
 * second. It is open while the configuration names addresses, and costs nothing otherwise.
 */
import { isFailure } from "../backend/driver.ts";
import { NetlinkUnavailable } from "../netlink/errors.ts";
import type { Listening } from "../netlink/events.ts";
import type { AddressEvents } from "../route/address-events.ts";
import type { ListedAddresses } from "../system/node-addresses.ts";
import { listenUntil } from "./listening.ts";

export interface AddressWatchWorld {
  readonly listen: (events: AddressEvents) => Promise<Listening>;
  readonly read: () => Promise<ListedAddresses>;
  /** Whether the last pass had the same list: one that changed before it, and back after it, is another one. */
  readonly knows: (listed: ListedAddresses) => boolean;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Takes lines for the operator. */
  readonly say: (line: string) => void;
}

const READ_MS = 1_000;
/** How long the list is read before the kernel's events are tried again. */
const RELISTEN_MS = 60_000;

/** A watch that is closed: `follow(true)` opens it, `follow(false)` closes it again. */
export function createAddressWatch(
  changed: () => void,
  world: AddressWatchWorld,
  signal: AbortSignal,
): { readonly follow: (isWanted: boolean) => void } {
  let open: AbortController | undefined;
  return {
    follow(isWanted) {
      if (isWanted === (open !== undefined)) return;
      open?.abort();
      open = isWanted ? new AbortController() : undefined;
      if (open !== undefined) void watch(changed, world, AbortSignal.any([open.signal, signal]));
    },
  };
}

async function watch(changed: () => void, world: AddressWatchWorld, signal: AbortSignal): Promise<void> {
  let said: string | undefined;
  while (!signal.aborted) {
    const failure = await listenUntil((lost) => world.listen({ changed, lost }), changed, signal);
    if (signal.aborted) return;
    const why = failure instanceof Error ? failure.message : String(failure);
    const line = `${why}: reading the node's addresses every ${READ_MS / 1000} s instead`;
    if (line !== said) world.say(line);
    said = line;
    await poll(
      failure instanceof NetlinkUnavailable ? Number.POSITIVE_INFINITY : RELISTEN_MS,
      changed,
      world,
      signal,
    );
  }
}

/** Reads the list for `forMs`, and tells of each that the last pass did not have. */
async function poll(
  forMs: number,
  changed: () => void,
  { read, knows, sleep }: Pick<AddressWatchWorld, "read" | "knows" | "sleep">,
  signal: AbortSignal,
): Promise<void> {
  for (let left = forMs; left > 0 && !signal.aborted; left -= READ_MS) {
    try {
      if (!knows(await read())) changed();
    } catch (error) {
      // The next pass says so.
      if (!isFailure(error)) throw error;
    }
    await sleep(READ_MS, signal);
  }
}
