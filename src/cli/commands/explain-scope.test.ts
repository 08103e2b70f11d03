/** `explain` where the configuration says whose packets are masqueraded, and with which address. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { say } from "../../../test/lab/io.ts";
import type { ExplainView } from "../../explain/view.ts";
import { explainCommand } from "./explain.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "explain-scope-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** What is said about a configuration, and about rules if there are any. */
async function explain(config: string, args: readonly string[], rules?: string) {
  const path = join(directory, "config");
  writeFileSync(path, config);
  const more = rules === undefined ? [] : ["--rules=-"];
  const { code, out, err } = await say(explainCommand, ["--config", path, ...more, ...args], {
    stdin: rules ?? "",
  });
  return { code, out: out.replaceAll(`${directory}/`, ""), err: err.replaceAll(`${directory}/`, "") };
}

const CONFIG = `masqueradeSourceCIDRs:
- 10.244.0.0/16
- 10.244.5.0/24
nonMasqueradeSourceCIDRs:
- 10.244.0.0/20
outputInterfaces: [eth0, bond+]
`;

describe("by the configuration", () => {
  test("the conditions, where the packet is not known", async () => {
    expect((await explain(CONFIG, ["8.8.8.8", "10.1.2.3"])).out).toMatchInlineSnapshot(`
      "8.8.8.8: masqueraded, if it comes from 10.244.0.0/16 or 10.244.5.0/24, but not from 10.244.0.0/20 (the longest prefix decides) and leaves through eth0 or bond+; else keeps the pod's address
        config: masqueraded: no entry contains it
        config: if it comes from 10.244.0.0/16 (config:2:3, masqueradeSourceCIDRs[0])
        config: if it comes from 10.244.5.0/24 (config:3:3, masqueradeSourceCIDRs[1])
        config: not if it comes from 10.244.0.0/20 (config:5:3, nonMasqueradeSourceCIDRs[0])
        config: if it leaves through eth0 or bond+

      10.1.2.3: keeps the pod's address
        config: keeps the pod's address by 10.0.0.0/8 (built-in defaults, nonMasqueradeCIDRs)
      "
    `);
  });

  test("one answer, with the entry that decides and those that lost", async () => {
    const known = (source: string, out = "eth0") =>
      explain(CONFIG, [`--source=${source}`, `--out-interface=${out}`, "8.8.8.8"]);
    expect((await known("10.244.5.9")).out).toMatchInlineSnapshot(`
      "8.8.8.8: masqueraded
        config: masqueraded: no entry contains it
        config: the source is masqueraded by 10.244.5.0/24 (config:3:3, masqueradeSourceCIDRs[1])
        not by 10.244.0.0/16 (config:2:3, masqueradeSourceCIDRs[0]): its prefix is shorter, and the longest decides
        not by 10.244.0.0/20 (config:5:3, nonMasqueradeSourceCIDRs[0]): its prefix is shorter, and the longest decides
      "
    `);
    expect((await known("10.244.4.9")).out).toMatchInlineSnapshot(`
      "8.8.8.8: keeps the pod's address
        config: keeps the pod's address: packets from its source are not masqueraded
        config: the source is not masqueraded by 10.244.0.0/20 (config:5:3, nonMasqueradeSourceCIDRs[0])
        not by 10.244.0.0/16 (config:2:3, masqueradeSourceCIDRs[0]): its prefix is shorter, and the longest decides
      "
    `);
    expect((await known("192.0.2.1")).out).toMatchInlineSnapshot(`
      "8.8.8.8: keeps the pod's address
        config: keeps the pod's address: its source is not in masqueradeSourceCIDRs
      "
    `);
    expect((await known("10.244.5.9", "eth1")).out).toMatchInlineSnapshot(`
      "8.8.8.8: keeps the pod's address
        config: keeps the pod's address: outputInterfaces does not list its interface, but only eth0, bond+
        config: the source is masqueraded by 10.244.5.0/24 (config:3:3, masqueradeSourceCIDRs[1])
        not by 10.244.0.0/16 (config:2:3, masqueradeSourceCIDRs[0]): its prefix is shorter, and the longest decides
        not by 10.244.0.0/20 (config:5:3, nonMasqueradeSourceCIDRs[0]): its prefix is shorter, and the longest decides
      "
    `);
  });

  test("in JSON", async () => {
    const { out } = await explain(CONFIG, ["-o=json", "--source=10.244.5.9", "8.8.8.8"]);
    const [part] = (JSON.parse(out) as ExplainView).destinations[0]?.parts ?? [];
    expect(part).toMatchInlineSnapshot(`
      {
        "addresses": "1",
        "bySource": {
          "cidr": "10.244.5.0/24",
          "isOurs": true,
          "key": "masqueradeSourceCIDRs[1]",
          "lost": [
            {
              "cidr": "10.244.0.0/16",
              "isOurs": true,
              "key": "masqueradeSourceCIDRs[0]",
              "place": "config:2:3",
            },
            {
              "cidr": "10.244.0.0/20",
              "isOurs": false,
              "key": "nonMasqueradeSourceCIDRs[0]",
              "place": "config:5:3",
            },
          ],
          "place": "config:3:3",
        },
        "cidrs": [
          "8.8.8.8",
        ],
        "interfaces": [
          "eth0",
          "bond+",
        ],
        "reason": "no entry contains it",
        "verdict": "masquerade",
      }
    `);
  });

  test.each([
    ["nonMasqueradeSourceCIDRs: [10.244.0.0/20]", "unless it comes from 10.244.0.0/20"],
    ["outputInterfaces: [eth0]", "if it leaves through eth0"],
    ["masqueradeSourceCIDRs: [10.0.0.0/8]", "if it comes from 10.0.0.0/8"],
  ])("%s", async (config, condition) => {
    const { out } = await explain(config, ["8.8.8.8"]);
    expect(out.split("\n")[0]).toBe(`8.8.8.8: masqueraded, ${condition}; else keeps the pod's address`);
  });

  test("details of the packet are refused where nothing depends on them", async () => {
    const { err } = await explain("cidrLimit: 3", ["--source=10.244.5.9", "8.8.8.8"]);
    expect(err).toMatch(
      "--source, --mark, --protocol, --in-interface and --out-interface matter to rules only",
    );
    expect((await explain(CONFIG, ["--mark=1", "8.8.8.8"])).err).toMatch(
      "--mark, --protocol and --in-interface matter to rules only",
    );
    expect((await explain(CONFIG, ["--node-address=192.0.2.1", "8.8.8.8"])).err).toMatch(
      "--node-address is for --rules",
    );
    expect((await explain(CONFIG, ["--source=fd00::1", "8.8.8.8"])).err).toMatch("8.8.8.8 is IPv4");
  });
});

