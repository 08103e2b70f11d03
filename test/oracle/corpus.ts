/** Inputs for the differential test: seeds, and their mutations. */
import { readdirSync, readFileSync } from "node:fs";

const CASES = "test/conformance/cases";

/** A small random generator (mulberry32), so that a seed gives the same run again. */
export interface Random {
  below(limit: number): number;
  pick<T>(list: readonly T[]): T;
}

export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return { below, pick: (list) => list[below(list.length)] as (typeof list)[number] };
}

/** YAML features, one after the other; each is a whole document. */
export const SNIPPETS: readonly string[] = [
  "",
  "a: b\n",
  "- a\n- b\n",
  "a:\n- b\n- c\nd: e\n",
  "a:\n  - b\n  -   c: d\n      e: f\n",
  "? a\n: b\n? - c\n: - d\n",
  "? |\n  block key\n: - one\n  - two\n",
  "[a, b, {c: d}, [e]]\n",
  "{a: b, c: [d, e], ? f : g, h, 'i': j}\n",
  "[a: b, ? c : d, ? e, : f]\n",
  "[? a]\n",
  "[?]\n",
  "[::/0, 10.0.0.0/8]\n",
  "[]: x\n",
  "{}: x\n",
  "- []: x\n",
  "a: []: x\n",
  "{a: 1}: x\n",
  "plain text\n continued here\n\n after blank\n",
  "a: plain\n  multi\n\n\n  line # comment\n",
  "'single ''quoted''\n  folded\n\n  text'\n",
  '"double \\"quoted\\" \\x41 \\u00e9 \\U0001F600 \\n\\t\\0 \\\n   joined\n\n  folded \\  "\n',
  '"bad \\/ escape"\n',
  '"\\e\\a\\b\\v\\f\\r\\N\\_\\L\\P\\ \\\t"\n',
  "a: |\n  literal\n   more\n\n  text\n\nb: >\n  folded\n  text\n\n   indented\n  back\n\n",
  "a: |-\n  strip\n\nb: |+\n  keep\n\nc: >2-\n    two\nd: |1+\n  one\n",
  "a: |0\n  x\n",
  "a: | # comment\n  x\n",
  "a: >\n\n\n   \n  x\n",
  "a: |\n\tx\n",
  "--- |\n literal at top\n...\n",
  "--- >\nfolded\n--- \nsecond\n",
  "&a a: *a\n",
  "a: &x [1, 2]\nb: *x\nc: &y {d: *x}\ne: *y\n",
  "a: &a [*a]\n",
  "a: &a {b: *a}\n",
  "<<: {a: 1}\na: 2\n",
  "a: 2\n<<: {a: 1, b: 3}\n",
  "x: &x {a: 1}\ny: &y {a: 2, b: 3}\nz:\n  <<: [*x, *y]\n  c: 4\n",
  "<<: [1]\n",
  "<<: 5\n",
  "'<<': {a: 1}\n",
  "!!merge <<: {a: 1}\n",
  "! <<: {a: 1}\n",
  "a: !!str 1\nb: !!int '5'\nc: !!float 5\nd: !!bool yes\ne: !!null ~\nf: !foo 5\ng: ! 5\n",
  "a: 2001-12-14T21:59:43.10-05:00\nb: 2001-1-1\n2001-12-14: c\n",
  "a: !!int abc\n",
  "a: !!float 99999999999999999999\n",
  "a: !!seq [a]\nb: !!map {c: d}\nc: !!set {e}\n",
  "a: !<tag:yaml.org,2002:int> 5\nb: !<!x> y\n",
  "%YAML 1.1\n---\na: b\n",
  "%YAML 1.1 # c\n# more\n---\n",
  "--- a\n--- b\n",
  "---\n...\n---\na\n",
  "...\n",
  "a: b\n...\nc: d\n",
  "a: b\nc\n",
  "a: b\n c: d\n",
  "a: b: c\n",
  "a:\n\tb: c\n",
  "\ta: b\n",
  "a:\tb\n",
  "- \ta\n-\tb: c\n",
  "[a,\n\tb,\n\t# c\n\td]\n",
  "a: 'x\n---\ny'\n",
  "a: @x\n",
  "a: `x\n",
  "a: %x\n",
  "- - - a\n    - b\n  - c\n- d\n",
  "a:\n-b\n- c\n",
  "a: -\nb: - c\n",
  "- ? a\n  : b\n- : c\n- ?\n",
  "true: 1\nno: 2\n3: 4\n0x10: 7\n9223372036854775807: a\n",
  "[a]: b\n",
  "{a: b}: c\n",
  "? [a]\n: b\n",
  "a: null\nb: ~\nc:\nd: Null\ne: NULL\nf: nil\n",
  "[y, Y, yes, n, off, On, TRUE, False, t, f, o]\n",
  "[0, 07, 08, 0o7, 0x1F, 0b101, -0b11, 0b-1, 0b+1, +5, -5, 1_000, _1, 1__0, 0_7, 0x_1, 190:20:30]\n",
  "[9223372036854775807, 9223372036854775808, -9223372036854775808, -9223372036854775809]\n",
  "[18446744073709551615, 18446744073709551616, 0xFFFFFFFFFFFFFFFF, 0x10000000000000000]\n",
  "[01777777777777777777777, 0b1111111111111111111111111111111111111111111111111111111111111111]\n",
  "[1.5, .5, 5., -.5, +.5, 1e3, 1e21, 1e20, 1e-7, 1e400, -1e400, .5_5, ._5, .5e1_0, ., -, +, ..]\n",
  "[1.0, -0.0, 100000000.0, 123456789012345678.0, 0.000001, 1.e3, .e3, 1e, 1e+]\n",
  "'a':b\n",
  '{"a":b}\n',
  ' {"a":b}\n',
  "--- {'a':b}\n",
  "\u00e9: \u4f60\n\u{1F600}: \uE000\n\uFFFD: x\n",
  "\uFEFFa: b\n",
  "a: b\u0085c: d\u2028e: f\u2029",
  "a: 'x\u0085\u0085y\u2028z'\n",
  "a: >\n  x\u2028  y\n  z\u0085\n",
  "a: b\r\nc:\r\n- d\r\n- |\r\n  e\r\n  f\r\n",
  "a: b\rc: d\r",
  "a: \u0007\n",
  "- a # comment\n-#b\n- c#d\n",
  "- [a, b\n- c\n",
  "- {a: b, c\n",
  "- 'abc\n",
  '- "abc\n',
  "]\n",
  "a: ]\n",
  "a: *b\n",
  "a: &\n",
  "a: &b c\nd: *b\ne: &b f\ng: *b\n",
  "a: &b\nc: *b\n",
  "- &a\n- *a\n",
  "- &a !!str\n- *a\n- !!str &b\n",
  "!foo\n",
  "!<foo a\n",
  `a: ${"x".repeat(1100)}: b\n`,
  `${"x".repeat(1020)}: b\n`,
  `${"x".repeat(1030)}: b\n`,
  `[${"x".repeat(1030)}: b]\n`,
  `? ${"x".repeat(1030)}\n: b\n`,
  '{"a": 1, "a": [true, false, null, -0, 1.50, 1E5], "b": "\\ud83d\\ude00\\ud800x\\u0041\\/"}',
  '{"a": "\\q"}',
  '{"a": 01}',
  '{"a": -}',
  '{"a": 1.}',
  '{"a": 1e}',
  '{"a": tru',
  '{"a": nul1}',
  '{"a" 1}',
  '{"a": 1 "b": 2}',
  "{",
  '{"a',
  '{"a\\',
  '{"a": [1, 2',
  '{"a": [1, 2,]}',
  '{"a": 1,}',
  "{,}",
  "{}x",
  "{}\u00a0",
  "\u00a0{}",
  "\u2003{}",
  "\u000b{}",
  "\u3000 {}",
  '{"\u00e9": "\u{1F600}"}',
  '{"a": \u00e9}',
];

