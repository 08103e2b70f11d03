import { describe, expect, test } from "vitest";
import { Refusal } from "../backend/driver.ts";
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import { CommandError } from "../system/command-error.ts";
import type { Answer, Script } from "../system/script.ts";
import { type OtherWays, readLiveRules } from "./live.ts";
import type { Hook } from "./model.ts";

const NFT = {
  nftables: [
    { table: { family: "ip", name: "nat" } },
    {
      chain: {
        family: "ip",
        table: "nat",
        name: "POSTROUTING",
        type: "nat",
        hook: "postrouting",
        prio: 100,
        policy: "accept",
      },
    },
    { rule: { family: "ip", table: "nat", chain: "POSTROUTING", expr: [{ masquerade: null }] } },
  ],
};

const OTHER_WAYS: OtherWays = {
  readTables: async () => ({ tables: new Map(), hooks: [] }),
  measureTables: async () => new Map(),
  legacyTables: () => [],
  canSeeLegacyTables: () => true,
};

/** On stdout, as iptables-nft-save 1.8.9 says it, and on stderr. */
test.each([
  ["# Table `nat' is incompatible, use 'nft' tool.\n", ""],
  ["", "# Table `nat' is incompatible, use 'nft' tool.\n"],
])("a table that iptables cannot show is there, as nft shows it", async (stdout, stderr) => {
  const run = async ({ file, args }: Script) => {
    if (file === "nft") return { exitCode: 0, stdout: JSON.stringify(NFT), stderr: "" };
    return args.includes("--version")
      ? { exitCode: 0, stdout: "iptables-save v1.8.9 (nf_tables)\n", stderr: "" }
      : { exitCode: 0, stdout, stderr };
  };
  const { hooks, warnings, notRead } = await readLiveRules(run, OTHER_WAYS);
  expect(hooks.map(({ place, chains }) => [place, chains.get("POSTROUTING")?.length])).toEqual([
    ["table ip nat", 1],
  ]);
  expect(warnings.join("\n")).toContain("iptables-nft, table nat: not read: ");
  expect(warnings.join("\n")).toContain("rules made with nft");
  expect(warnings.join("\n")).not.toContain("no nat table");
  // nft shows all of it.
  expect(notRead).toEqual([]);
});

/** A machine of which each tool and each other look is what the test says; tools that are not named are not installed. */
function machine(
  tools: Readonly<Record<string, string | ((script: Script) => string | Error)>>,
  ways: Partial<OtherWays> = {},
) {
  const run = async (script: Script): Promise<Answer> => {
    const { file, args } = script;
    const tool = tools[file];
    if (tool === undefined) throw new CommandError(script, { why: "not there", code: "ENOENT" });
    const said =
      typeof tool === "string"
        ? args.includes("--version")
          ? `${file} v1 (nf_tables)`
          : tool
        : tool(script);
    if (typeof said !== "string") throw said;
    return { exitCode: 0, stdout: said, stderr: "" };
  };
  return readLiveRules(run, { ...OTHER_WAYS, ...ways });
}

const SEEN: Hook = {
  hook: "postrouting",
  isNat: true,
  place: "seen over netlink",
  families: ["IPv4"],
  priority: 100,
  policy: "accept",
  chain: "p",
  chains: new Map([["p", []]]),
};
const SIZES = new Map([
  ["ip nat", 1],
  ["ip6 mine", 0],
]);
const KERNEL: Partial<OtherWays> = {
  readTables: async () => ({ tables: SIZES, hooks: [SEEN] }),
  measureTables: async () => SIZES,
};
const SAVED = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n";
const listing = (...objects: readonly unknown[]) => JSON.stringify({ nftables: objects });
const hidden = (table: string, family = "ip") =>
  listing(
    { table: { family, name: table } },
    { chain: { family, table, name: "PREROUTING", type: "filter", hook: "prerouting", prio: -300 } },
    { rule: { family, table, chain: "PREROUTING", expr: [{ xt: { type: "match", name: "socket" } }] } },
  );

