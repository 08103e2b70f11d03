/**
 * The agent with nftables, whose table others fill with all that the kernel takes: names that nft cannot say, more than a
 * transaction can hold, things that refer to each other and to ours. Its rules are right again each time.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect } from "vitest";
import { times } from "../../lab/length.ts";
import { describeKernel, expectVerdicts, labTest, logged } from "../../lab/network/fixture.ts";
import { eventually, type Lab } from "../../lab/network/lab.ts";
import {
  CONFIG,
  FLAGS,
  listing,
  nft,
  programmed,
  TABLE,
  VERDICTS,
} from "../../lab/network/nftables-agent-table.ts";

const T = TABLE.join(" ");

const MANY = times(10_000, 50_000);

/** Sends nf_tables messages in one transaction; each line of its input is a message's type, flags and attributes. */
const SENDER = `
import json, socket, struct, sys, time
attribute = lambda type, value: struct.pack("<HH", 4 + len(value), type) + value + bytes(-len(value) % 4)
def message(type, flags, body, resource=0):
  body = struct.pack(">BBH", 1 if type >> 8 else 0, 0, resource) + body
  return struct.pack("<IHHII", 16 + len(body), type, flags | 1, 1, 0) + body
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.bind((0, 0))
batch = message(0x10, 0, b"", 10)
for type, flags, attributes in json.loads(sys.argv[1]):
  batch += message(0xa00 | type, flags | 4, b"".join(attribute(n, bytes.fromhex(h)) for n, h in attributes))
s.send(batch + message(0x11, 0, b"", 10))
s.settimeout(2)
answers = s.recv(65536)
code = struct.unpack_from("<i", answers, 16)[0]
sys.stdout.write(f"{code} {s.getsockname()[0]}\\n"); sys.stdout.flush()
if len(sys.argv) > 2: time.sleep(600)
`;

type RawMessage = readonly [type: number, flags: number, attributes: readonly (readonly [number, string])[]];

const CREATE = 0x400;
const text = (value: string | Uint8Array) =>
  Buffer.concat([Buffer.from(value), Buffer.of(0)]).toString("hex");
const number = (value: number) => Buffer.of(0, 0, value >> 8, value & 255).toString("hex");
const OWN = [1, text("ip-masq-agent")] as const;

/** A chain, a set and a counter of each name. */
function oddNames(names: readonly (string | Uint8Array)[]): RawMessage[] {
  return names.flatMap((name): RawMessage[] => [
    [3, CREATE, [OWN, [3, text(name)]]],
    [9, CREATE, [OWN, [2, text(name)], [3, number(0)], [4, number(7)], [5, number(4)], [10, number(1)]]],
    [18, CREATE, [OWN, [2, text(name)], [3, number(1)], [0x8004, ""]]],
  ]);
}

async function send(lab: Lab, messages: readonly RawMessage[]): Promise<void> {
  const { stdout, stderr } = await lab.inNode("python3", ["-c", SENDER, JSON.stringify(messages)]);
  expect(stdout, stderr).toMatch(/^0 /);
}

function lines(count: number, line: (i: number) => string): string[] {
  return Array.from({ length: count }, (_, i) => line(i));
}

const FLOWTABLE = `${T} f { hook ingress priority 0; devices = { lo }; }`;

/** Not every kernel has them. */
async function hasFlowtables(lab: Lab): Promise<boolean> {
  return (await lab.inNode("nft", ["--check", "add", "flowtable", FLOWTABLE])).code === 0;
}

