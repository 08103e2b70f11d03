/** The targets of NAT in `nft -j`: destinations or sources. */
import { isCidr, lastAddress, parseAddress, parseCidr } from "../../core/cidr.ts";
import type { Interval } from "../../core/intervals.ts";
import type { Action, PortRange, Target } from "../model.ts";
import { type Fields, isObject, type Json, onlyMember } from "./json-values.ts";

const KINDS: Readonly<Record<string, "redirect" | "translate">> = {
  dnat: "redirect",
  snat: "translate",
  redirect: "redirect",
};

/** Whether a statement may say where to. */
export function hasTargets(kind: string): boolean {
  return kind in KINDS;
}

export function targetOf(kind: string, targets: readonly Target[] | undefined): Action {
  const name = KINDS[kind] ?? "redirect";
  return targets === undefined ? { kind: name } : { kind: name, targets };
}

/** Undefined: not known. */
export function readTargets(kind: string, fields: Fields): Target[] | undefined {
  const { addr, port } = fields;
  const [form, parts] = onlyMember(addr);
  // A map of addresses and ports has both.
  if (form === "concat" && Array.isArray(parts) && parts.length === 2)
    return readTargets(kind, { ...fields, addr: parts[0], port: parts[1] });
  const ports = port === undefined ? undefined : readPorts(port);
  if (port !== undefined && ports === undefined) return undefined;
  const known = ports === undefined ? {} : { ports };
  if (kind === "redirect") return [{ isHere: true, ...known }];
  if (addr === undefined) return [known];
  const addresses = readAddresses(addr);
  const isPrefix = [fields.type_flags].flat().includes("prefix");
  return addresses === undefined
    ? undefined
    : [{ addresses, ...(isPrefix ? { isPrefix: true as const } : {}), ...known }];
}

function readAddresses(json: Json): Interval | undefined {
  if (typeof json === "string") {
    const value = parseAddress(json)?.value;
    return value === undefined ? undefined : { first: value, last: value };
  }
  const [kind, value] = onlyMember(json);
  if (kind === "range" && Array.isArray(value)) {
    const [from, to] = value.map(readAddresses);
    return from === undefined || to === undefined ? undefined : { first: from.first, last: to.last };
  }
  if (kind !== "prefix" || !isObject(value)) return undefined;
  const cidr = parseCidr(`${String(value.addr)}/${String(value.len)}`);
  return isCidr(cidr) ? { first: cidr.base, last: lastAddress(cidr) } : undefined;
}

/** One port, or a range of them. */
export function readPorts(json: Json): PortRange | undefined {
  if (typeof json === "number") return { first: json, last: json };
  const [kind, value] = onlyMember(json);
  if (kind !== "range" || !Array.isArray(value)) return undefined;
  const [first, last] = value;
  return typeof first === "number" && typeof last === "number" ? { first, last } : undefined;
}