describe("addresses", () => {
  const POOL = "outputAddresses: [192.0.2.0/24, 198.51.100.7]\nmasqueradeSourceCIDRs: [10.244.0.0/16]\n";
  const head = async (config: string, ...args: string[]) =>
    (await explain(config, [...args, "8.8.8.8"])).out.split("\n")[0];

  test.each([
    [
      POOL,
      [],
      " as one of the node's addresses in 192.0.2.0/24 or 198.51.100.7, if it comes from 10.244.0.0/16; else keeps the pod's address",
    ],
    [POOL, ["--node-address=192.0.2.10", "--source=10.244.0.1"], " as 192.0.2.10"],
    [POOL, ["--node-address=192.0.2.10,192.0.2.1", "--source=10.244.0.1"], " as 192.0.2.10"],
    [POOL, ["--node-address=192.0.2.10,192.0.2.1", "--source=10.244.0.2"], " as 192.0.2.1"],
    [
      POOL,
      ["--node-address=192.0.2.10,192.0.2.1"],
      " as 192.0.2.1 or 192.0.2.10, by the pod's address, if it comes from 10.244.0.0/16; else keeps the pod's address",
    ],
    [
      `${POOL}outputAddressBy: flow`,
      ["--node-address=192.0.2.10,192.0.2.1", "--source=10.244.0.1"],
      " as any of 192.0.2.1 and 192.0.2.10",
    ],
    [POOL, ["--node-address=203.0.113.1", "--source=10.244.0.1"], ""],
  ])("%j %j", async (config, args, expected) => {
    expect(await head(config, ...args)).toBe(`8.8.8.8: masqueraded${expected}`);
  });
});

/** The chain of an agent, and what leads to it. */
const rulesOf = (...rules: string[]) =>
  `*nat\n:POSTROUTING ACCEPT [0:0]\n:IP-MASQ-AGENT - [0:0]\n-A POSTROUTING -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT\n${rules.map((rule) => `-A IP-MASQ-AGENT ${rule}\n`).join("")}COMMIT\n`;

