import { describe, expect, test } from "vitest";
import { OPTIONS } from "../../test/lab/config.ts";
import { recordedLog } from "../../test/lab/log.ts";
import { createNode, DENIED } from "../../test/lab/node.ts";
import type { Attribution } from "../backend/commit-log.ts";
import type { Driver } from "../backend/driver.ts";
import { parseAddress } from "../core/cidr.ts";
import type { ConfigText } from "../core/config.ts";
import { iptablesDriver } from "../iptables/driver.ts";
import { iptablesPlanner } from "../iptables/plan.ts";
import { probe } from "../iptables/probe.ts";
import { listedAddresses } from "../system/node-addresses.ts";
import { SourceError } from "./config/file.ts";
import { createOutputAddresses } from "./output-addresses.ts";
import { createReconciler, type ReconcileOptions } from "./reconcile.ts";

const CHAIN = "IP-MASQ-AGENT";

/** An agent on a fresh node; `pass` runs one pass and gives its outcome, its commands and its log. */
function agent(
  options: Partial<ReconcileOptions> = {},
  version?: string,
  more: {
    readonly format?: "json";
    readonly attribution?: Attribution;
    /** The node's addresses, if any may be used. */
    readonly own?: () => readonly string[];
  } = {},
) {
  const node = createNode(version);
  const { log, taken } = recordedLog(0, more.format);
  const file = { text: "nonMasqueradeCIDRs: [10.0.0.0/8]" as string | Error };
  let time = 0;
  const readConfig = (): ConfigText => {
    if (file.text instanceof Error) throw file.text;
    return { kind: "file", files: [{ path: "/c", bytes: Buffer.from(file.text) }] };
  };
  const { attribution, own } = more;
  const addresses =
    own &&
    createOutputAddresses({
      read: async () => listedAddresses(own().map(observedAddress), true),
      names: async () => new Map([[1, "eth0"]]),
      families: ["IPv4"],
      log,
    });
  const world = {
    readConfig,
    now: () => time++,
    random: () => 0,
    log,
    ...(attribution && { between: async () => attribution }),
    ...(addresses && { addresses }),
  };
  const driver = iptablesDriver(iptablesPlanner("path"), CHAIN, { run: node.run, probe, log });
  const span = { from: 1, to: 2 };
  const inspect: Driver["inspect"] = async (...of) => ({
    ...(await driver.inspect(...of)),
    ...(attribution && { span }),
  });
  const reconcile = createReconciler(
    { ...driver, inspect },
    { ...OPTIONS, configPath: "/c", watch: true, ...options },
    world,
  );
  const pass = async (text?: string | Error) => {
    file.text = text ?? file.text;
    // The resync interval has passed.
    time += 60_000;
    const outcome = await reconcile();
    return { ...outcome, calls: node.taken(), log: taken() };
  };
  const destinations = (family: "IPv4" | "IPv6" = "IPv4") =>
    (node[family].chains.get(CHAIN) ?? []).map((rule) => /-d (\S+)/.exec(rule)?.[1] ?? "rest");
  return { node, pass, destinations };
}

function observedAddress(text: string) {
  const address = parseAddress(text)?.value ?? 0n;
  return { family: "ip", address, link: 1, scope: 0, flags: 0 } as const;
}

