/** The node that `explain` asks about: this one, or one whose rules were saved. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { SourceError } from "../../agent/config/file.ts";
import { isFailure } from "../../backend/driver.ts";
import type { Family } from "../../core/cidr.ts";
import type { Desired } from "../../core/desired.ts";
import type { NodeAddresses } from "../../core/ruleset.ts";
import type { NodeRules } from "../../explain/answer.ts";
import { parseGoUint } from "../../go/integer.ts";
import { goQuote } from "../../go/quote.ts";
import { connected, openNftables } from "../../netlink/socket/transport.ts";
import { localAddresses, ownAddresses } from "../../system/addresses.ts";
import { run as runScript } from "../../system/exec.ts";
import { usableAddresses } from "../../system/node-addresses.ts";
import { nearest } from "../../text/near.ts";
import { parseDump } from "../../trace/dump.ts";
import { readLiveRules } from "../../trace/live.ts";
import { measureTables, readNftTables } from "../../trace/live-netlink.ts";
import { PROTOCOLS, protocolName } from "../../trace/protocols.ts";
import { type CommandIo, UsageError } from "../command.ts";
import { STDIN } from "../desired.ts";
import { readAll, tooLong } from "../io.ts";
import { readAddress, readAddresses } from "./destination.ts";
import { openRoutes, type Routes } from "./explain-route.ts";

/** The flags for the node, and for the known details of the packet. */
export interface NodeValues {
  readonly live: boolean;
  readonly rules: string;
  readonly source: string;
  readonly mark: string;
  readonly protocol: string;
  readonly "in-interface": string;
  readonly "out-interface": string;
  readonly "node-address": string;
}

export interface AskedNode extends NodeRules {
  /** The family of the packet's source, if that is known. */
  readonly sourceFamily?: Family;
  /** The parts outside of a dump, such as tables that were not saved. */
  readonly leftOut?: readonly string[];
  /** Its addresses that packets may leave with, if they are known. */
  readonly own?: NodeAddresses;
  /** The routes of this node, if the kernel can look them up. */
  readonly routes?: Routes;
}

/** The known details of the packet. */
export type AskedPacket = Pick<AskedNode, "packet" | "sourceFamily">;

/** A dump of 20,000 rules takes some 10 MB. */
const SIZE_LIMIT = 256 * 1024 * 1024;

/** Reads the packet's details from the flags. Throws a `UsageError`. */
export function readPacket(values: NodeValues): AskedPacket {
  const { source, mark, protocol } = values;
  const [input, out] = (["in", "out"] as const).map((way) => values[`${way}-interface`]) as [string, string];
  const address = source === "" ? undefined : readAddress("source", source);
  const packet = {
    ...(address === undefined ? {} : { source: address.value }),
    ...(mark === "" ? {} : { mark: readMark(mark) }),
    ...(protocol === "" ? {} : { protocol: readProtocol(protocol) }),
    ...(input === "" ? {} : { in: readInterface("in", input) }),
    ...(out === "" ? {} : { out: readInterface("out", out) }),
  };
  return { packet, ...(address === undefined ? {} : { sourceFamily: address.family }) };
}

/**
 * Refuses details of the packet that nothing in the answer depends on: without rules, a configuration depends on the
 * packet's source and link only if it has keys about them. Throws a `UsageError`.
 */
export function refuseIdle(values: NodeValues, desired: Desired | undefined): void {
  const asksRules = values.live || values.rules !== "";
  const hasAddresses = desired !== undefined && desired.config.outputAddresses.length > 0;
  if (values["node-address"] !== "" && (values.live || (!asksRules && !hasAddresses)))
    throw new UsageError("--node-address is for --rules: with --live the node knows its own");
  if (asksRules) return;
  const isScoped = hasAddresses || desired?.rulesets.some(({ scope }) => scope !== undefined);
  const idle = isScoped
    ? (["mark", "protocol", "in-interface"] as const)
    : (["source", "mark", "protocol", "in-interface", "out-interface"] as const);
  if (idle.every((name) => values[name] === "")) return;
  const names = idle.map((name) => `--${name}`);
  throw new UsageError(
    `${names.slice(0, -1).join(", ")} and ${names.at(-1)} matter to rules only: add --live, or --rules FILE`,
  );
}

