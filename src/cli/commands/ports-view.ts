/** The answer of `ports`, as JSON; the text is made from it. */

import { printAddress } from "../../conntrack/address.ts";
import { type PortOwner, type PortUse, shareOf } from "../../conntrack/usage.ts";
import { parseAddress } from "../../core/cidr.ts";
import type { Desired } from "../../core/desired.ts";
import { answerParts } from "../../explain/answer.ts";
import { viewDestination } from "../../explain/view.ts";

export interface PortsView {
  /** Connections in the node's table, and how many it holds; 0: without limit. */
  readonly entries: number;
  readonly limit: number;
  /** The fullest first. */
  readonly keys: readonly KeyView[];
  /** False if not all connections were seen: the true numbers are larger. */
  readonly exact: boolean;
}

/** One address of the node towards one remote. */
export interface KeyView {
  readonly protocol: string;
  /** Behind a Service, the endpoint. */
  readonly remote: string;
  readonly port: number;
  readonly nodeAddress: string;
  readonly inUse: number;
  /** Those of them that are TCP in TIME_WAIT or CLOSE. */
  readonly ended: number;
  /** The number of ports of the address. */
  readonly ports: number;
  /** From 0 to 1. */
  readonly share: number;
  /** The largest first. */
  readonly by: readonly {
    /** Empty: the node's own sockets. */
    readonly source: string;
    readonly inUse: number;
    readonly own: boolean;
  }[];
  /** Why the configuration masquerades the remote; only for a key that is more than half full. */
  readonly reason?: string;
}

/** The share from which on the answer gives the reason. */
const EXPLAINED_ABOVE = 0.5;

/** One key for display; calls `reasonOf` for a key that is more than half full and not held by the node alone. */
export function viewKey(use: PortUse, owner: PortOwner, reasonOf: (address: string) => string): KeyView {
  const { protocol, port, inUse, ended } = use;
  const remote = printAddress(use.remote);
  const share = shareOf(inUse, owner);
  const isPods = use.by.some(({ address }) => address !== undefined);
  return {
    protocol,
    remote,
    port,
    nodeAddress: printAddress(use.nodeAddress),
    inUse,
    ended,
    ports: owner.ports,
    share,
    by: use.by.map(({ address, inUse: count }) => ({
      source: address === undefined ? "" : printAddress(address),
      inUse: count,
      own: address === undefined,
    })),
    ...(share > EXPLAINED_ABOVE && isPods && { reason: reasonOf(remote) }),
  };
}

/** Why a remote is masqueraded, as `explain` finds it from the configuration. */
export function explainRemote(address: string, desired: Desired): string {
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new Error(`not an address: ${address}`);
  const { family, value } = parsed;
  const interval = { first: value, last: value };
  const ruleset = desired.rulesets.find((one) => one.family === family);
  const parts = answerParts({ family, interval, ruleset, hasConfig: true });
  const [part] = viewDestination({ asked: address, family, interval }, parts ?? [], desired).parts;
  if (part?.verdict !== "masquerade")
    return `the configuration lets pods keep their addresses towards ${address}${because(part?.by)}: these connections are older than it, or something else masquerades them`;
  if (part.by !== undefined) return `${address} is masqueraded${because(part.by)}`;
  return `${address} is masqueraded since no entry of nonMasqueradeCIDRs contains it`;
}

function because(by: { readonly cidr: string; readonly place: string } | undefined): string {
  return by === undefined ? "" : ` by ${by.cidr} (${by.place})`;
}