test("rules follow the node's addresses, which is no drift", async () => {
  let own: readonly string[] = [];
  const { pass, node } = agent({}, undefined, { own: () => own });
  const last = () => node.IPv4.chains.get(CHAIN)?.at(-1)?.replace(/.*-j /, "");
  const text = "outputAddresses: [192.0.2.0/24]";
  const none = await pass(text);
  expect(none.log).toContain(
    "W IPv4: no address of this node is in outputAddresses: MASQUERADE chooses the address",
  );
  expect([last(), none.leaving]).toEqual([
    "MASQUERADE --random-fully",
    [{ family: "IPv4", by: "pod", addresses: [] }],
  ]);
  own = ["192.0.2.10", "198.51.100.1"];
  const one = await pass();
  expect(one.log[0]).toBe("I IPv4: leaving as 192.0.2.10 (eth0)");
  expect([last(), one.healed, one.errors]).toEqual(["SNAT --to-source 192.0.2.10 --random-fully", [], []]);
  // The same again is nothing to do; another one is no healing either.
  expect(await pass()).toMatchObject({ applied: 0, log: [] });
  own = ["192.0.2.11"];
  expect(await pass()).toMatchObject({ healed: [], errors: [] });
  expect(last()).toBe("SNAT --to-source 192.0.2.11 --random-fully");
  // What others do to such a rule is.
  node.IPv4.chains.set(CHAIN, []);
  expect((await pass()).healed).toHaveLength(1);
  expect(last()).toBe("SNAT --to-source 192.0.2.11 --random-fully");
  // Without the key everything is as before.
  const unset = await pass("masqLinkLocal: false");
  expect([last(), unset.leaving]).toEqual(["MASQUERADE --random-fully", []]);
});

test("the first pass programs a fresh node", async () => {
  const { pass, node } = agent();
  const { calls, log, durationMs: _, current, ...outcome } = await pass();
  expect(current).toMatchObject({
    config: { nonMasqueradeCIDRs: [{ text: "10.0.0.0/8" }], resyncIntervalMs: 60_000 },
    source: "/c",
    hash: outcome.config.hash,
  });
  expect(calls).toMatchInlineSnapshot(`
    [
      "iptables --version",
      "iptables -w 5 -S IP-MASQ-AGENT -t nat",
      "iptables -w 5 -N IP-MASQ-AGENT -t nat",
      "iptables -w 5 -C POSTROUTING -t nat ...",
      "iptables -w 5 -S POSTROUTING -t nat",
      "iptables -w 5 -A POSTROUTING -t nat ...",
      "iptables-restore -w 5 --noflush",
      "iptables -w 5 -S IP-MASQ-AGENT -t nat",
      "iptables -w 5 -C POSTROUTING -t nat ...",
    ]
  `);
  expect(log).toMatchInlineSnapshot(`
    [
      "I using /c: 1 nonMasqueradeCIDR, resyncInterval 60s",
      "I IPv4: using iptables 1.8.9 (nf_tables)",
      "I IPv4: programmed chain IP-MASQ-AGENT with 2 CIDRs (2 differences) in 1 ms",
    ]
  `);
  expect(outcome).toMatchInlineSnapshot(`
    {
      "again": false,
      "applied": 3,
      "config": {
        "failed": false,
        "hash": "5024382fb417fe1f",
        "isNew": true,
        "problems": [],
        "source": "/c",
      },
      "drift": [
        {
          "kind": "missing",
          "where": "chain IP-MASQ-AGENT",
        },
        {
          "kind": "missing",
          "where": "the jump from POSTROUTING to IP-MASQ-AGENT",
        },
      ],
      "dueInMs": 59993,
      "errors": [],
      "failed": false,
      "failures": [],
      "groups": [
        {
          "changed": true,
          "inForce": true,
          "label": "IPv4",
          "rulesets": [
            {
              "chain": "IP-MASQ-AGENT",
              "entries": [
                {
                  "cidr": {
                    "base": 2851995648n,
                    "bits": 16,
                    "family": "IPv4",
                    "text": "169.254.0.0/16",
                  },
                  "reason": "link-local",
                  "verdict": "return",
                },
                {
                  "cidr": {
                    "base": 167772160n,
                    "bits": 8,
                    "family": "IPv4",
                    "text": "10.0.0.0/8",
                  },
                  "reason": "configured",
                  "verdict": "return",
                },
              ],
              "family": "IPv4",
              "masquerade": {
                "randomFully": true,
                "toPorts": [],
              },
            },
          ],
        },
      ],
      "healed": [],
      "leaving": [],
      "resyncIntervalMs": 60000,
      "startedAt": 60000,
    }
  `);
  expect(node.IPv4.chains).toMatchInlineSnapshot(`
    Map {
      "POSTROUTING" => [
        "-m comment --comment "ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ-AGENT chain" -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT",
      ],
      "IP-MASQ-AGENT" => [
        "-d 169.254.0.0/16 -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -j RETURN",
        "-d 10.0.0.0/8 -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -j RETURN",
        "-m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -j MASQUERADE --random-fully",
      ],
    }
  `);
});