describe("where nft fails, the kernel is asked itself, and where that fails too, it is said", () => {
  const failing = (why: object) => (script: Script) => new CommandError(script, { why: "failed", ...why });
  test.each<[string, Parameters<typeof machine>[0]]>([
    ["is killed by a signal", { nft: failing({ killedBy: "SIGSEGV" }) }],
    ["exits with an error", { nft: failing({ exitCode: 1, stderr: "cache initialization failed" }) }],
    ["takes too long", { nft: failing({ why: "no end after 60000 ms, killed" }) }],
    ["is not installed", {}],
    ["prints nothing", { nft: "" }],
    ["prints text", { nft: "table ip nat {\n}\n" }],
    ["is cut short", { nft: '{"nftables": [{"table": {"family": "ip", "na' }],
    ["prints other JSON", { nft: "[]" }],
    [
      "has a rule without expressions",
      { nft: listing({ rule: { family: "ip", table: "nat", chain: "a" } }) },
    ],
    [
      "has rules of a chain that it does not have",
      {
        nft: listing(
          { table: { family: "ip", name: "nat" } },
          { table: { family: "ip6", name: "mine" } },
          { rule: { family: "ip", table: "nat", chain: "lost", expr: [] } },
        ),
      },
    ],
    ["does not list a table", { nft: listing({ table: { family: "ip", name: "nat" } }) }],
    ["lists no table at all", { nft: listing() }],
    [
      "leaves out a rule",
      {
        nft: listing(
          { table: { family: "ip", name: "nat" } },
          { chain: { family: "ip", table: "nat", name: "p" } },
          { table: { family: "ip6", name: "mine" } },
        ),
      },
    ],
  ])("%s", async (_, tools) => {
    const { hooks, notRead } = await machine({ ...tools, "iptables-nft-save": SAVED }, KERNEL);
    expect(hooks.map(({ place }) => place)).toContain("seen over netlink");
    expect(notRead).toEqual([]);
    const failure = new NftablesError({ code: "EPERM", what: "tables", why: "not permitted" });
    const blind = { readTables: () => Promise.reject(failure), measureTables: () => Promise.reject(failure) };
    const left = machine({ ...tools, "iptables-nft-save": SAVED }, blind);
    expect((await left).notRead.join("\n")).toContain("tables of nftables: not read: ");
    await expect(machine(tools, blind)).rejects.toThrow();
  });

  test("a complaint of nft is a failure, whatever its exit code", async () => {
    const run = async () => ({
      exitCode: 0,
      stdout: listing(),
      stderr: "netlink: Error: unknown expression type 'last'\n",
    });
    const { hooks, warnings } = await readLiveRules(run, {
      ...OTHER_WAYS,
      ...KERNEL,
      measureTables: async () => new Map(),
    });
    expect(hooks.map(({ place }) => place)).toContain("seen over netlink");
    expect(warnings.join()).toContain("unknown expression type 'last'");
  });

  test("without netlink nft is believed, and without both nothing is", async () => {
    const failure = new NetlinkUnavailable("here", new Error("no addon"));
    const blind = { readTables: () => Promise.reject(failure), measureTables: () => Promise.reject(failure) };
    expect(await machine({ nft: listing() }, blind)).toMatchObject({ notRead: [], warnings: [] });
    await expect(machine({}, blind)).rejects.toThrow("nft is not in PATH");
  });

  test("a kernel without nf_tables has no tables", async () => {
    const failure = new NftablesError({ code: "ENOTSUP", what: "tables", why: "no such thing" });
    const old = { readTables: () => Promise.reject(failure), measureTables: () => Promise.reject(failure) };
    expect(await machine({ nft: failing({ exitCode: 1 }) }, old)).toMatchObject({ hooks: [], notRead: [] });
  });
});

