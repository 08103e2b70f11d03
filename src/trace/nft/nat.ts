/** The targets of translation in expressions of nf_tables: addresses and ports that registers hold, also as a map has them. */
import type { Family } from "../../core/cidr.ts";
import type { Attributes } from "../../netlink/attributes.ts";
import { EXPRESSION, FAMILIES, NAT_NETMAP } from "../../netlink/constants.ts";
import type { Action, Condition, PortRange, Target } from "../model.ts";
import { addBranches } from "./branch.ts";
import { act, numberIn, type Reader, slotOf } from "./reader.ts";
import { bigEndian, type Entry } from "./register.ts";

/** NFT_NAT_DNAT of linux/netfilter/nf_tables.h. */
const NAT_DESTINATION = 1;

const ADDRESS_BYTES: Readonly<Record<Family, number>> = { IPv4: 4, IPv6: 16 };

export function nat(reader: Reader, attributes: Attributes): void {
  const { TYPE, FAMILY } = EXPRESSION.nat;
  const number = numberIn(attributes, FAMILY);
  const family = number === FAMILIES.ip ? "IPv4" : number === FAMILIES.ip6 ? "IPv6" : undefined;
  // In an inet table, a translation to an address of one family does not apply to packets of the other.
  const only: Condition[] =
    family === undefined ? [] : [{ kind: "family", family, text: `meta nfproto ${family}`, negated: false }];
  const kind = numberIn(attributes, TYPE) === NAT_DESTINATION ? "redirect" : "translate";
  const entries = family === undefined ? undefined : targetsOf(reader, attributes, family);
  if (entries === undefined) {
    act(reader, { kind }, { only });
    return;
  }
  reader.texts.push(kind === "redirect" ? "dnat" : "snat");
  addBranches(
    reader.branches,
    entries.map(({ conditions, target }) => ({
      conditions: [...reader.conditions, ...only, ...conditions],
      action: { kind, targets: [target] } satisfies Action,
    })),
  );
}

export function redirect(reader: Reader, attributes: Attributes): void {
  const { REG_PROTO_MIN, REG_PROTO_MAX } = EXPRESSION.redir;
  const ports = portsOf(reader, attributes, REG_PROTO_MIN, REG_PROTO_MAX);
  const targets: Target[] = [{ isHere: true, ...(ports === undefined ? {} : { ports }) }];
  act(reader, { kind: "redirect", targets });
}

interface Choice {
  readonly conditions: readonly Condition[];
  readonly target: Target;
}

/** Undefined: not known. */
function targetsOf(reader: Reader, attributes: Attributes, family: Family): readonly Choice[] | undefined {
  const { REG_ADDR_MIN, REG_ADDR_MAX, REG_PROTO_MIN, REG_PROTO_MAX, FLAGS } = EXPRESSION.nat;
  const ports = portsOf(reader, attributes, REG_PROTO_MIN, REG_PROTO_MAX);
  const isPrefix = (numberIn(attributes, FLAGS) & NAT_NETMAP) !== 0 ? { isPrefix: true as const } : {};
  const more = { ...isPrefix, ...(ports === undefined ? {} : { ports }) };
  if (!attributes.has(REG_ADDR_MIN))
    return ports === undefined ? undefined : [{ conditions: [], target: more }];
  const slot = slotOf(attributes, REG_ADDR_MIN);
  const source = reader.registers.get(slot)?.source;
  const isPortKnown = ports !== undefined || !attributes.has(REG_PROTO_MIN);
  if (source?.kind === "value" && isPortKnown) {
    const first = bigEndian(source.bytes);
    const end = attributes.has(REG_ADDR_MAX) ? slotOf(attributes, REG_ADDR_MAX) : slot;
    const last = reader.registers.get(end)?.source;
    if (last?.kind !== "value") return undefined;
    return [{ conditions: [], target: { addresses: { first, last: bigEndian(last.bytes) }, ...more } }];
  }
  if (source?.kind !== "map") return undefined;
  const portSlot = attributes.has(REG_PROTO_MIN) ? slotOf(attributes, REG_PROTO_MIN) - slot : undefined;
  const read = source.entries.map((entry) => choiceOf(entry, family, portSlot, more));
  return read.includes(undefined) ? undefined : (read as Choice[]);
}

/** An entry of a map: an address, and after it a port, at the next of the registers of 4 bytes. */
function choiceOf(
  { conditions, value }: Entry,
  family: Family,
  portSlot: number | undefined,
  more: Target,
): Choice | undefined {
  const bytes = ADDRESS_BYTES[family];
  if (value.length < bytes) return undefined;
  const address = bigEndian(value.subarray(0, bytes));
  const target = { ...more, addresses: { first: address, last: address } };
  if (portSlot === undefined || more.ports !== undefined) return { conditions, target };
  const port = value.subarray(portSlot * 4, portSlot * 4 + 2);
  if (portSlot * 4 < bytes || port.length < 2) return undefined;
  const number = Number(bigEndian(port));
  return { conditions, target: { ...target, ports: { first: number, last: number } } };
}

function portsOf(
  { registers }: Reader,
  attributes: Attributes,
  min: number,
  max: number,
): PortRange | undefined {
  const [first, last] = [min, attributes.has(max) ? max : min].map((type) => {
    const source = attributes.has(type) ? registers.get(slotOf(attributes, type))?.source : undefined;
    return source?.kind === "value" ? Number(bigEndian(source.bytes.subarray(0, 2))) : undefined;
  });
  return first === undefined || last === undefined ? undefined : { first, last };
}