test("a pass over rules in force inspects twice and logs nothing", async () => {
  const { pass } = agent();
  await pass();
  const { calls, log, applied, drift } = await pass();
  expect({ calls, log, applied, drift }).toMatchInlineSnapshot(`
    {
      "applied": 0,
      "calls": [
        "iptables -w 5 -S IP-MASQ-AGENT -t nat",
        "iptables -w 5 -C POSTROUTING -t nat ...",
      ],
      "drift": [],
      "log": [],
    }
  `);
});

test("an agent that restarts over its own rules changes nothing", async () => {
  const first = agent();
  await first.pass();
  const second = agent();
  for (const [name, rules] of first.node.IPv4.chains) second.node.IPv4.chains.set(name, rules);
  const { applied, log } = await second.pass();
  expect(applied).toBe(0);
  expect(log.at(-1)).toMatchInlineSnapshot(`"I IPv4: chain IP-MASQ-AGENT with 2 CIDRs is in force already"`);
});

test("tampering is healed, and said", async () => {
  const { pass, node, destinations } = agent();
  await pass();
  node.IPv4.chains.get(CHAIN)?.unshift("-j ACCEPT");
  node.IPv4.chains.set("POSTROUTING", []);
  const { log, applied } = await pass();
  expect(log).toMatchInlineSnapshot(`
    [
      "W IPv4: healed: the jump from POSTROUTING to IP-MASQ-AGENT was missing",
      "W IPv4: healed: rule 1 of IP-MASQ-AGENT was unexpected [-j ACCEPT]",
    ]
  `);
  expect(applied).toBe(2);
  expect(destinations()).toEqual(["169.254.0.0/16", "10.0.0.0/8", "rest"]);
  expect((await pass()).applied).toBe(0);
});

/** The JSON fields without the time and the caller; of the text only its beginning. */
function fieldsOf(lines: readonly string[]): unknown[] {
  return lines.map((line) => {
    const { ts: _, caller: __, v: ___, err: ____, msg, ...fields } = JSON.parse(line);
    return [msg.slice(0, 40), Object.values(fields).join(" ")];
  });
}

test("JSON has fields for each line: severity, family, backend, kind, process, pid, digest", async () => {
  const commits = [{ generation: 2, process: "nft", pid: 4711, touched: true }];
  const attribution = { commits, complete: true };
  const { pass, node } = agent({ enableIPv6: true }, undefined, { format: "json", attribution });
  const started = fieldsOf((await pass()).log);
  node.IPv4.chains.get(CHAIN)?.unshift("-j ACCEPT");
  node.IPv6.chains.set(CHAIN, []);
  const healed = fieldsOf((await pass()).log);
  const bad = fieldsOf((await pass("nonMasqueradeCIDRs: [10.0.0.1/8]")).log);
  node.interfere = ({ file }) => (file === "ip6tables-restore" ? DENIED : undefined);
  const failed = fieldsOf((await pass("nonMasqueradeCIDRs: ['fd00::/8']")).log);
  const unreadable = fieldsOf((await pass(new SourceError("/c", new Error("away")))).log);
  expect({ started, healed, bad, failed, unreadable }).toMatchInlineSnapshot(`
    {
      "bad": [
        [
          "Error syncing configuration: /c:1:22: no",
          "ERROR config 49a3b084af307624",
        ],
      ],
      "failed": [
        [
          "using /c: 1 nonMasqueradeCIDR, resyncInt",
          "INFO ae83997d16c1906e",
        ],
        [
          "the configuration is good again",
          "INFO ae83997d16c1906e",
        ],
        [
          "IPv4: programmed chain IP-MASQ-AGENT wit",
          "INFO IPv4 iptables ae83997d16c1906e",
        ],
        [
          "Error syncing masquerade rules for IPv6:",
          "ERROR IPv6 iptables ae83997d16c1906e tool",
        ],
      ],
      "healed": [
        [
          "IPv4: healed: rule 1 of IP-MASQ-AGENT wa",
          "WARNING IPv4 iptables 5024382fb417fe1f extra nft 4711",
        ],
        [
          "IPv6: healed: rule 1 of IP-MASQ-AGENT wa",
          "WARNING IPv6 iptables 5024382fb417fe1f missing nft 4711",
        ],
        [
          "IPv6: healed: rule 2 of IP-MASQ-AGENT wa",
          "WARNING IPv6 iptables 5024382fb417fe1f missing nft 4711",
        ],
      ],
      "started": [
        [
          "using /c: 1 nonMasqueradeCIDR, resyncInt",
          "INFO 5024382fb417fe1f",
        ],
        [
          "IPv4: using iptables 1.8.9 (nf_tables)",
          "INFO IPv4 iptables",
        ],
        [
          "IPv4: programmed chain IP-MASQ-AGENT wit",
          "INFO IPv4 iptables 5024382fb417fe1f",
        ],
        [
          "IPv6: using ip6tables 1.8.9 (nf_tables)",
          "INFO IPv6 iptables",
        ],
        [
          "IPv6: programmed chain IP-MASQ-AGENT wit",
          "INFO IPv6 iptables 5024382fb417fe1f",
        ],
      ],
      "unreadable": [
        [
          "Error syncing configuration: /c: away",
          "ERROR source",
        ],
      ],
    }
  `);
});

