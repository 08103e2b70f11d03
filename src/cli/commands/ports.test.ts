import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Entry, entryMessage } from "../../../test/lab/conntrack.ts";
import { say } from "../../../test/lab/io.ts";
import { type Condition, fits } from "../../conntrack/condition.ts";
import type { Conntrack } from "../../conntrack/conntrack.ts";
import { type Flow, readFlow } from "../../conntrack/flow.ts";
import { parseMessages } from "../../netlink/attributes.ts";
import { NftablesError } from "../../netlink/errors.ts";
import { createPortsCommand } from "./ports.ts";
import type { PortsView } from "./ports-view.ts";
import { createWhoCommand } from "./who.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ports-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

const NODE = "192.0.2.1";
const NODE6 = "2001:db8::1";

/** What a kernel does besides keeping these entries. */
interface Kernel {
  readonly isFiltered?: boolean;
  readonly isWhole?: boolean;
  readonly fails?: Error;
}

function world(entries: readonly Entry[], { isFiltered = true, isWhole = true, fails }: Kernel = {}) {
  const flows = entries.map((entry, i) => {
    const [message] = parseMessages(entryMessage(entry, i + 1));
    return readFlow(message?.attributes ?? new Uint8Array()) as Flow;
  });
  const wanted = (condition: Condition) => flows.filter((flow) => fits(flow, condition));
  const conntrack: Conntrack = {
    async list(condition, visit) {
      if (fails) throw fails;
      wanted(condition).forEach(visit);
      return { read: flows.length, isWhole, isFiltered };
    },
    find: async (reply) => wanted({ reply })[0],
    async size() {
      if (fails) throw fails;
      return { entries: flows.length, limit: 262_144 };
    },
    counters: async () => ({ insertFailed: 0, drop: 0, earlyDrop: 0, invalid: 0 }),
  };
  return { open: () => conntrack, addresses: () => [NODE, "192.0.2.9", NODE6] };
}

const many = (count: number, entry: Partial<Entry>): Entry[] =>
  Array.from({ length: count }, (_, i) => ({
    ...{
      protocol: "tcp" as const,
      source: "10.244.1.7",
      sourcePort: 10_000 + i,
      remote: "8.8.8.8",
      port: 443,
    },
    ...{ node: NODE, nodePort: 32_768 + i },
    ...entry,
  }));

const CONFIG = "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [10.9.0.0/16]\n";

async function ports(args: readonly string[], entries: readonly Entry[], kernel: Kernel = {}, text = CONFIG) {
  const config = join(directory, "config");
  writeFileSync(config, text);
  const flags = ["--no-adopt", `--config=${config}`, "--enable-ipv6", ...args];
  const { code, out, err } = await say(createPortsCommand(world(entries, kernel)), flags);
  return { code, out: out.replaceAll(`${directory}/`, ""), err: err.replaceAll(`${directory}/`, "") };
}

const BUSY = [
  ...many(820, {}),
  ...many(30, { source: "10.244.1.9", nodePort: undefined as never }).map((one, i) => ({
    ...one,
    nodePort: 33_600 + i,
  })),
  ...many(20, { state: "TIME_WAIT" }).map((one, i) => ({ ...one, nodePort: 33_700 + i })),
  ...many(8, { protocol: "udp", source: NODE, remote: "203.0.113.53", port: 53 }),
  ...many(600, { remote: "10.9.1.1", port: 5432 }),
  ...many(3, { source: "fd00::7", remote: "2001:db8:5::1", node: NODE6 }),
];
const RANGE = "--to-ports=32768-33767";