/** The node's rules, if the flags ask for any. Throws a `SourceError` or a `CommandError`. */
export async function readNode(
  values: NodeValues,
  packet: AskedPacket,
  io: CommandIo,
): Promise<AskedNode | undefined> {
  const nodeAddresses = readAddresses("node-address", values["node-address"]);
  const say = (warnings: readonly string[]) => {
    for (const warning of warnings) io.err(`warning: ${warning}\n`);
  };
  if (values.live) {
    const { hooks, notRead, warnings } = await readLiveRules((script) => runScript(script, io.signal), {
      readTables: () => connected(openNftables, (nftables) => readNftTables(nftables, io.signal)),
      measureTables: () => connected(openNftables, (nftables) => measureTables(nftables, io.signal)),
    });
    say([...warnings, ...notRead]);
    const found = await attemptRoutes(say);
    const own = await usableAddresses();
    if (found === undefined) return { hooks, notRead, own, local: ownAddresses(), ...packet };
    const { local } = found;
    return { hooks, notRead, own, local, routes: found, ...(await withInput(packet, found)) };
  }
  if (values.rules === "") return undefined;
  const path = values.rules === STDIN ? "standard input" : values.rules;
  const dump = parseDump(
    new TextDecoder().decode(await (values.rules === STDIN ? io.stdin() : readDump(path, io.signal))),
  );
  if (!dump.ok) throw new SourceError(`${path}:${dump.line}`, new Error(dump.message));
  const { hooks, leftOut } = dump;
  const notRead = dump.notRead.map((one) => `${path}: ${one}`);
  say([...notRead, ...leftOut.map((one) => `${path}: ${one}`)]);
  if (nodeAddresses.length === 0)
    say(["no --node-address: destinations are taken for addresses of other machines"]);
  return { hooks, notRead, leftOut, local: localAddresses(nodeAddresses), ...packet };
}

/** Without them, the answer is only less exact. */
async function attemptRoutes(say: (warnings: readonly string[]) => void): Promise<Routes | undefined> {
  try {
    return await openRoutes();
  } catch (error) {
    if (!isFailure(error)) throw error;
    say([`the kernel's routes are not known, so interfaces and addresses are not: ${error.message}`]);
    return undefined;
  }
}

/** The packet with the interface that it comes in through: the way back to its source. Throws a `UsageError` for another node's. */
async function withInput({ packet, sourceFamily }: AskedPacket, routes: Routes): Promise<AskedPacket> {
  for (const way of ["in", "out"] as const) {
    const name = packet[way];
    if (name !== undefined && !routes.interfaces.includes(name))
      throw new UsageError(
        `--${way}-interface=${goQuote(name)} is not an interface of this node: it has ${routes.interfaces.slice(0, 16).join(", ")}`,
      );
  }
  if (sourceFamily === undefined || packet.source === undefined || packet.in !== undefined)
    return sourceFamily === undefined ? { packet } : { packet, sourceFamily };
  const input = await routes.inputOf(sourceFamily, packet.source);
  return { packet: input === undefined ? packet : { ...packet, in: input }, sourceFamily };
}

function readMark(text: string): number {
  const parsed = parseGoUint(text, 0, 32);
  if (!parsed.ok) throw new UsageError(`--mark=${goQuote(text)} is not a number of 32 bits: try 0x4000`);
  return Number(parsed.value);
}

function readProtocol(text: string): string {
  const name = protocolName(text.toLowerCase());
  if (PROTOCOLS.includes(name) || (/^\d{1,3}$/.test(name) && Number(name) < 256)) return name;
  const near = nearest(name, PROTOCOLS);
  throw new UsageError(
    `--protocol=${goQuote(text)} is not a protocol: ${near === undefined ? "try tcp, udp or icmp" : `did you mean ${near}?`}`,
  );
}

/** The names that the kernel accepts. */
function readInterface(way: "in" | "out", text: string): string {
  if (/^[^\s/:]{1,15}$/.test(text) && text !== "." && text !== "..") return text;
  throw new UsageError(`--${way}-interface=${goQuote(text)} is not the name of an interface: try eth0`);
}

/** A path may lead to a device without an end, or, non-blocking for that, to a FIFO without a writer. */
async function readDump(path: string, signal: AbortSignal): Promise<Uint8Array> {
  const what = 'dump of rules: save the nat table alone, with "iptables-save -t nat"';
  const limits = { name: path, bytes: SIZE_LIMIT, what };
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if ((await file.stat()).size > SIZE_LIMIT) throw tooLong(limits);
  } catch (error) {
    await file?.close();
    throw new SourceError(path, error);
  }
  return readAll(file.createReadStream(), signal, limits);
}