/** The indicators and words that a grammar of YAML stumbles over. */
const PIECES: readonly string[] = [
  ..."-?:,[]{}#&*!|>'\"%@`\\\n\t ~<=.+_0123456789abxyzeEnN/\r",
  "\n",
  "\n",
  "\n  ",
  "\n - ",
  "\n\n",
  "\r\n",
  "  ",
  ": ",
  "- ",
  "? ",
  ", ",
  " #",
  "---",
  "\n---\n",
  "\n--- ",
  "...",
  "\n...\n",
  "<<",
  "<<: ",
  "&a ",
  "*a",
  "*a ",
  "&b ",
  "*b ",
  "!!str ",
  "!!int ",
  "!!float ",
  "!!bool ",
  "!!null ",
  "!!merge ",
  "!x ",
  "! ",
  "!<",
  "|\n",
  "|-\n  ",
  ">+\n ",
  ">1\n",
  "|2 # c\n",
  "''",
  '""',
  "\\n",
  "\\x41",
  "\\u00e9",
  "\\\n",
  "true",
  "null",
  "yes",
  "1.5",
  "0x1f",
  "0b1",
  "1e3",
  "-0.0",
  "2001-01-01",
  "a",
  "b",
  "a: b",
  "10.0.0.0/8",
  "::/0",
  "\u0085",
  "\u2028",
  "\u00a0",
  "\u00e9",
  "\u{1F600}",
  "\uE000",
  "\u0001",
  "\u007f",
];
const JSON_PIECES: readonly string[] = [
  ...'{}[]:,"\\ \n\t-+.eE0123456789tfn/u',
  "{",
  "[",
  '"a"',
  '"a":',
  "true",
  "false",
  "null",
  "1",
  "-0",
  "1.5e3",
  "\\u0041",
  "\\ud83d",
  "\\ude00",
  "\\n",
  "\u00e9",
  "\u{1F600}",
  "\u0001",
  "\u2028",
];
const BAD_BYTES: readonly number[][] = [
  [0xff],
  [0x80],
  [0xc3],
  [0xc0, 0xaf],
  [0xe2, 0x82],
  [0xed, 0xa0, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xf0, 0x9f, 0x98],
  [0xc2, 0x81],
  [0xef, 0xbf, 0xbe],
  [0x00],
];

