/**
 * Operations as commands of nft's language (nft 1.0.6 or later), one on each line. `nft -f` of a batch's text is one
 * transaction too, and leaves the kernel in the same state as the batch.
 */
import { formatAddress, formatInterval } from "./address.ts";
import type {
  AddChain,
  AddSet,
  ChangeElements,
  NatFlag,
  ObservedStatement,
  Operation,
  Ports,
  SetKey,
  SnatStatement,
} from "./operations.ts";
import { assertValid } from "./validate.ts";

/** A line's elements: long enough for people, short enough for their tools. */
const ELEMENTS_PER_LINE = 8;

/** A script for `nft -f`. */
export function renderScript(operations: readonly Operation[]): string {
  return operations.flatMap(renderOperation).join("");
}

/** The lines of one operation. Elements that do not fit a line make several commands. */
export function renderOperation(operation: Operation): string[] {
  assertValid(operation);
  if ("elements" in operation) return renderElements(operation);
  return [`${renderCommand(operation)}\n`];
}

/** The verb and the object of an operation, without its content: `add rule inet nat postrouting`. */
export function renderName(operation: Operation): string {
  const verb =
    operation.op === "delete by handle"
      ? `delete ${operation.type === undefined ? operation.kind : objectKind(operation.type)}`
      : operation.op.replace("elements", "element");
  const names = [verb, operation.family, operation.table];
  if ("chain" in operation) names.push(operation.chain);
  if ("set" in operation) names.push(operation.set);
  if (operation.op === "rename chain") names.push(operation.name);
  else if ("handle" in operation) names.push(`handle ${operation.handle}`);
  return names.join(" ");
}

/** nft's name for a kind of stateful object: NFT_OBJECT_* of linux/netfilter/nf_tables.h. */
export function objectKind(type: number | undefined): string {
  return OBJECT_KINDS[type ?? 0] ?? `object of type ${type}`;
}

const OBJECT_KINDS: Readonly<Record<number, string>> = {
  1: "counter",
  2: "quota",
  3: "ct helper",
  4: "limit",
  6: "tunnel",
  7: "ct timeout",
  8: "secmark",
  9: "ct expectation",
  10: "synproxy",
};

function renderElements(operation: ChangeElements): string[] {
  const { elements, key } = operation;
  const lines: string[] = [];
  for (let from = 0; from < elements.length; from += ELEMENTS_PER_LINE) {
    const part = elements
      .slice(from, from + ELEMENTS_PER_LINE)
      .map((interval) => formatInterval(key, interval));
    lines.push(`${renderName(operation)} { ${part.join(", ")} }\n`);
  }
  return lines;
}

function renderCommand(operation: Exclude<Operation, ChangeElements>): string {
  const name = renderName(operation);
  switch (operation.op) {
    case "add table":
      return name + block(comment(operation));
    case "add chain":
      return name + block(base(operation));
    case "add set":
      return name + block(content(operation));
    case "add rule":
      return [name, renderStatements(operation.statements), ...comment(operation)].join(" ");
    default:
      return name;
  }
}

/** An object's properties in braces; empty without any. */
function block(parts: readonly string[]): string {
  return parts.length === 0 ? "" : ` { ${parts.map((part) => `${part};`).join(" ")} }`;
}

function comment({ comment }: { readonly comment?: string }): string[] {
  return comment === undefined ? [] : [`comment "${comment}"`];
}

function base({ base }: AddChain): string[] {
  if (base === undefined) return [];
  return [`type ${base.type} hook ${base.hook} priority ${base.priority}`, `policy ${base.policy}`];
}

function content(operation: AddSet): string[] {
  const size = operation.size === undefined ? [] : [`size ${operation.size}`];
  return [`type ${operation.key}`, ...size, "flags interval", ...comment(operation)];
}

/** The statements of a rule on one line. */
export function renderStatements(statements: readonly ObservedStatement[]): string {
  return statements.map(renderStatement).join(" ");
}

/** One statement as nft writes it; an unknown one as its name in angle brackets. */
export function renderStatement(statement: ObservedStatement): string {
  switch (statement.kind) {
    case "nfproto":
      return `meta nfproto ${statement.family === "ip" ? "ipv4" : "ipv6"}`;
    case "l4proto":
      return `meta l4proto ${statement.protocol}`;
    case "daddr":
    case "saddr":
      return `${statement.family} ${statement.kind} ${statement.negated ? "!= " : ""}@${statement.set}`;
    case "saddr bits": {
      const [mask, value] = [statement.mask, statement.value].map((bits) =>
        formatAddress(KEY_OF[statement.family], bits),
      );
      return `${statement.family} saddr & ${mask} == ${value}`;
    }
    case "oifname":
      return `oifname "${statement.name}${statement.isPrefix ? "*" : ""}"`;
    case "fib daddr type":
      return `fib daddr type ${statement.type}`;
    case "numgen random":
      return `numgen random mod ${statement.modulus} < ${statement.below}`;
    case "counter":
      return `counter packets ${statement.packets} bytes ${statement.bytes}`;
    case "verdict":
      return "chain" in statement ? `${statement.verdict} ${statement.chain}` : statement.verdict;
    case "masquerade":
      return renderNat(["masquerade", ...to(portsText(statement.ports))], statement.flags);
    case "snat":
      return renderNat(["snat", statement.family, ...to(targetText(statement))], statement.flags);
    case "unknown":
      return `<${statement.name}>`;
  }
}

const KEY_OF: Readonly<Record<"ip" | "ip6", SetKey>> = { ip: "ipv4_addr", ip6: "ipv6_addr" };

function renderNat(words: readonly string[], flags: readonly NatFlag[]): string {
  return [...words, ...(flags.length > 0 ? [flags.join(",")] : [])].join(" ");
}

function to(target: string): string[] {
  return target === "" ? [] : ["to", target];
}

function portsText(ports: Ports | undefined): string {
  if (ports === undefined) return "";
  return `:${ports.first === ports.last ? ports.first : `${ports.first}-${ports.last}`}`;
}

/** An address of IPv6 needs brackets before a port. */
function targetText({ family, address, ports }: SnatStatement): string {
  const text = formatAddress(KEY_OF[family], address);
  return ports === undefined || family === "ip"
    ? `${text}${portsText(ports)}`
    : `[${text}]${portsText(ports)}`;
}
