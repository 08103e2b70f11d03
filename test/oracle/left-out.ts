/** The documents that are not compared: what letter h of README's differences says that we read differently, on purpose. */
import { parseYaml } from "../../src/yaml/parse.ts";
import type { YamlNode } from "../../src/yaml/parse-node.ts";
import { resolveScalar } from "../../src/yaml/resolve.ts";
import { decodeText } from "../../src/yaml/text.ts";

/** libyaml sees bad bytes after the first document only if it has read that far, in portions of this size. */
const PORTION_BYTES = 512;
/** Byte order marks further on, directives, and tags that Go knows and we do not. */
const TEXT =
  /\uFEFF|[\n\r\u0085\u2028\u2029]%|^%(?!YAML 1\.1(?: #.*)?\n)|binary|timestamp|![-\w]+!|!\S*%|\.(?:inf|nan)/i;

export function isLeftOut(bytes: Buffer): boolean {
  if (/^\s*\{/.test(bytes.toString("utf8"))) return false;
  const { text, failure } = decodeText(bytes);
  if (failure !== undefined) return bytes.length > PORTION_BYTES || isBadAtEnd(bytes);
  if (TEXT.test(text)) return true;
  const parsed = parseYaml(text);
  return parsed.ok && parsed.root !== undefined && hasOddKey(parsed.root);
}

/** Whether a character may be cut short by the end of the bytes, which libyaml notices only where it reads to the end. */
function isBadAtEnd(bytes: Buffer): boolean {
  const [a] = bytes;
  const encoding = a === 0xff ? "utf-16le" : a === 0xfe ? "utf-16be" : "utf-8";
  try {
    new TextDecoder(encoding, { fatal: true }).decode(bytes.subarray(0, -3), { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** Whether a mapping has a key that is a float, which we print differently, or null or too big, which is an error at once. */
function hasOddKey(root: YamlNode): boolean {
  const pending: YamlNode[] = [root];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (node.kind !== "sequence" && node.kind !== "mapping") continue;
    pending.push(...node.children);
    if (node.kind === "mapping" && node.children.some((child, i) => i % 2 === 0 && isOdd(child))) return true;
  }
  return false;
}

function isOdd(key: YamlNode): boolean {
  const scalar = key.kind === "alias" ? key.target : key;
  if (scalar.kind !== "scalar") return false;
  const resolved = resolveScalar(scalar);
  return typeof resolved === "object" && ["null", "float", "uint"].includes(resolved.type);
}