/** The files of the recorded cases, if they are there. */
function recordedSeeds(): Buffer[] {
  const seeds: Buffer[] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, item] of Object.entries(value)) {
      if (key === "ip-masq-agent" && typeof item === "string") seeds.push(Buffer.from(item));
      else if (key === "base64" && typeof item === "string") seeds.push(Buffer.from(item, "base64"));
      else visit(item);
    }
  };
  try {
    for (const name of readdirSync(CASES)) {
      for (const line of readFileSync(`${CASES}/${name}`, "utf8").split("\n")) {
        if (line.trim() !== "") visit(JSON.parse(line));
      }
    }
  } catch {
    console.error(`no recorded cases in ${CASES}: going on without`);
  }
  return seeds.filter((seed) => seed.length < 20_000);
}

export function documentSeeds(): Buffer[] {
  const all = [...SNIPPETS.map((text) => Buffer.from(text)), ...recordedSeeds()];
  return [...new Map(all.map((seed) => [seed.toString("base64"), seed])).values()];
}

function soup(random: Random, pieces: readonly string[]): string {
  return Array.from({ length: 1 + random.below(random.pick([6, 12, 30])) }, () => random.pick(pieces)).join(
    "",
  );
}

/** A document of nested collections, in random styles: mostly right, unlike soup. */
function tree(random: Random, depth: number, indent: string): string {
  const scalar = () =>
    random.below(3) > 0 ? random.pick(PIECES).trim() || "x" : soup(random, PIECES).slice(0, 8);
  if (depth === 0 || random.below(4) === 0) return scalar();
  const width = 1 + random.below(3);
  const children = Array.from({ length: width }, () => tree(random, depth - 1, `${indent}  `));
  const gap = `\n${indent}`;
  switch (random.below(5)) {
    case 0:
      return `[${children.join(", ")}]`;
    case 1:
      return `{${children.map((child, i) => `k${i}: ${child}`).join(", ")}}`;
    case 2:
      return gap + children.map((child) => `- ${child}`).join(gap);
    case 3:
      return (
        gap + children.map((child, i) => `${random.pick(["k", "", "'q' ", "&a "])}${i}: ${child}`).join(gap)
      );
    default:
      return gap + children.map((child) => `? ${child}${gap}: ${scalar()}`).join(gap);
  }
}

/** A JSON value, spaced at random. */
function json(random: Random, depth: number): string {
  const space = () => random.pick(["", "", " ", "\n", "\t\r"]);
  const text = () =>
    `"${random.pick(["", "a", "b", "\\u0041", "\\ud83d\\ude00", "\\ud83d", "\u00e9", "\\/", "x y"])}"`;
  const width = depth === 0 ? 0 : random.below(4);
  const children = Array.from({ length: width }, () => space() + json(random, depth - 1) + space());
  switch (random.below(depth === 0 ? 3 : 6)) {
    case 0:
      return text();
    case 1:
      return random.pick(["true", "false", "null"]);
    case 2:
      return random.pick(["0", "-0", "1.5", "1e5", "-2E+3", "12345678901234567890", "01", "1."]);
    case 3:
      return `[${children.join(",")}]`;
    default:
      return `{${children.map((child) => `${space()}${text()}${space()}:${child}`).join(",")}}`;
  }
}