describe("compared with rules", () => {
  const RIGHT = rulesOf(
    "-d 169.254.0.0/16 -j RETURN",
    "-s 10.244.0.0/22 -j RETURN",
    "-s 10.244.4.0/24 -j RETURN",
    "-s 10.244.6.0/23 -j RETURN",
    "-s 10.244.8.0/21 -j RETURN",
    "-s 10.244.0.0/16 -o eth0 -j MASQUERADE",
    "-s 10.244.0.0/16 -o bond+ -j MASQUERADE",
  );
  const agreement = async (config: string, rules: string, ...args: string[]) => {
    const { out, err } = await explain(config, ["-o=json", ...args, "8.8.8.8"], rules);
    if (out === "") throw new Error(err);
    return (JSON.parse(out) as ExplainView).destinations[0]?.parts[0]?.agrees;
  };

  test.each([
    [RIGHT, [], "depends"],
    [RIGHT, ["--out-interface=eth1"], "yes"],
    [RIGHT, ["--source=10.244.5.9", "--out-interface=eth0"], "yes"],
    [RIGHT, ["--source=10.244.4.9", "--out-interface=eth0"], "yes"],
    [RIGHT, ["--source=192.0.2.7"], "yes"],
    [rulesOf("-j MASQUERADE"), [], "no"],
    [rulesOf("-j MASQUERADE"), ["--source=10.244.5.9", "--out-interface=eth0"], "yes"],
    [rulesOf("-j MASQUERADE"), ["--source=192.0.2.7"], "no"],
    [rulesOf("-j MASQUERADE"), ["--out-interface=eth1"], "no"],
    [rulesOf("-j RETURN"), [], "no"],
    [rulesOf("-j RETURN"), ["--source=192.0.2.7"], "yes"],
    [rulesOf("-j RETURN"), ["--source=10.244.5.9", "--out-interface=bond1"], "no"],
  ])("sources and links: %j %j", async (rules, args, expected) => {
    expect(await agreement(CONFIG, rules, ...args)).toBe(expected);
  });

  const POOL = "outputAddresses: [192.0.2.0/24]\n";
  const SNAT = rulesOf(
    "-s 0.0.0.0/0.0.0.1 -j SNAT --to-source 192.0.2.1 --random-fully",
    "-j SNAT --to-source 192.0.2.10 --random-fully",
  );
  const BOTH = "--node-address=192.0.2.1,192.0.2.10";
  test.each([
    [POOL, SNAT, [BOTH], "yes"],
    [POOL, SNAT, [BOTH, "--source=10.244.0.2"], "yes"],
    [POOL, SNAT, [BOTH, "--source=10.244.0.1"], "yes"],
    [POOL, SNAT, ["--source=10.244.0.1"], "no"],
    [POOL, rulesOf("-j SNAT --to-source 192.0.2.1"), [], "yes"],
    [POOL, rulesOf("-j SNAT --to-source 192.0.2.9"), [], "no"],
    [POOL, rulesOf("-j SNAT --to-source 192.0.2.1"), [BOTH, "--source=10.244.0.1"], "no"],
    [POOL, rulesOf("-j MASQUERADE"), [], "no"],
    ["cidrLimit: 3", rulesOf("-j SNAT --to-source 192.0.2.9"), [], "yes"],
  ])("addresses: %s %s %j", async (config, rules, args, expected) => {
    const own = args.some((arg) => arg.startsWith("--node-address")) ? [] : ["--node-address=192.0.2.1"];
    expect(await agreement(config, rules, ...own, ...args)).toBe(expected);
  });
});

test("bits of a destination, by which a rule of others splits a CIDR, are never taken for those of its first address", async () => {
  const rules = rulesOf("-d 0.0.0.1/0.0.0.1 -j RETURN", "-j MASQUERADE");
  const { out } = await explain("cidrLimit: 3", ["-o=json", "--node-address=192.0.2.1", "8.8.8.0/24"], rules);
  const [part, ...more] = (JSON.parse(out) as ExplainView).destinations[0]?.parts ?? [];
  expect([part?.agrees, part?.live?.possible.length, more.length]).toEqual(["depends", 1, 0]);
});
