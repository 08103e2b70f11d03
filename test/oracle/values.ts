/** Random configurations, CIDRs, durations, booleans and integers, near the border between good and bad. */
import type { Random } from "./corpus.ts";

const pick = <T>(random: Random, ...choices: readonly T[]): T => choices[random.below(choices.length)] as T;

const CIDRS = [
  "10.0.0.0/8",
  "198.51.100.0/24",
  "0.0.0.0/0",
  "1.2.3.4/32",
  "10.0.0.0/08",
  "fd00::/8",
  "2001:db8::/32",
  "::/0",
  "::1/128",
  "::ffff:10.0.0.0/104",
  "::ffff:0:0/96",
  "::ffff:0:0/95",
  "::10.0.0.0/104",
  "1:2:3:4:5:6:7:8/128",
  "fe80::1%eth0/64",
  "1::2:0:0/112",
  "::2:3:4:5:6:7:8/128",
  "64:ff9b::1.2.3.4/128",
  "10.0.0.0",
  "x",
];
const DURATIONS = [
  "60s",
  "1h2m3.5s",
  "-1.5h",
  "+5ms",
  "0",
  "2us",
  "2µs",
  "2μs",
  ".5s",
  "1.s",
  "9223372036854775807ns",
  "0.000000001s",
  "1e3s",
];
const INTEGERS = [
  "0",
  "-0",
  "+1000",
  "010",
  "1_000",
  "0x10",
  "65535",
  "9223372036854775807",
  "-9223372036854775808",
  "1.5",
  "",
];
const BOOLEANS = ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False", "yes", ""];

/** A text of the list, mostly with a few characters changed. */
function near(random: Random, texts: readonly string[], alphabet: string): Buffer {
  let text = pick(random, ...texts);
  for (let edits = random.below(4); edits > 0; edits--) {
    const at = random.below(text.length + 1);
    const insert =
      random.below(3) === 0 ? pick(random, ...texts) : (alphabet[random.below(alphabet.length)] ?? "");
    text = text.slice(0, at) + (random.below(3) === 0 ? "" : insert) + text.slice(at + random.below(3));
  }
  // Debian's Go 1.19 takes an IPv6 group of more than four digits; the Go of the recorded facts (1.22 and later) does not.
  return /[0-9a-f]{5}/i.test(text) && text.includes(":") ? near(random, texts, alphabet) : Buffer.from(text);
}

export const generateCidr = (random: Random): Buffer => near(random, CIDRS, "0123456789abcdef:./%F");
export const generateDuration = (random: Random): Buffer => near(random, DURATIONS, "0123456789.hmsuµn+-e_ ");
export const generateInteger = (random: Random): Buffer => near(random, INTEGERS, "0123456789+-_xob.");
export const generateBoolean = (random: Random): Buffer => near(random, BOOLEANS, "tTrRuUeE01fF");

const KEYS = ["nonMasqueradeCIDRs", "cidrLimit", "masqLinkLocal", "masqLinkLocalIPv6", "resyncInterval"];

/** A key, now and then in another spelling that Go takes for the same, or not. */
function key(random: Random): string {
  const name = pick(random, ...KEYS);
  const spelling = random.below(12);
  if (spelling === 0) return name.toLowerCase();
  if (spelling === 1) return name.toUpperCase();
  if (spelling === 2) return name.replace("s", "\u017f").replace("k", "\u212a");
  return spelling === 3 ? `${name}x` : name;
}

function scalar(random: Random, quote: (text: string) => string): string {
  const text = () =>
    quote(near(random, random.below(2) === 0 ? CIDRS.slice(0, 10) : DURATIONS, "0123./s").toString());
  return pick(
    random,
    () => "null",
    () => "true",
    () => "false",
    () => "3",
    () => "2.0",
    () => "1e1",
    () => "-1",
    text,
    text,
    () => "{}",
  )();
}

function list(random: Random): string {
  const entries = Array.from({ length: random.below(6) }, () =>
    random.below(5) === 0
      ? scalar(random, JSON.stringify)
      : JSON.stringify(pick(random, ...CIDRS.slice(0, 10))),
  );
  return `[${entries.join(", ")}]`;
}

/** The kind of value that belongs to the key, mostly. */
function value(random: Random, name: string): string {
  if (random.below(8) === 0) return scalar(random, JSON.stringify);
  const fold = name.toLowerCase();
  if (fold.startsWith("nonmas")) return random.below(10) === 0 ? "null" : list(random);
  if (fold.startsWith("cidr"))
    return pick(random, "0", "1", "2", "3", "64", "-1", "null", "9223372036854775807");
  if (fold.startsWith("resync")) return JSON.stringify(near(random, DURATIONS, "0123456789.hms").toString());
  return pick(random, "true", "false", "null");
}

/** A configuration as JSON, or as YAML with flow values, keys repeated now and then. */
export function generateConfig(random: Random): Buffer {
  const members = Array.from({ length: random.below(6) }, () => {
    const name = key(random);
    return [name, value(random, name)] as const;
  });
  const json = random.below(2) === 0;
  const lines = members.map(([name, text]) =>
    json ? `${JSON.stringify(name)}: ${text}` : `${name}: ${text}\n`,
  );
  return Buffer.from(json ? `{${lines.join(", ")}}` : lines.join(""));
}