function mutate(random: Random, seed: Buffer, other: Buffer): Buffer {
  let bytes = seed;
  for (let rounds = 1 + random.below(3); rounds > 0; rounds--) {
    const at = random.below(bytes.length + 1);
    const end = Math.min(bytes.length, at + 1 + random.below(random.pick([1, 1, 4, 20])));
    const head = bytes.subarray(0, at);
    const tail = bytes.subarray(at);
    const cut = bytes.subarray(end);
    switch (random.below(9)) {
      case 0:
        bytes = Buffer.concat([head, cut]);
        break;
      case 1:
        bytes = Buffer.concat([head, bytes.subarray(at, end), tail]);
        break;
      case 2: {
        const from = random.below(other.length + 1);
        bytes = Buffer.concat([head, other.subarray(from, from + 1 + random.below(20)), tail]);
        break;
      }
      case 3:
        bytes = Buffer.concat([head, Buffer.from(random.pick(BAD_BYTES)), tail]);
        break;
      case 4:
        bytes = random.below(4) === 0 ? head : Buffer.concat([bytes, other]);
        break;
      case 5:
        bytes = Buffer.concat([head, Buffer.from(random.pick(PIECES)), cut]);
        break;
      default:
        bytes = Buffer.concat([head, Buffer.from(random.pick(PIECES)), tail]);
    }
  }
  return bytes;
}

/** Puts the text around the ends of the reader's 512 bytes. */
function pad(random: Random, bytes: Buffer): Buffer {
  const filler = random.pick(["x", " ", "\n", "# c\n", "\u00e9", "- x\n", "\u{1F600}", "a: b\n"]);
  const count = Math.floor((480 + random.below(60)) / Buffer.byteLength(filler));
  const padding = Buffer.from(filler.repeat(random.below(8) === 0 ? count * 2 : count));
  const at = random.pick([0, 0, bytes.length, random.below(bytes.length + 1)]);
  return Buffer.concat([
    bytes.subarray(0, at),
    random.pick([Buffer.from("#"), Buffer.alloc(0)]),
    padding,
    bytes.subarray(at),
  ]);
}

function toUtf16(random: Random, bytes: Buffer): Buffer {
  const little = Buffer.from(`\uFEFF${bytes.toString("utf8")}`, "utf16le");
  const encoded = random.below(2) === 0 ? little : Buffer.from(little).swap16();
  return random.below(4) === 0 ? encoded.subarray(0, random.below(encoded.length + 1)) : encoded;
}

const DIGITS = [
  "0",
  "1",
  "7",
  "8",
  "9",
  "00",
  "10",
  "255",
  "9223372036854775807",
  "18446744073709551615",
  "999999",
];
const NUMBER_PIECES = [
  ...DIGITS,
  ".",
  "-",
  "+",
  "_",
  "e",
  "E",
  "e+",
  "e-",
  "x",
  "0x",
  "0o",
  "0b",
  "f",
  "A",
  "b",
  ":",
];

function numberText(random: Random): string {
  switch (random.below(4)) {
    case 0:
      return `${random.pick(["", "-", "+"])}${random.below(1e6)}.${random.below(1e6)}${random.pick(["", "e5", "e-7", "e20", "e38"])}`;
    case 1: {
      const base = random.pick([2, 8, 16]);
      const digits = Array.from({ length: 1 + random.below(70) }, () =>
        random.below(base).toString(base),
      ).join("");
      return (
        random.pick(["", "-"]) +
        random.pick({ 2: ["0b"], 8: ["0o", "0"], 16: ["0x", "0X"] }[base] ?? [""]) +
        digits
      );
    }
    case 2: {
      const bytes = new DataView(new ArrayBuffer(8));
      for (let i = 0; i < 8; i++) bytes.setUint8(i, random.below(256));
      // A power of two now and then, where the shortest digits are the hardest.
      const value = random.below(3) === 0 ? 2 ** (random.below(300) - 160) : bytes.getFloat64(0);
      return random.pick([String(value), String(Math.fround(value)), String(bytes.getFloat32(0))]);
    }
    default:
      return Array.from({ length: 1 + random.below(5) }, () => random.pick(NUMBER_PIECES)).join("");
  }
}