test("at most twenty healed rules are listed", async () => {
  const { pass, node } = agent();
  await pass();
  node.IPv4.chains.get(CHAIN)?.push(...Array.from({ length: 25 }, () => "-j ACCEPT"));
  expect((await pass()).log.slice(-1)).toEqual(["W and 5 more"]);
});

test("a changed configuration is programmed; one that means the same is not", async () => {
  const { pass, destinations } = agent();
  await pass();
  const changed = await pass("nonMasqueradeCIDRs: [11.0.0.0/8, 10.0.0.0/8]");
  expect(changed.log).toMatchInlineSnapshot(`
    [
      "I using /c: 2 nonMasqueradeCIDRs, resyncInterval 60s",
      "I IPv4: programmed chain IP-MASQ-AGENT with 3 CIDRs (1 difference) in 1 ms",
    ]
  `);
  expect(destinations()).toEqual(["169.254.0.0/16", "11.0.0.0/8", "10.0.0.0/8", "rest"]);
  const same = await pass("nonMasqueradeCIDRs: [11.0.0.0/8, 10.0.0.0/8]\nresyncInterval: 30s");
  expect([same.applied, same.resyncIntervalMs]).toEqual([0, 30_000]);
});

describe("a bad configuration", () => {
  const BAD = "nonMasqueradeCIDRs: [10.0.0.1/8]";

  test("with --watch keeps the last good one in force and healed, with one error", async () => {
    const { pass, node, destinations } = agent();
    await pass("nonMasqueradeCIDRs: [11.0.0.0/8]\nresyncInterval: 7s");
    const bad = await pass(BAD);
    expect(bad.errors).toHaveLength(1);
    expect(bad.log).toMatchInlineSnapshot(`
      [
        "E Error syncing configuration: /c:1:22: nonMasqueradeCIDRs[0]: CIDR "10.0.0.1/8" is not aligned to a CIDR block, ip: "10.0.0.1" network: "10.0.0.0/8"; 10.0.0.1/8 has host bits: did you mean 10.0.0.0/8?",
      ]
    `);
    expect(bad.resyncIntervalMs).toBe(7_000);
    node.IPv4.chains.set(CHAIN, []);
    const healed = await pass();
    expect(healed.errors).toHaveLength(1);
    expect(healed.log.filter((line) => line.startsWith("E"))).toEqual([]);
    expect(destinations()).toEqual(["169.254.0.0/16", "11.0.0.0/8", "rest"]);
    expect((await pass("nonMasqueradeCIDRs: [12.0.0.0/8]")).log[0]).toMatch(/^I using \/c/);
  });

  test("without --watch ends every pass, with an error in each", async () => {
    const { pass, node, destinations } = agent({ watch: false });
    await pass();
    node.IPv4.chains.set(CHAIN, []);
    for (let i = 0; i < 3; i++) {
      const { calls, log, errors } = await pass(BAD);
      expect([calls.length, log.length, errors.length]).toEqual([0, 1, 1]);
    }
    expect(destinations()).toEqual([]);
    await pass("nonMasqueradeCIDRs: [10.0.0.0/8]");
    expect(destinations()).toEqual(["169.254.0.0/16", "10.0.0.0/8", "rest"]);
  });

  test.each([true, false])("at first makes no rules (--watch=%s)", async (watch) => {
    const { pass, node } = agent({ watch });
    const { calls, errors, resyncIntervalMs } = await pass(BAD);
    expect([calls, errors.length, resyncIntervalMs]).toEqual([[], 1, 60_000]);
    expect([...node.IPv4.chains.keys()]).toEqual(["POSTROUTING"]);
  });

  test("a source that fails is one too", async () => {
    const { pass, destinations } = agent();
    await pass();
    const { errors } = await pass(new SourceError("/c", new Error("away")));
    expect(errors).toEqual(["/c: away"]);
    expect(destinations()).toHaveLength(3);
  });
});

