/**
 * The users who made Unix sockets of this network namespace, as the kernel knows them (sock_diag(7)): an abstract name
 * has no permissions, so any user who is let into the namespace can hold one. Node cannot ask a connected socket for its
 * peer, and a holder that does not listen has none.
 */
import {
  closeMessage,
  createWriter,
  openMessage,
  readAttributes,
  reserve,
  written,
} from "../netlink/attributes.ts";
import { NLM_F } from "../netlink/constants.ts";
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import { readTogether } from "../netlink/query.ts";
import { loadNetlink } from "../netlink/socket/addon.ts";
import { type Channel, createChannel } from "../netlink/socket/channel.ts";
import { listenToQuery } from "../netlink/socket/conversation.ts";

/** Of linux/netlink.h, linux/sock_diag.h and linux/unix_diag.h. */
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const AF_UNIX = 1;
const UDIAG_SHOW_UID = 0x40;
const UNIX_DIAG_UID = 7;
/** Of `struct unix_diag_req` after its first four bytes, and of `struct unix_diag_msg`. */
const REQUEST_BYTES = 20;
const ANSWER_BYTES = 16;
const ANY = 0xffff_ffff;

const BUFFER_BYTES = 65_536;
const TIMEOUT_MS = 1_000;

/**
 * The user of each socket by its inode, as our user namespace numbers it: one that it does not have is 65534. Sockets that
 * have gone are left out; all are before Linux 5.3, without the kernel's module unix_diag, and without the addon.
 */
export async function readSocketUids(inodes: readonly number[]): Promise<ReadonlyMap<number, number>> {
  const uids = new Map<number, number>();
  if (inodes.length === 0) return uids;
  let channel: Channel | undefined;
  try {
    channel = createChannel(loadNetlink(BUFFER_BYTES, NETLINK_SOCK_DIAG), TIMEOUT_MS);
    for (const [i, inode] of inodes.entries()) {
      const uid = await ask(channel, inode, i + 1);
      if (uid !== undefined) uids.set(inode, uid);
    }
  } catch (error) {
    if (!(error instanceof NetlinkUnavailable || error instanceof NftablesError)) throw error;
  } finally {
    channel?.close();
  }
  return uids;
}

async function ask(channel: Channel, inode: number, sequence: number): Promise<number | undefined> {
  const what = "the owner of a socket";
  const writer = createWriter();
  const start = openMessage(writer, {
    type: SOCK_DIAG_BY_FAMILY,
    flags: NLM_F.REQUEST,
    sequence,
    family: AF_UNIX,
  });
  const at = writer.length;
  reserve(writer, REQUEST_BYTES);
  for (const [i, value] of [ANY, inode, UDIAG_SHOW_UID, ANY, ANY].entries())
    writer.view.setUint32(at + 4 * i, value, true);
  writer.length = at + REQUEST_BYTES;
  closeMessage(writer, start);
  const listener = listenToQuery({ what, isList: false, reader: readTogether((all) => all) });
  try {
    const request = { what, bytes: written(writer), first: sequence, last: sequence, listener };
    const settled = await channel.exchange(request);
    const [message] = settled.state === "done" ? settled.value : [];
    const uid = readAttributes(message?.payload.subarray(ANSWER_BYTES)).get(UNIX_DIAG_UID);
    return uid === undefined ? undefined : new DataView(uid.buffer, uid.byteOffset).getUint32(0, true);
  } catch (error) {
    if (error instanceof NftablesError && error.code === "ENOENT") return undefined;
    throw error;
  }
}