describe("ports", () => {
  test("shows the fullest first, with who holds them, what that leads to, and why", async () => {
    expect(await ports([RANGE], BUSY)).toMatchInlineSnapshot(`
      {
        "code": 1,
        "err": "",
        "out": "node address  to                       in use     of  share  ended  by
      192.0.2.1     tcp 8.8.8.8:443             870  1,000   87 %     20  10.244.1.7 840, 10.244.1.9 30
        warning: from 92 % of the ports on one new connection in 40 fails, from 95 % on one in 10; a range of which the size does not divide 65,536 begins earlier
        8.8.8.8 is masqueraded since no entry of nonMasqueradeCIDRs contains it
      192.0.2.1     tcp 10.9.1.1:5432           600  1,000   60 %      0  10.244.1.7 600
        10.9.1.1 is masqueraded by 10.9.0.0/16 (config:2:19)
      192.0.2.1     udp 203.0.113.53:53           8  1,000    0 %      0  this node's own sockets 8
      2001:db8::1   tcp [2001:db8:5::1]:443       3  1,000    0 %      0  fd00::7 3
      ",
      }
    `);
  });

  test("as JSON has all sources, and exit code 0 below 80 % without what has ended", async () => {
    const { code, out } = await ports(
      [RANGE, "--top=1", "-o", "json"],
      [
        ...many(795, {}),
        ...many(150, { state: "CLOSE" }).map((one, i) => ({ ...one, nodePort: 33_600 + i })),
      ],
    );
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({
      entries: 945,
      limit: 262_144,
      keys: [
        {
          protocol: "tcp",
          remote: "8.8.8.8",
          port: 443,
          nodeAddress: NODE,
          inUse: 945,
          ended: 150,
          ports: 1_000,
          share: 0.945,
          by: [{ source: "10.244.1.7", inUse: 945, own: false }],
          reason: "8.8.8.8 is masqueraded since no entry of nonMasqueradeCIDRs contains it",
        },
      ],
      exact: true,
    } satisfies PortsView);
  });

  test("exit code 1 also for a key that is not shown", async () => {
    const ended = many(1_000, { remote: "9.9.9.9", state: "TIME_WAIT" });
    expect((await ports([RANGE, "--top=1"], [...ended, ...many(900, {})])).code).toBe(1);
    expect((await ports([RANGE, "--top=1"], [...ended, ...many(700, {})])).code).toBe(0);
  });

  test.each([
    [["--to=8.8.8.8"], 1],
    [["--to=8.8.8.8:443", "--protocol=TCP"], 1],
    [["--to=8.8.8.8:80"], 0],
    [["--protocol=udp"], 1],
    [["--protocol=sctp"], 0],
    [["--to=[2001:db8:5::1]:443"], 1],
  ])("%j narrows it to %d", async (args, keys) => {
    const { out } = await ports([...args, "-o", "json"], BUSY);
    expect((JSON.parse(out) as PortsView).keys).toHaveLength(keys);
  });

  test("of nothing says so", async () => {
    expect(await ports([], [])).toEqual({ code: 0, out: "no source port of this node is in use\n", err: "" });
  });

  test.each<[Kernel, RegExp, number]>([
    [{ isFiltered: false }, /this kernel does not filter: the whole table was read/, 0],
    [{ isWhole: false }, /not exact: 5 of 5 connections were counted/, 1],
    [
      { fails: new NftablesError({ code: "EPERM", what: "connections", why: "CAP" }) },
      /connections: EPERM: CAP/,
      1,
    ],
  ])("%j is told", async (kernel, words, code) => {
    const answer = await ports(["--to=8.8.8.8"], many(5, {}), kernel);
    expect(answer.err).toMatch(words);
    expect(answer.code).toBe(code);
  });

  test.each([
    [[RANGE], "from 92 % of the ports on one new connection in 40 fails"],
    [["--to-ports=32768-33267,33268-33767"], "from 93 % on one in 10"],
    [[RANGE, "--random-fully=false"], "without --random-fully two of three"],
  ])("%j has the warning of its kind", async (args, words) => {
    expect((await ports(args, many(900, {}))).out).toContain(words);
  });

  test("a configuration that is not good is said, and the ports all the same", async () => {
    const answer = await ports([RANGE], many(600, {}), {}, "nonMasqueradeCIDRs: [10.0.0.1/8]\n");
    expect(answer.out).toContain("why it is masqueraded is not known: config is not good: ");
    expect(answer.code).toBe(0);
  });

  test.each([
    ["--to=8.8.8"],
    ["--to=10.0.0.0/8"],
    ["--to=example.com"],
    ["--protocol=icmp"],
    ["--top=0"],
    ["x"],
  ])("%s is a wrong command line", async (arg) => {
    expect((await ports([arg], [])).code).toBe(2);
  });
});