describe("families", () => {
  const BOTH = "nonMasqueradeCIDRs: [10.0.0.0/8, 'fd00::/8']";

  test("both are programmed", async () => {
    const { pass, destinations } = agent({ enableIPv6: true });
    const { calls } = await pass(BOTH);
    expect(calls.filter((call) => call.includes("restore"))).toEqual([
      "iptables-restore -w 5 --noflush",
      "ip6tables-restore -w 5 --noflush",
    ]);
    expect(destinations("IPv4")).toEqual(["169.254.0.0/16", "10.0.0.0/8", "rest"]);
    expect(destinations("IPv6")).toEqual(["fe80::/10", "fd00::/8", "rest"]);
  });

  test("IPv6 is left alone unless it is enabled", async () => {
    const { pass } = agent();
    expect((await pass()).calls.filter((call) => call.startsWith("ip6"))).toEqual([]);
  });

  test.each([true, false])(
    "a failure of IPv4 does not keep IPv6 from its turn (--watch=%s)",
    async (watch) => {
      const { pass, node, destinations } = agent({ enableIPv6: true, watch });
      node.interfere = ({ file }) => (file.startsWith("iptables-restore") ? DENIED : undefined);
      const { errors, log } = await pass(BOTH);
      expect(errors).toHaveLength(1);
      expect(log.filter((line) => line.startsWith("E"))).toMatchInlineSnapshot(`
        [
          "E Error syncing masquerade rules: error programming chain "IP-MASQ-AGENT": exit status 4: Permission denied (you must be root) (this needs root, or the capabilities NET_ADMIN and NET_RAW: in Kubernetes, securityContext.capabilities.add)",
        ]
      `);
      expect([destinations("IPv4"), destinations("IPv6").length]).toEqual([[], 3]);
      // A reader of the line finds the other family's rules in force.
      expect(log.findIndex((line) => line.startsWith("E"))).toBeGreaterThan(
        log.findIndex((line) => line.includes("IPv6")),
      );
    },
  );

  test("a failure of IPv6 is logged as such, and IPv4 stays in force", async () => {
    const { pass, node, destinations } = agent({ enableIPv6: true });
    node.interfere = ({ file }) => (file === "ip6tables-restore" ? DENIED : undefined);
    const { log } = await pass(BOTH);
    expect(log.filter((line) => line.startsWith("E"))[0]).toMatch(
      /^E Error syncing masquerade rules for IPv6: /,
    );
    expect(destinations("IPv4")).toHaveLength(3);
  });
});

