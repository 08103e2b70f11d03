/**
 * Names of the abstract Unix sockets by which agents of one network namespace know of each other: one for each chain
 * name, held while an agent runs, and one for each agent that waits for that. The kernel frees a name when its process
 * ends, however it ends, and each network namespace has its own names: nothing is left behind, as a file would be.
 */
import { digest } from "../core/digest.ts";

/** `sun_path`, whose length is part of an abstract name: Node 20 pads a shorter name with NULs, Node 24 does not. */
export const HOLD_BYTES = 108;

/** Whether an agent holds a chain, or waits for the agent that does. */
export type HoldKind = "held" | "awaited";

/** `__SO_ACCEPTCON` of linux/net.h. */
const LISTENING = "00010000";

/** A socket of an agent, as /proc/net/unix lists it. */
export interface HeldName {
  readonly kind: HoldKind;
  /** The chain as `holdToken` has it. */
  readonly token: string;
  readonly inode: number;
  /** Of one that waits. */
  readonly waiter?: string;
}

/** The address to bind, always of the same length; with `waiter`, a separate one for each agent that waits. */
export function holdAddress(chain: string, waiter?: string): string {
  const waits = waiter === undefined ? "" : `waits ${waiter} `;
  return `\0ip-masq-agent ${waits}chain=${holdToken(chain)}`.padEnd(HOLD_BYTES, "\0");
}

/**
 * Every name that iptables accepts, unchanged; one that is too long, or that a listing would not show exactly, as a
 * digest.
 */
export function holdToken(chain: string): string {
  return /^[!-?A-~]{1,64}$/.test(chain) ? chain : `digest:${digest(new TextEncoder().encode(chain))}`;
}

/**
 * The agents' names in the text of /proc/net/unix, where each NUL is an `@`. Only stream sockets keep other agents from
 * a name.
 */
export function parseHeldNames(text: string): readonly HeldName[] {
  return [...inodesByName(text)].flatMap(([name, inode]): HeldName[] => {
    const [, waiter, token] = /^@ip-masq-agent (?:waits (\S+) )?chain=(.*?)@*$/.exec(name) ?? [];
    if (token === undefined || name.length !== HOLD_BYTES) return [];
    return [
      waiter === undefined ? { kind: "held", token, inode } : { kind: "awaited", token, inode, waiter },
    ];
  });
}

/** The socket that has this abstract address, in the text of /proc/net/unix. */
export function inodeOf(text: string, address: string): number | undefined {
  return inodesByName(text).get(address.replaceAll("\0", "@"));
}

/** The stream sockets with abstract names. */
function inodesByName(text: string): ReadonlyMap<string, number> {
  const found = [...text.matchAll(/^\S+: \S+ \S+ (\S+) 0001 \S+ +(\d+) (@.*)$/gm)];
  // A connection to a socket has its name, too.
  const listening = found.filter(([, flags]) => flags === LISTENING);
  return new Map([...found, ...listening].map(([, , inode, name = ""]) => [name, Number(inode)]));
}

/** The socket that has a port of NETLINK_NETFILTER, in the text of /proc/net/netlink, whose third column it is. */
export function netlinkInode(text: string, port: number): number | undefined {
  const rows = text.split("\n").map((line) => line.trim().split(/\s+/));
  const row = rows.find(([, protocol, id]) => protocol === "12" && id === String(port));
  return row === undefined ? undefined : Number(row.at(-1));
}
