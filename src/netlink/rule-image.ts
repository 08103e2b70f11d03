/**
 * Rules as images: the bytes that the kernel keeps of them, not decoded. Two images of one rule are equal as long as no
 * process has changed it: iptables-nft's rules hold structures of xtables that only iptables can read, but comparing
 * bytes shows a change.
 */
import { type Message, readAttributes, readString, scanAttributes } from "./attributes.ts";
import { NFTA } from "./constants.ts";

/** The bytes that the kernel keeps of a rule, a character for each: the same text until the rule changes. */
export type RuleImage = string;

/** Expressions whose data is the kernel's own bookkeeping: it changes with each packet. */
const COUNTING: readonly string[] = ["counter"];

/** A rule's image. The kernel also sends its handle and that of the rule before it; they are not part of the image. */
export function readRuleImage({ attributes }: Message): RuleImage {
  const read = readAttributes(attributes);
  const parts = [
    ...expressionsIn(read.get(NFTA.RULE.EXPRESSIONS)),
    ...[NFTA.RULE.COMPAT, NFTA.RULE.USERDATA].flatMap((type) => read.get(type) ?? []),
  ];
  return parts.map((part) => `${part.length}:${textOf(part)}`).join();
}

/** The parts of an image: expressions in their order, then userland's data. */
export function imageParts(image: RuleImage): string[] {
  const parts: string[] = [];
  for (let at = 0; at < image.length; ) {
    const colon = image.indexOf(":", at);
    const end = colon + 1 + Number(image.slice(at, colon));
    parts.push(image.slice(colon + 1, end));
    at = end + 1;
  }
  return parts;
}

/** A text as an image shows it. */
export function imageText(text: string): string {
  return Buffer.from(text).toString("latin1");
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

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