/** What others put into the table, and a word of what the log says of it. */
const ADDITIONS: Readonly<Record<string, readonly [(lab: Lab) => Promise<unknown>, RegExp]>> = {
  "names that nft cannot say": [
    (lab) =>
      send(lab, oddNames(["a b", '"quoted"', "-", "ä".repeat(127), "x".repeat(255), Buffer.of(0xff, 0xfe)])),
    /healed: chain a b was unexpected/,
  ],
  "more chains than a transaction can hold, which jump to each other": [
    (lab) =>
      nft(
        lab,
        ...lines(900, (i) => `add chain ${T} c${i}`),
        ...lines(900, (i) =>
          i % 8 === 0 ? `add rule ${T} c${i} accept` : `add rule ${T} c${i} jump c${i - 1}`,
        ),
      ),
    /and 880 more/,
  ],
  "more sets and objects than a transaction can hold": [
    (lab) =>
      nft(
        lab,
        ...lines(500, (i) => `add set ${T} s${i} { type inet_service; }`),
        ...lines(500, (i) => `add counter ${T} n${i}`),
      ),
    /and 980 more/,
  ],
  [`${MANY} rules in our chain, the first of which accepts`]: [
    (lab) =>
      nft(
        lab,
        `insert rule ${T} postrouting accept`,
        ...lines(MANY, (i) => `add rule ${T} postrouting ip saddr 1.1.${i >> 8}.${i & 255} counter`),
      ),
    /healed: .*rule 1 of chain postrouting/,
  ],
  "a base chain that masquerades before ours": [
    (lab) =>
      nft(
        lab,
        `add chain ${T} theirs { type nat hook postrouting priority 50; }`,
        `add rule ${T} theirs masquerade`,
      ),
    /healed: chain theirs was unexpected/,
  ],
  "a base chain that drops": [
    (lab) => nft(lab, `add chain ${T} theirs { type filter hook forward priority 0; policy drop; }`),
    /healed: chain theirs was unexpected/,
  ],
  "a plain chain of our name, to which rules and a map lead": [
    (lab) =>
      nft(
        lab,
        `flush chain ${T} postrouting`,
        `delete chain ${T} postrouting`,
        `add chain ${T} postrouting`,
        `add rule ${T} postrouting accept`,
        `add chain ${T} theirs { type nat hook postrouting priority 50; }`,
        `add rule ${T} theirs jump postrouting`,
        `add map ${T} verdicts { type ipv4_addr : verdict; elements = { 1.1.1.1 : jump postrouting }; }`,
        `add rule ${T} theirs ip daddr vmap @verdicts`,
      ),
    /healed: chain postrouting was/,
  ],
  "our sets' names for other kinds, in use": [
    (lab) =>
      nft(
        lab,
        `flush chain ${T} postrouting`,
        ...["keep-ipv4", "keep-ipv6"].flatMap((set) => [
          `delete set ${T} ${set}`,
          `add map ${T} ${set} { type ipv4_addr : verdict; }`,
          `add set ${T} ${set}-next { type ipv4_addr; }`,
          `add chain ${T} uses-${set}`,
          `add rule ${T} uses-${set} ip saddr @${set}-next ip daddr vmap @${set}`,
        ]),
      ),
    /healed: set keep-ipv4 was/,
  ],
  "objects of every kind, in rules and in maps": [
    async (lab) =>
      nft(
        lab,
        `add counter ${T} n`,
        `add quota ${T} q { over 1 mbytes; }`,
        `add limit ${T} l { rate 10/second; }`,
        `add ct helper ${T} h { type "ftp" protocol tcp; }`,
        `add ct timeout ${T} t { protocol tcp; policy = { established: 100 }; }`,
        `add ct expectation ${T} e { protocol tcp; dport 99; timeout 1m; size 2; l3proto ip; }`,
        `add synproxy ${T} p { mss 1460; wscale 7; }`,
        `add map ${T} counters { type ipv4_addr : counter; elements = { 1.1.1.1 : "n" }; }`,
        `add chain ${T} theirs`,
        `add rule ${T} theirs counter name n quota name q limit name l`,
        ...((await hasFlowtables(lab))
          ? [`add flowtable ${FLOWTABLE}`, `add rule ${T} theirs ct state established flow add @f`]
          : []),
      ),
    /healed: counter n was unexpected/,
  ],
  "a chain within our rule": [
    (lab) => nft(lab, `insert rule ${T} postrouting ip daddr 8.8.8.8 jump { accept; }`),
    /healed: rule 1 of chain postrouting/,
  ],
  "120,000 elements in our set": [
    async (lab) => {
      const set = /@(keep-ipv4\S*)/.exec((await listing(lab)).join())?.[1];
      const addresses = (i: number) =>
        lines(1_000, (j) => `${20 + (i >> 6)}.${(4 * i) & 255}.${j >> 7}.${2 * (j & 127)}`).join();
      await nft(lab, ...lines(120, (i) => `add element ${T} ${set} { ${addresses(i)} }`));
    },
    /healed: set keep-ipv4\S* was \[far too many elements\]/,
  ],
};

/** A table's listing in any order; sets may have had to take other names. */
function parts(table: readonly string[]): readonly string[] {
  const text = table.join("\n").replace(/keep-(ipv\d)-(next|\d+)/g, "keep-$1");
  return text
    .split(/^\t(?=\S)/m)
    .map((part) => part.trimEnd())
    .sort();
}

describeKernel("nftables: what others put into the table", () => {
  labTest("goes, whatever it is, and our rules are right", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: FLAGS });
    const own = parts(await programmed(lab, agent));
    for (const [what, [add, said]] of Object.entries(ADDITIONS)) {
      const before = agent.log().length;
      await add(lab);
      await eventually(async () => {
        expect(agent.log().slice(before), what).toMatch(said);
        expect(parts(await listing(lab)), what).toEqual(own);
      });
      await expectVerdicts(lab, VERDICTS);
    }
    expect(logged(agent, "E")).toEqual([]);
    expect(logged(agent, "W", "cannot be removed")).toEqual([]);
  });

  labTest("is there before the agent starts", async ({ lab }) => {
    await nft(
      lab,
      `table ${T} { comment "ip-masq-agent chain=IP-MASQ-AGENT"; chain postrouting { type nat hook postrouting priority 101; }; }`,
    );
    for (const [add] of Object.values(ADDITIONS).slice(0, 5)) await add(lab);
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: FLAGS });
    await programmed(lab, agent);
    await eventually(async () => {
      expect((await listing(lab)).filter((line) => /^\t\w/.test(line))).toHaveLength(4);
      await expectVerdicts(lab, VERDICTS);
    });
    expect(logged(agent, "E")).toEqual([]);
  });
});

describeKernel("nftables: a table that another process owns", () => {
  labTest("is said to be, with the process, and is healed once that has ended", async ({ lab }) => {
    lab.volume.write(CONFIG);
    const agent = lab.startAgent({ flags: FLAGS });
    await programmed(lab, agent);
    const anew: RawMessage[] = [
      [2, 0, [OWN]],
      [0, CREATE, [OWN, [2, number(2)]]],
    ];
    const [file = "", ...args] = lab.inside("node", "python3", "-c", SENDER, JSON.stringify(anew), "hold");
    const owner = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
    const [answer] = (await once(owner.stdout, "data")) as [Buffer];
    const [code, port] = String(answer).trim().split(" ");
    expect(code).toBe("0");
    await eventually(() =>
      expect(logged(agent, "E").join("\n")).toMatch(
        new RegExp(`table inet ip-masq-agent is owned by netlink port ${port} \\(pid \\d+ \\(.*python3 -c `),
      ),
    );
    expect(logged(agent, "E").join("\n")).not.toContain("CAP_NET_ADMIN");
    owner.kill();
    await eventually(() => expectVerdicts(lab, VERDICTS));
  });
});
