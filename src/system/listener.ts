/**
 * The users that listen at a TCP address of this machine, as the kernel lists them: nothing more is known about who
 * answers there.
 */

import { isIPv4, type Socket, SocketAddress } from "node:net";
import { endianness } from "node:os";
import { known, readText } from "./fact.ts";
import { ownUid } from "./owner.ts";

/** `TCP_LISTEN` of the kernel. */
const LISTEN = "0A";

/**
 * The users of the sockets that a connection to an address of this machine reaches: the most exact ones that listen.
 * Undefined where the kernel does not list them.
 */
export function listenerUids(proc: string, address: string, port: number): readonly number[] | undefined {
  const texts = ["tcp", "tcp6"].flatMap((name) => textOf(`${proc}/self/net/${name}`));
  if (texts.length === 0) return undefined;
  const listeners = texts.flatMap(parseListeners);
  for (const place of [canonical(address), ...(isIPv4(canonical(address)) ? ["0.0.0.0"] : []), "::"]) {
    const uids = listeners.filter((one) => one.port === port && one.address === place).map(({ uid }) => uid);
    if (uids.length > 0) return uids;
  }
  return [];
}

/**
 * Why we do not trust the process that answers on a connection. Any user may listen where no agent does; of another
 * machine nothing is known.
 */
export function whyNotBelieved(proc: string, socket: Socket): string | undefined {
  const { remoteAddress = "", remotePort = 0, localAddress } = socket;
  const isLocal = remoteAddress === localAddress || /^(?:::ffff:)?127\.|^::1$/.test(remoteAddress);
  const uids = isLocal ? listenerUids(proc, remoteAddress, remotePort) : undefined;
  if (uids?.length === 0) return "the user that answers there is not known, and so not trusted";
  const other = uids?.find((uid) => uid !== 0 && uid !== ownUid());
  if (other === undefined) return undefined;
  return `user ${other} listens there, neither root nor user ${ownUid()}, and is not trusted: run this command as that user if you trust it`;
}

interface Listener {
  readonly address: string;
  readonly port: number;
  readonly uid: number;
}

/** The listening sockets in the text of /proc/net/tcp or tcp6. */
export function parseListeners(text: string): readonly Listener[] {
  const rows = text.matchAll(/^ *\d+: ([0-9A-F]{8,32}):([0-9A-F]{4}) \S+ (\S\S) \S+ \S+ \S+ +(\d+) /gm);
  return [...rows].flatMap(([, address = "", port = "", state, uid]) =>
    state === LISTEN
      ? [{ address: addressOf(address), port: Number.parseInt(port, 16), uid: Number(uid) }]
      : [],
  );
}

/** The kernel prints 32-bit words in this machine's byte order. */
function addressOf(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => {
    const octets = Buffer.from(word, "hex");
    return [...(endianness() === "LE" ? octets.reverse() : octets)];
  });
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return canonical(groups.join(":"));
}

/** One text for each address; `::ffff:10.0.0.1` is 10.0.0.1. */
function canonical(address: string): string {
  if (isIPv4(address)) return address;
  return new SocketAddress({ address, family: "ipv6" }).address.replace(/^::ffff:(?=\d+\.)/, "");
}

function textOf(path: string): readonly string[] {
  const text = known(readText(path, "listeners"));
  return text === undefined ? [] : [text];
}
