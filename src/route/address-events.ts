/**
 * Changes of this network namespace's addresses as they happen: two multicast groups of rtnetlink on a socket of its own. Its
 * filter in the kernel lets through addresses that are valid anywhere: the link-local one of each new pod's link wakes
 * nobody. An event says nothing but that the list is to be read again, so it is cut off after its headers.
 */
import { encodeProgram, OP, swapped } from "../netlink/bpf.ts";
import { NETLINK_ROUTE, RTM, RTNLGRP, SCOPE_UNIVERSE } from "../netlink/constants.ts";
import type { Listening } from "../netlink/events.ts";
import { loadEvents } from "../netlink/socket/addon.ts";

export interface AddressEvents {
  /** An address was added, removed or has another state now, or such events were missed. */
  readonly changed: () => void;
  /** The socket has failed and hears nothing more. */
  readonly lost: (error: unknown) => void;
}

/** Offsets in a message: its type, and `ifa_scope` after netlink's header of 16 bytes. */
const AT = { type: 4, scope: 19 } as const;
const HEADERS_BYTES = 24;

/** The socket's filter. */
export function addressFilter(): Uint8Array<ArrayBuffer> {
  return encodeProgram([
    { code: OP.loadHalf, value: AT.type },
    // Past the comparison with the other type.
    { code: OP.jumpIfEqual, value: swapped(RTM.NEWADDR), ifTrue: 1 },
    // To the return of nothing, as below.
    { code: OP.jumpIfEqual, value: swapped(RTM.DELADDR), ifFalse: 3 },
    { code: OP.loadByte, value: AT.scope },
    { code: OP.jumpIfEqual, value: SCOPE_UNIVERSE, ifFalse: 1 },
    { code: OP.return, value: HEADERS_BYTES },
    { code: OP.return, value: 0 },
  ]);
}

/**
 * Listens from now on. Throws `NetlinkUnavailable` without the addon, `NftablesError` if the kernel rejects it; it asks
 * for no capability.
 */
export async function listenToAddresses({ changed, lost }: AddressEvents): Promise<Listening> {
  return loadEvents(NETLINK_ROUTE)(addressFilter(), [RTNLGRP.IPV4_IFADDR, RTNLGRP.IPV6_IFADDR], {
    message: changed,
    lost: (error) => (error.code === "ENOBUFS" ? changed() : lost(error)),
  });
}