describe("a failure", () => {
  test.each([
    [true, [1, 0, 0]],
    [false, [1, 1, 1]],
  ])("that lasts is logged once, or in every pass (--watch=%s)", async (watch, counts) => {
    const { pass, node } = agent({ watch });
    node.interfere = ({ args }) => (args.includes("--noflush") ? DENIED : undefined);
    const seen: number[] = [];
    for (let i = 0; i < 3; i++) seen.push((await pass()).log.filter((line) => line.startsWith("E")).length);
    expect(seen).toEqual(counts);
    node.interfere = () => undefined;
    expect((await pass()).log).toContain("I IPv4: the masquerade rules are in force again");
  });

  test("that changes is logged again", async () => {
    const { pass, node } = agent();
    node.interfere = ({ args }) => (args.includes("--noflush") ? DENIED : undefined);
    await pass();
    node.interfere = ({ args }) => (args.includes("--noflush") ? { ...DENIED, stderr: "other" } : undefined);
    expect((await pass()).log.filter((line) => line.startsWith("E"))).toHaveLength(1);
  });

  test("ends the steps of its family: no rules after a chain that could not be made", async () => {
    const { pass, node } = agent();
    node.interfere = ({ args }) => (args.includes("-N") ? DENIED : undefined);
    const { calls } = await pass();
    expect(calls.at(-1)).toBe("iptables -w 5 -N IP-MASQ-AGENT -t nat");
  });

  test("while looking changes nothing", async () => {
    const { pass, node } = agent();
    await pass();
    node.interfere = ({ args }) => (args.includes("-S") ? DENIED : undefined);
    const { calls, errors } = await pass();
    expect([calls.length, errors.length]).toEqual([1, 1]);
  });

  test("a refused restore on a fresh node leaves the jump and an empty chain", async () => {
    const { pass, node } = agent();
    const { errors } = await pass("nonMasqueradeCIDRs: ['::ffff:10.0.0.0/104']");
    expect(errors[0]).toContain("invalid mask `104' specified");
    expect([node.IPv4.chains.get(CHAIN), node.IPv4.chains.get("POSTROUTING")?.length]).toEqual([[], 1]);
  });

  test("that is no command's ends the agent", async () => {
    const { pass } = agent();
    await expect(pass(new Error("broken"))).rejects.toThrow("broken");
  });
});

describe("tools", () => {
  test("are asked for their version once they answer", async () => {
    const { pass, node } = agent();
    node.interfere = () => ({ ...DENIED, exitCode: 300 });
    await pass();
    node.interfere = () => undefined;
    expect((await pass()).calls[0]).toBe("iptables --version");
    expect((await pass()).calls.filter((call) => call.includes("--version"))).toEqual([]);
  });

  test("that do not know --random-fully are warned of, unless it is not asked for", async () => {
    const old = agent({}, "v1.6.1");
    expect((await old.pass()).log).toMatchInlineSnapshot(`
      [
        "I using /c: 1 nonMasqueradeCIDR, resyncInterval 60s",
        "I IPv4: using iptables 1.6.1 (legacy)",
        "W IPv4: iptables 1.6.1 does not know --random-fully (1.6.2 does): masquerading without it",
        "I IPv4: programmed chain IP-MASQ-AGENT with 2 CIDRs (2 differences) in 1 ms",
      ]
    `);
    expect(old.node.IPv4.chains.get(CHAIN)?.at(-1)).not.toContain("--random-fully");
    const off = agent({ randomFully: false }, "v1.6.1");
    expect((await off.pass()).log.filter((line) => line.startsWith("W"))).toEqual([]);
  });

  test("from before -C are in sync after one pass, too", async () => {
    const { pass } = agent({}, "v1.4.7");
    await pass();
    const { calls, applied } = await pass();
    expect([calls, applied]).toEqual([
      ["iptables -S IP-MASQ-AGENT -t nat", "iptables -S POSTROUTING -t nat"],
      0,
    ]);
  });
});

test("the outcome has the duration and the work of the pass", async () => {
  const { pass } = agent();
  const { durationMs, applied, drift, errors } = await pass();
  expect(durationMs).toBeGreaterThan(0);
  expect([applied, drift.length, errors]).toEqual([3, 2, []]);
});