const FLOWS: readonly Entry[] = [
  { source: "10.244.1.2", sourcePort: 39_636, remote: "8.8.8.20", port: 9, node: NODE, nodePort: 49_956 },
  {
    ...{ protocol: "tcp", source: "fd00:244:1::2", sourcePort: 40_110, asked: "fd00:96::a", askedPort: 443 },
    ...{ remote: "2600::8", port: 8443, node: NODE6, nodePort: 12_990, secondsLeft: 431_999 },
  },
  { source: NODE, sourcePort: 40_002, remote: "8.8.8.8", port: 53, node: NODE, nodePort: 40_002 },
  {
    protocol: "sctp",
    source: "10.244.1.3",
    sourcePort: 5,
    remote: "8.8.8.20",
    port: 9,
    node: NODE,
    nodePort: 49_956,
  },
  {
    source: "10.244.1.4",
    sourcePort: 7_000,
    remote: "10.1.1.1",
    port: 80,
    node: "10.244.1.4",
    nodePort: 7_000,
  },
];

const who = (args: readonly string[], kernel: Kernel = {}) =>
  say(createWhoCommand(world(FLOWS, kernel)), args);

describe("who", () => {
  test.each([
    [
      ["192.0.2.1:49956", "--to=8.8.8.20:9", "--protocol=udp"],
      "udp 10.244.1.2:39636 -> 8.8.8.20:9, masqueraded as 192.0.2.1:49956\n",
    ],
    [
      ["[2001:db8::1]:12990"],
      "tcp [fd00:244:1::2]:40110 -> [fd00:96::a]:443, behind that Service [2600::8]:8443, masqueraded as [2001:db8::1]:12990 (ESTABLISHED)\n",
    ],
    [
      ["192.0.2.1:40002"],
      'udp 192.0.2.1:40002 -> 8.8.8.8:53, a socket of this node: ss -nap "sport = :40002" names the process\n',
    ],
    [["10.244.1.4:7000"], "udp 10.244.1.4:7000 -> 10.1.1.1:80, which keeps its address\n"],
  ])("%j", async (args, out) => {
    expect(await who(args)).toMatchObject({ code: 0, out });
  });

  test("without --to tells all of them, in order of protocol", async () => {
    const { out } = await who(["192.0.2.1:49956", "-o", "json"]);
    expect(JSON.parse(out)).toEqual({
      connections: [
        {
          protocol: "udp",
          source: "10.244.1.2:39636",
          asked: "8.8.8.20:9",
          remote: "8.8.8.20:9",
          node: "192.0.2.1:49956",
          secondsLeft: 600,
          translated: true,
          own: false,
        },
        expect.objectContaining({ protocol: "sctp", source: "10.244.1.3:5" }),
      ],
    });
  });

  test.each<[readonly string[], Kernel, RegExp]>([
    [["192.0.2.1:1"], {}, /no such connection now: tcp, udp, sctp from 192.0.2.1:1\. UDP is forgotten/],
    [["192.0.2.1:1", "--to=8.8.8.8:2", "--protocol=tcp"], {}, /now: tcp from 192.0.2.1:1 to 8.8.8.8:2\./],
    [["198.51.100.1:1"], {}, /note: 198.51.100.1 is not an address of this node now/],
    [["192.0.2.1:1"], { isFiltered: false }, /this kernel does not filter/],
    [["192.0.2.1:1"], { isWhole: false }, /not all connections could be read/],
  ])("%j %j ends with 1 and says why", async (args, kernel, words) => {
    const { code, err } = await who(args, kernel);
    expect(code).toBe(1);
    expect(err).toMatch(words);
  });

  test.each([
    [[]],
    [["192.0.2.1"]],
    [["192.0.2.1:0"]],
    [["192.0.2.1:65536"]],
    [["fd00::1:443"]],
    [["example.com:443"]],
    [["tcp://192.0.2.1:443"]],
    [["10.0.0.0/8"]],
    [["192.0.2.1:1", "192.0.2.1:2"]],
    [["192.0.2.1:1", "--to=8.8.8.8"]],
    [["192.0.2.1:1", "--to=[fd00::1]:1"]],
    [["192.0.2.1:1", "--protocol=icmp"]],
  ])("%j is a wrong command line", async (args) => {
    const { code, out } = await who(args);
    expect([code, out]).toEqual([2, ""]);
  });
});
