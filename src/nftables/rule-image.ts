/**
 * Rules as images: what the kernel keeps of them, byte for byte, without understanding it. Two images of one rule are
 * the same as long as nobody has changed it, whoever made it: iptables-nft's rules hold structures of xtables that
 * only iptables can read, but whether they are still what they were can be told without it.
 */
import { type Message, readAttributes, readString, scanAttributes } from "./attributes.ts";
import { NFTA } from "./constants.ts";

export interface RuleImage {
  /** The same for the same content. */
  readonly digest: string;
  /** Whether a text stands in it, such as a comment. */
  readonly contains: (text: string) => boolean;
}

/** Expressions whose data is the kernel's own bookkeeping: it changes with each packet. */
const COUNTING: readonly string[] = ["counter"];

/** A rule's image. Its handle and its neighbour's, which the kernel tells as well, are not part of it. */
export function readRuleImage({ attributes }: Message): RuleImage {
  const read = readAttributes(attributes);
  const parts = [
    ...expressionsIn(read.get(NFTA.RULE.EXPRESSIONS)),
    ...[NFTA.RULE.COMPAT, NFTA.RULE.USERDATA].flatMap((type) => read.get(type) ?? []),
  ];
  return { digest: digestOf(parts), contains: (text) => parts.some((part) => includes(part, text)) };
}

function expressionsIn(list: Uint8Array | undefined): Uint8Array[] {
  if (list === undefined) return [];
  const expressions: Uint8Array[] = [];
  scanAttributes(list, 0, list.length, (_type, from, to) => {
    const expression = list.subarray(from, to);
    const name = readAttributes(expression).get(NFTA.EXPR.NAME);
    const isCounting = COUNTING.includes(readString(name) ?? "");
    expressions.push(isCounting && name !== undefined ? name : expression);
  });
  return expressions;
}

function includes(bytes: Uint8Array, text: string): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(text);
}

/**
 * 64 bits by two rounds of FNV-1a with different bases, the parts' bounds included. Nobody is kept out by it who has
 * the privilege to change rules; it notices change. Node's own digests would load OpenSSL, for 3 MB of memory.
 */
function digestOf(parts: readonly Uint8Array[]): string {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  const mix = (byte: number) => {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x5bd1e995);
    b ^= b >>> 13;
  };
  for (const part of parts) {
    for (let i = 0; i < part.length; i++) mix(part[i] as number);
    mix(part.length & 0xff);
    mix(part.length >> 8);
  }
  return (a >>> 0).toString(16).padStart(8, "0") + (b >>> 0).toString(16).padStart(8, "0");
}
