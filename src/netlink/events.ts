/**
 * Commits to the ruleset as they happen, with the process that made each: the kernel's multicast group NFNLGRP_NFTABLES on
 * a socket of its own, whose filter in the kernel lets through one short message for each commit.
 */

import { readAttributes, readString, readU32 } from "./attributes.ts";
import { NFT_MSG, NFTA } from "./constants.ts";
import { commitFilter } from "./event-filter.ts";
import { messageType } from "./messages.ts";
import type { TableName } from "./operations.ts";
import { loadEvents } from "./socket/addon.ts";

/** A transaction of any process. */
export interface Commit {
  /** The ruleset's generation since then. */
  readonly generation: number;
  /** The process, as the initial PID namespace numbers it, and its name (`comm`, 15 bytes at most). */
  readonly pid: number;
  readonly process: string;
  /** Whether it is known to have changed the table of interest; if not, it may have done so (see event-filter.ts). */
  readonly touched: boolean;
}

export interface CommitEvents {
  readonly commit: (commit: Commit) => void;
  /** Some commits were missed: there were too many at once. */
  readonly missed: () => void;
  /** The socket has failed and hears nothing more. */
  readonly lost: (error: unknown) => void;
}

/** Something that goes on until it is closed. */
export interface Listening {
  readonly close: () => void;
}

/** NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h. */
const GROUPS = [7];

/**
 * Listens from now on. Throws `NetlinkUnavailable` without the addon, `NftablesError` if the kernel rejects it: EPERM
 * without CAP_NET_ADMIN.
 */
export async function listenToCommits(table: TableName, events: CommitEvents): Promise<Listening> {
  const open = loadEvents();
  const read = createCommitReader();
  return open(commitFilter(table), GROUPS, {
    message: (bytes) => {
      const commit = read(bytes);
      if (commit !== undefined) events.commit(commit);
    },
    lost: (error) => (error.code === "ENOBUFS" ? events.missed() : events.lost(error)),
  });
}

/**
 * Makes commits of messages: those about the table of interest come first and have the low 16 bits of the generation
 * (`nfgenmsg.res_id`); the end of the commit has the rest.
 */
export function createCommitReader(): (bytes: Uint8Array) => Commit | undefined {
  let touched = new Set<number>();
  return (bytes) => {
    if (bytes.length < 20) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (view.getUint16(4, true) !== messageType(NFT_MSG.NEWGEN)) {
      touched.add(view.getUint16(18));
      return undefined;
    }
    const attributes = readAttributes(bytes.subarray(20, view.getUint32(0, true)));
    const generation = readU32(attributes.get(NFTA.GEN.ID)) ?? 0;
    const commit = {
      generation,
      pid: readU32(attributes.get(NFTA.GEN.PROC_PID)) ?? 0,
      process: readString(attributes.get(NFTA.GEN.PROC_NAME)) ?? "",
      touched: touched.has(generation & 0xffff),
    };
    touched = new Set();
    return commit;
  };
}