function timestampText(random: Random): string {
  const part = (limit: number) =>
    random.pick([String(random.below(limit)), String(random.below(limit)).padStart(2, "0")]);
  const date = `${random.pick(["2001", "2000", "1900", "0004", "201"])}-${part(14)}-${part(33)}`;
  const time = `${part(26)}:${part(62)}:${part(62)}${random.pick(["", ".5", ",25", ".1234567890", "."])}`;
  const zone = random.pick(["", "Z", "z", "+01:00", "-5:00", "+-1:00", " +1"]);
  return date + random.pick(["", `T${time}${zone}`, `t${time}${zone}`, ` ${time}`, `  ${time}${zone}`]);
}

const TAGS = ["", "", "", "!!int ", "!!float ", "!!str ", "!!bool ", "!!null ", "! ", "!!merge "];
const WORDS = "y n yes No TRUE off ~ null Null nULL << = t f".split(" ");

/** Scalars of all types with all tags, as values and as keys. */
function typed(random: Random): string {
  const scalar = () => {
    const text = random.pick([numberText, numberText, timestampText, () => random.pick(WORDS)])(random);
    return random.pick(TAGS) + (random.below(8) === 0 ? `'${text}'` : text);
  };
  if (random.below(2) === 0) return `- ${scalar()}\n- ${scalar()}\n`;
  return Array.from({ length: 1 + random.below(4) }, () => `${scalar()}: ${scalar()}\n`).join("");
}

/** Documents at one of the limits: of keys, of depth, of aliases. */
function limits(random: Random): string {
  const near = (limit: number) => limit - 6 + random.below(12);
  switch (random.below(12)) {
    case 0:
      return `{"a":${"[".repeat(near(10_000))}${"]".repeat(near(10_000))}}`;
    case 1:
      return random.pick(["[", "{", "- ", "? ", "[{"]).repeat(near(10_000));
    case 2: {
      const depth = near(5000);
      return `${"- ".repeat(depth)}${"[".repeat(depth)}${"]".repeat(depth)}`;
    }
    case 3: {
      const count = near(99) + random.below(900);
      return `a: &a [${"x,".repeat(random.below(20))}]\nb: [${"*a,".repeat(count)}]`;
    }
    case 4: {
      const chain = Array.from({ length: random.below(60) }, (_, i) => `- &a${i + 1} [*a${i}, *a${i}]\n`);
      return `- &a0 x\n${chain.slice(0, 1 + random.below(14)).join("")}`;
    }
    default: {
      const filler = random.pick(["x", "\u00e9", "\u{1F600}", "x y ", "[x],"]);
      const length = near(1024) - random.below(4);
      const key = filler.repeat(Math.ceil(length / [...filler].length));
      const cut = [...key].slice(0, length).join("");
      const before = random.pick(["", "- ", "a:\n  ", "? ", "[", "{", "a: ", "\u{1F600}: "]);
      return (
        before +
        random.pick([cut, `'${cut}'`, `"${cut}"`, `[${cut}]`, `&a ${cut}`]) +
        random.pick([": b", " : b", ":b", "\n"])
      );
    }
  }
}

function shortBytes(random: Random): Buffer {
  const bytes = [
    0xff, 0xfe, 0xef, 0xbb, 0xbf, 0xc3, 0xa9, 0x61, 0x00, 0x0a, 0xd8, 0xdc, 0x3d, 0xe2, 0x80, 0x7b, 0x20,
  ];
  return Buffer.from(Array.from({ length: random.below(6) }, () => random.pick(bytes)));
}

export function generateDocument(random: Random, seeds: readonly Buffer[]): Buffer {
  const seed = random.pick(seeds);
  const kind = random.below(27);
  let bytes: Buffer;
  if (kind < 8) bytes = mutate(random, seed, random.pick(seeds));
  else if (kind < 12) bytes = Buffer.from(soup(random, PIECES));
  else if (kind < 13) bytes = Buffer.from(`{${soup(random, JSON_PIECES)}`);
  else if (kind < 14) bytes = mutate(random, Buffer.from(json(random, 4)), seed);
  else if (kind < 19) bytes = Buffer.from(tree(random, 1 + random.below(4), "").replace(/^\n/, ""));
  else if (kind < 20) bytes = mutate(random, Buffer.from(tree(random, 3, "")), seed);
  else if (kind < 24) bytes = Buffer.from(typed(random));
  else if (kind < 25) bytes = shortBytes(random);
  else if (kind < 26) bytes = Buffer.from(json(random, 4));
  else bytes = random.below(20) === 0 ? Buffer.from(limits(random)) : Buffer.from(`{"a":${json(random, 4)}}`);
  if (random.below(25) === 0) bytes = pad(random, bytes);
  if (random.below(40) === 0) bytes = toUtf16(random, bytes);
  return bytes;
}