describe("what only iptables shows, and iptables does not", () => {
  test.each<[string, Parameters<typeof machine>[0], Partial<OtherWays>, string | undefined]>([
    ["no tool", { nft: hidden("raw") }, {}, "iptables-nft, table raw: not read: "],
    [
      "no tool for IPv6",
      { nft: hidden("raw", "ip6"), "iptables-nft-save": SAVED },
      {},
      "ip6tables-nft, table raw: not read",
    ],
    [
      "a dump without COMMIT",
      { nft: hidden("nat"), "iptables-nft-save": "*nat\n" },
      {},
      "table nat: not read: ",
    ],
    ["a dump of nothing", { nft: hidden("nat"), "iptables-nft-save": "" }, {}, "table nat: not read: "],
    [
      "a tool that dies",
      {
        nft: hidden("nat"),
        "iptables-nft-save": (script) => new CommandError(script, { why: "signal: SIGSEGV" }),
      },
      {},
      "signal: SIGSEGV",
    ],
    [
      "a legacy table without its tool",
      { nft: listing() },
      { legacyTables: () => ["nat"] },
      "iptables-legacy, table nat: not read: ",
    ],
    [
      "legacy tables that nobody may see",
      { nft: listing() },
      { canSeeLegacyTables: () => false },
      "ip6tables-legacy: not read: only root",
    ],
    [
      "an ipset",
      {
        nft: hidden("nat"),
        "iptables-nft-save": SAVED.replace("-j", "-m set --match-set s dst -j"),
      },
      {},
      "ipset s: not read: ",
    ],
    ["all is shown", { nft: hidden("nat"), "iptables-nft-save": SAVED }, {}, undefined],
  ])("%s", async (_, tools, ways, expected) => {
    const { notRead } = await machine(tools, ways);
    if (expected === undefined) expect(notRead).toEqual([]);
    else expect(notRead.join("\n")).toContain(expected);
  });

  test("where iptables cannot list its table, the kernel's view takes the place of nft's", async () => {
    const shown = await machine({ nft: hidden("raw") });
    const kernels = shown.hooks.map(({ isHidden: _, ...hook }) => ({ ...hook, priority: -299 }));
    const tools = {
      nft: hidden("raw"),
      "iptables-nft-save": "# Table `raw' is incompatible, use 'nft' tool.\n",
    };
    const readTables = async () => ({ tables: new Map(), hooks: kernels });
    const whole = await machine(tools, { readTables });
    expect(whole.hooks).toEqual(kernels);
    expect(whole.notRead).toEqual([]);
    expect(whole.warnings.join("\n")).toContain("iptables-nft, table raw: not read");
    const open = async () => ({ tables: new Map(), hooks: shown.hooks });
    const partly = await machine(tools, { readTables: open });
    expect(partly.notRead.join("\n")).toContain("iptables-nft, table raw: not read");
  });

  test("each table that iptables has in nf_tables takes the place of what nft shows of it", async () => {
    const save = ({ args }: Script) =>
      args.includes("--version")
        ? "v1"
        : `*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j NOTRACK\nCOMMIT\n`;
    const { hooks } = await machine({ nft: hidden("raw"), "iptables-nft-save": save });
    expect(hooks.map(({ place, hook }) => `${place} ${hook}`)).toEqual(["iptables -t raw prerouting"]);
  });

  test("the kernel is asked once for all tables that iptables cannot list", async () => {
    const both = JSON.parse(hidden("raw")).nftables.concat(JSON.parse(hidden("mangle")).nftables);
    let asked = 0;
    const readTables = async () => {
      asked++;
      return { tables: new Map(), hooks: [] };
    };
    const { notRead } = await machine({ nft: listing(...both) }, { readTables });
    expect([asked, notRead.length]).toEqual([1, 2]);
  });

  test("iptables shows a dormant table as if the kernel called its chains", async () => {
    const flags = { flags: ["dormant"] };
    const dormant = NFT.nftables.map(({ table, ...rest }) => ({
      ...(table && { table: { ...table, ...flags } }),
      ...rest,
    }));
    expect(await machine({ nft: listing(...dormant), "iptables-nft-save": SAVED })).toEqual({
      hooks: [],
      notRead: [],
      warnings: [],
    });
  });

  test("IPVS's services are seen beside them, and that they could not be read is said", async () => {
    const tools = { nft: hidden("raw"), "iptables-nft-save": SAVED.replace("*nat", "*raw") };
    const seen = await machine(tools, { readIpvs: () => "TCP  0A60000A:0035 rr \n" });
    expect(seen.hooks.map(({ place }) => place)).toContain("IPVS");
    const unseen = await machine(tools, {
      readIpvs: () => {
        throw new Refusal("EACCES: permission denied, open '/proc/net/ip_vs'");
      },
    });
    expect(unseen.notRead.join("\n")).toContain("IPVS: not read: EACCES");
  });

  test.each<[string, string, number]>([
    ["nat", "POSTROUTING", 100],
    ["nat", "PREROUTING", -100],
    ["mangle", "FORWARD", -150],
    ["raw", "PREROUTING", -300],
  ])(
    "a chain that nft has made in iptables' table %s keeps its place around %s",
    async (table, base, prio) => {
      const chain = (name: string) => {
        const type = table === "nat" ? "nat" : "filter";
        return { chain: { family: "ip", table, name, type, hook: base.toLowerCase(), prio } };
      };
      const names = ["before", base, base.toLowerCase()];
      const rule = { family: "ip", table, chain: base.toLowerCase(), expr: [{ masquerade: null }] };
      const nft = listing({ table: { family: "ip", name: table } }, ...names.map(chain), { rule });
      const saved = SAVED.replace("*nat", `*${table}`).replaceAll("POSTROUTING", base);
      const { hooks } = await machine({ nft, "iptables-nft-save": saved });
      expect(hooks.map(({ place, chain: name }) => `${place} ${name}`)).toEqual([
        `table ip ${table} before`,
        `iptables -t ${table} ${base}`,
        `table ip ${table} ${base.toLowerCase()}`,
      ]);
    },
  );

  test("a chain of iptables' name with another priority stays, for iptables does not show it", async () => {
    const odd = structuredClone(NFT);
    for (const { chain } of odd.nftables) if (chain !== undefined) chain.prio = 101;
    const { hooks } = await machine({ nft: JSON.stringify(odd), "iptables-nft-save": SAVED });
    expect(hooks.map(({ place }) => place)).toContain("table ip nat");
  });
});
