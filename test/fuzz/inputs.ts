/** Inputs for the fuzzer: a seeded source of chance, the recorded cases as a corpus, and ways to damage a text. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Chance that repeats: the same seed gives the same inputs. */
export interface Chance {
  /** A whole number from 0 to below `below`. */
  readonly less: (below: number) => number;
  readonly pick: <T>(items: readonly T[]) => T;
}

/** mulberry32, well mixed even for neighbouring seeds. */
export function createChance(seed: number): Chance {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const less = (below: number) => Math.floor(next() * below);
  return { less, pick: (items) => items[less(items.length)] as (typeof items)[number] };
}

export interface Corpus {
  /** Configuration files, a character for each byte. */
  readonly configs: readonly string[];
  readonly flags: readonly (readonly string[])[];
}

interface Operation {
  readonly write?: unknown;
  readonly writeInPlace?: unknown;
}

interface RecordedCase {
  readonly flags?: readonly string[];
  readonly files?: Readonly<Record<string, string | { readonly base64: string }>>;
  readonly steps?: readonly { readonly do?: readonly Operation[] }[];
}

/** What the recorded cases in `directory` feed the agent with. */
export function readCorpus(directory: string): Corpus {
  const configs = new Set<string>(EXTRA_CONFIGS);
  const flags: (readonly string[])[] = [];
  for (const name of readdirSync(directory).filter((file) => file.endsWith(".jsonl"))) {
    for (const line of readFileSync(join(directory, name), "utf8").trim().split("\n")) {
      const recorded = JSON.parse(line) as RecordedCase;
      if (recorded.flags !== undefined && recorded.flags.length > 0) flags.push(recorded.flags);
      const operations = (recorded.steps ?? []).flatMap((step) => step.do ?? []);
      const written = operations.flatMap((operation) => [operation.write, operation.writeInPlace]);
      for (const content of [...Object.values(recorded.files ?? {}), ...written]) {
        const bytes = bytesOf(content);
        if (bytes !== undefined && bytes.length < 20_000) configs.add(bytes.toString("latin1"));
      }
    }
  }
  return { configs: [...configs], flags };
}

function bytesOf(content: unknown): Buffer | undefined {
  if (typeof content === "string") return Buffer.from(content);
  const base64 = (content as { base64?: string } | undefined)?.base64;
  return base64 === undefined ? undefined : Buffer.from(base64, "base64");
}

/** Texts that the recorded cases lack: our own keys, aliases that multiply, deep nesting. */
const EXTRA_CONFIGS = [
  "masqueradeCIDRs: [10.1.0.0/16]\nnonMasqueradeCIDRs:\n- 10.0.0.0/8\n- fd00::/8\n",
  "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: &d [*c, *c, *c, *c]\ne: [*d, *d]\n",
  "x: &x {cidrLimit: 3}\n<<: *x\nnonMasqueradeCIDRs: &l [10.0.0.0/8]\nmasqueradeCIDRs: *l\n",
  `nonMasqueradeCIDRs: ${"[".repeat(50)}${"]".repeat(50)}\n`,
  '{"masqueradeCIDRs": ["10.1.0.0/16", null], "cidrLimit": 1e2, "resyncInterval": "1h2m"}',
  "masqueradeSourceCIDRs: [10.0.0.0/8, fd00::/8]\nnonMasqueradeSourceCIDRs: [10.1.0.0/16]\noutputInterfaces: [eth0, bond+]\n",
  "outputAddresses:\n- 192.0.2.10\n- 192.0.2.0/24\n- 2001:db8::1\noutputAddressBy: flow\n",
];

/** Pieces that mean something to one of the readers. */
const PIECES = [
  ..."nonMasqueradeCIDRs masqueradeCIDRs cidrLimit masqLinkLocal masqLinkLocalIPv6 resyncInterval".split(" "),
  ..."masqueradeSourceCIDRs nonMasqueradeSourceCIDRs outputInterfaces outputAddresses outputAddressBy pod flow".split(
    " ",
  ),
  ..."eth0 bond+ + !eth0 eth* eth0:1 192.0.2.10 192.0.2.10/24 127.0.0.1 2001:db8::1".split(" "),
  ..."10.0.0.0/8 0.0.0.0/0 ::/0 fe80::/10 ::ffff:10.0.0.0/104 10.0.0.0/08 10.0.0.1/8 169.254.0.0/16".split(
    " ",
  ),
  ..."60s 1h2m3.5s -1s 9223372036854775807ns 0 5ms 1e3 0x10 0o7 0b1 1_000 .inf .nan ~ null true yes on".split(
    " ",
  ),
  ..."1024-65535 1,2 - -- --- ... ? : , [ ] { } & * ! | > ' \" % @ ` # <<: &a *a !!str !!binary !!int".split(
    " ",
  ),
  ..."--to-ports=1 --enable-ipv6 --masq-chain --config= -v=2 --vmodule=a=1 --log_file --watch=false -h".split(
    " ",
  ),
  ...[
    "\n",
    "\n  ",
    "\n- ",
    ": ",
    "- ",
    "\t",
    "\r\n",
    "\r",
    "\0",
    "\xef\xbb\xbf",
    "\xff\xfe",
    "\xc2\x85",
    "\xe2\x80\xa8",
  ],
  ...[
    "\\u0000",
    "\\ud800",
    "\\x",
    "\xf0\x9f\x98\x80",
    "\xff",
    "%YAML 1.1\n---\n",
    "%TAG ! tag:x,2000:\n---\n",
  ],
];

/** Texts to repeat, to find readers that recurse or take quadratic time. */
const REPEATED = [
  "[",
  "{",
  "- ",
  "? ",
  "a: ",
  "&a ",
  "!a ",
  "\n",
  " ",
  "'",
  '"',
  "\\",
  "0",
  "1.",
  "1h",
  "1-",
  "::",
  "#",
  "|\n ",
  "*a,",
  "[a: ",
  "{a: {",
  '{"a":',
  "a:\n ",
  "- - ",
];

/** A damaged copy of `text`: one to six changes, seldom something long. */
export function mutate(chance: Chance, text: string, others: readonly string[]): string {
  let damaged = text;
  for (let changes = 1 + chance.less(6); changes > 0; changes--) damaged = change(chance, damaged, others);
  if (chance.less(3_000) === 0) {
    const at = chance.less(damaged.length + 1);
    const long = chance.pick(REPEATED).repeat(1 + chance.less(20_000));
    return damaged.slice(0, at) + long + damaged.slice(at);
  }
  return damaged.slice(0, 8_192);
}

function change(chance: Chance, text: string, others: readonly string[]): string {
  const from = chance.less(text.length + 1);
  const to = Math.min(text.length, from + chance.less(chance.less(4) === 0 ? text.length + 1 : 8));
  const head = text.slice(0, from);
  const tail = text.slice(to);
  switch (chance.less(7)) {
    case 0:
      return head + tail;
    case 1:
      return head + text.slice(from, to).repeat(2 + chance.less(3)) + tail;
    case 2:
      return head + String.fromCharCode(chance.less(256)) + tail;
    case 3: {
      const other = chance.pick(others);
      const start = chance.less(other.length + 1);
      return head + other.slice(start, start + chance.less(40)) + tail;
    }
    case 4:
      return head + String(chance.less(2 ** chance.less(40))) + tail;
    default:
      return head + chance.pick(PIECES) + text.slice(chance.less(2) === 0 ? from : to);
  }
}
