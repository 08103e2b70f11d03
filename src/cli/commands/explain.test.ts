import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FindingText, say } from "../../../test/lab/io.ts";
import type { ExplainView } from "../../explain/view.ts";
import { explainCommand } from "./explain.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "explain-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string | Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

/** What was said, without the directory's name. */
async function explain(args: readonly string[], stdin = ""): Promise<FindingText> {
  const { code, out, err } = await say(explainCommand, args, { stdin });
  return { code, out: out.replaceAll(`${directory}/`, ""), err: err.replaceAll(`${directory}/`, "") };
}

const CONFIG = "nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - 10.1.0.0/16\n";
const WEIGHED = `${CONFIG}masqueradeCIDRs: [10.1.2.0/24]\n`;
const RULES = `*nat
:POSTROUTING ACCEPT [0:0]
:IP-MASQ-AGENT - [0:0]
-A POSTROUTING ! -d 10.0.0.0/9 -o eth0 -m comment --comment "kubenet: SNAT" -j MASQUERADE
-A POSTROUTING -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT
-A IP-MASQ-AGENT -d 10.0.0.0/8 -j RETURN
-A IP-MASQ-AGENT -j MASQUERADE
COMMIT
`;

describe("by the configuration", () => {
  test("the entry that decides, where it is, and those that lost", async () => {
    const config = file("config", CONFIG);
    expect(
      await explain(["--config", config, "10.1.2.3", "8.8.8.8", "169.254.169.254", "fd00::1", "127.0.0.1"]),
    ).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "",
        "out": "10.1.2.3: keeps the pod's address
        config: keeps the pod's address by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0])
        not by 10.1.0.0/16 (config:3:5, nonMasqueradeCIDRs[1]): it is further down, and the first entry decides

      8.8.8.8: masqueraded
        config: masqueraded: no entry contains it

      169.254.169.254: keeps the pod's address
        config: keeps the pod's address by 169.254.0.0/16 (link-local, kept unless masqLinkLocal or masqLinkLocalIPv6 is true)

      fd00::1: keeps the pod's address
        config: keeps the pod's address: --enable-ipv6 is off, so the agent has no rules for IPv6

      127.0.0.1: keeps the pod's address
        config: keeps the pod's address: it is an address of the node itself, and the agent's rules are about others
      ",
      }
    `);
  });

  test("each part of a CIDR, by the longest prefix where masqueradeCIDRs is set", async () => {
    expect((await explain(["--config", file("config", WEIGHED), "10.0.0.0/7"])).out).toMatchInlineSnapshot(`
      "10.0.0.0/16 of 10.0.0.0/7: keeps the pod's address
        config: keeps the pod's address by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0])
      10.1.0.0/23 of 10.0.0.0/7: keeps the pod's address
        config: keeps the pod's address by 10.1.0.0/16 (config:3:5, nonMasqueradeCIDRs[1])
        not by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0]): its prefix is shorter, and with masqueradeCIDRs the longest decides
      10.1.2.0/24 of 10.0.0.0/7: masqueraded
        config: masqueraded by 10.1.2.0/24 (config:4:19, masqueradeCIDRs[0])
        not by 10.1.0.0/16 (config:3:5, nonMasqueradeCIDRs[1]): its prefix is shorter, and with masqueradeCIDRs the longest decides
        not by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0]): its prefix is shorter, and with masqueradeCIDRs the longest decides
      10.1.3.0/24 10.1.4.0/22 10.1.8.0/21 10.1.16.0/20 10.1.32.0/19 10.1.64.0/18 10.1.128.0/17 of 10.0.0.0/7: keeps the pod's address
        config: keeps the pod's address by 10.1.0.0/16 (config:3:5, nonMasqueradeCIDRs[1])
        not by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0]): its prefix is shorter, and with masqueradeCIDRs the longest decides
      10.2.0.0/15 10.4.0.0/14 10.8.0.0/13 10.16.0.0/12 10.32.0.0/11 10.64.0.0/10 10.128.0.0/9 of 10.0.0.0/7: keeps the pod's address
        config: keeps the pod's address by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0])
      11.0.0.0/8 of 10.0.0.0/7: masqueraded
        config: masqueraded: no entry contains it
      "
    `);
  });

  test("without a file, the defaults; in JSON for programs", async () => {
    const agents = [{ pid: process.pid, args: ["--config=/none"], isOurs: true }];
    const { code, out, err } = await say(explainCommand, ["-o=json", "192.168.0.0/15"], { agents });
    // A process of the same user and files, whose configuration can be read by its own path.
    const said = err.replace(String(process.pid), "PID");
    expect({ code, err: said, answer: JSON.parse(out) }).toMatchInlineSnapshot(`
      {
        "answer": {
          "destinations": [
            {
              "destination": "192.168.0.0/15",
              "parts": [
                {
                  "addresses": "65536",
                  "by": {
                    "cidr": "192.168.0.0/16",
                    "key": "nonMasqueradeCIDRs",
                    "place": "built-in defaults",
                    "verdict": "keep",
                  },
                  "cidrs": [
                    "192.168.0.0/16",
                  ],
                  "lost": [],
                  "verdict": "keep",
                },
                {
                  "addresses": "65536",
                  "cidrs": [
                    "192.169.0.0/16",
                  ],
                  "reason": "no entry contains it",
                  "verdict": "masquerade",
                },
              ],
            },
          ],
        },
        "code": 0,
        "err": "ip-masq-agent explain: --config=/none, from the agent with pid PID
      warning: no configuration at /none, the defaults
      ",
      }
    `);
  });

  test("a host name, each address of it; one that does not resolve is said and the others answered", async () => {
    const config = file("config", CONFIG);
    expect((await explain(["--config", config, "localhost"])).out).toContain(
      "localhost (127.0.0.1): keeps the pod's address",
    );
    const { code, out, err } = await explain(["--config", config, "nothing.invalid", "10.0.0.1"]);
    expect({
      code,
      out: out.split("\n")[0],
      err: err.replace(/\((ENOTFOUND|EAI_AGAIN)\)/, "(CODE)"),
    }).toMatchInlineSnapshot(`
      {
        "code": 1,
        "err": "ip-masq-agent explain: cannot resolve nothing.invalid (CODE): give its address instead, or check the name and /etc/resolv.conf
      ",
        "out": "10.0.0.1: keeps the pod's address",
      }
    `);
  });

  test("a port and a URL are taken for what they name", async () => {
    const config = file("config", CONFIG);
    const asked = ["10.1.2.3:5432", "[fd00::1]:53", "udp://8.8.8.8:53", "https://localhost/x"];
    const { code, out } = await explain(["--config", config, "-o=json", ...asked]);
    const { destinations } = JSON.parse(out) as ExplainView;
    expect(code).toBe(0);
    expect(
      destinations
        .filter(({ destination }) => !destination.includes("::1)"))
        .map(({ destination, port, protocol, parts }) => [destination, port, protocol, parts[0]?.cidrs[0]]),
    ).toEqual([
      ["10.1.2.3:5432", 5432, "tcp", "10.1.2.3"],
      ["[fd00::1]:53", 53, "tcp", "fd00::1"],
      ["udp://8.8.8.8:53", 53, "udp", "8.8.8.8"],
      ["https://localhost/x (127.0.0.1)", 443, "tcp", "127.0.0.1"],
    ]);
  });

  test("a bad configuration explains nothing", async () => {
    expect(
      await explain(["--config", file("config", "nonMasqueradeCIDRs: [10.1.0.0/8]\n"), "10.1.2.3"]),
    ).toMatchInlineSnapshot(`
      {
        "code": 1,
        "err": "config:1:22: nonMasqueradeCIDRs[0]: CIDR "10.1.0.0/8" is not aligned to a CIDR block, ip: "10.1.0.0" network: "10.0.0.0/8"; 10.1.0.0/8 has host bits: did you mean 10.0.0.0/8?
      ip-masq-agent explain: config is not good, so there is nothing to explain: correct it first
      ",
        "out": "",
      }
    `);
  });
});

describe("by saved rules", () => {
  test("of a size that no dump has", async () => {
    const rules = file("rules", "");
    truncateSync(rules, 2 ** 40);
    const { code, err } = await explain(["--rules", rules, "10.1.2.3"]);
    expect([code, err]).toEqual([
      1,
      'ip-masq-agent explain: rules: larger than 256 MiB: not a dump of rules: save the nat table alone, with "iptables-save -t nat"\n',
    ]);
  });

  test("alone, and compared with a configuration", async () => {
    const rules = file("rules", RULES);
    expect(await explain(["--rules", rules, "10.1.2.3", "10.200.0.1"])).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "warning: rules: only the nat table is in it, so whether rules of others drop packets, mark them or exempt them from NAT is not known: "iptables-save" saves all tables
      warning: no --node-address: destinations are taken for addresses of other machines
      ",
        "out": "10.1.2.3: keeps the pod's address
        rules: keeps the pod's address by rule 1 of IP-MASQ-AGENT (iptables -t nat): -d 10.0.0.0/8 -j RETURN

      10.200.0.1: keeps the pod's address, unless a rule below decides first
        rules: may be masqueraded by rule 1 of POSTROUTING (iptables -t nat): ! -d 10.0.0.0/9 -o eth0 -m comment --comment "kubenet: SNAT" -j MASQUERADE; it depends on: -o eth0
        rules: otherwise keeps the pod's address by rule 1 of IP-MASQ-AGENT (iptables -t nat): -d 10.0.0.0/8 -j RETURN
      ",
      }
    `);
    const known = ["--out-interface=eth0", "--node-address=192.0.2.1"];
    const answer = await explain([
      "--rules",
      rules,
      "--config",
      file("config", CONFIG),
      ...known,
      "10.1.2.3",
      "10.200.0.1",
      "192.0.2.1",
    ]);
    expect(answer).toMatchInlineSnapshot(`
      {
        "code": 1,
        "err": "warning: rules: only the nat table is in it, so whether rules of others drop packets, mark them or exempt them from NAT is not known: "iptables-save" saves all tables
      ",
        "out": "10.1.2.3: keeps the pod's address
        config: keeps the pod's address by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0])
        not by 10.1.0.0/16 (config:3:5, nonMasqueradeCIDRs[1]): it is further down, and the first entry decides
        rules: keeps the pod's address by rule 1 of IP-MASQ-AGENT (iptables -t nat): -d 10.0.0.0/8 -j RETURN
        the rules in the dump do what the configuration says

      10.200.0.1: masqueraded
        config: keeps the pod's address by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0])
        rules: masqueraded by rule 1 of POSTROUTING (iptables -t nat): ! -d 10.0.0.0/9 -o eth0 -m comment --comment "kubenet: SNAT" -j MASQUERADE
        the rules do NOT do what the configuration says

      192.0.2.1: keeps the pod's address
        config: keeps the pod's address: it is an address of the node itself, and the agent's rules are about others
        rules: keeps the pod's address: it is for this node itself
        the rules in the dump do what the configuration says
      ",
      }
    `);
  });

  test("a CIDR is split where the rules answer otherwise", async () => {
    const { out } = await explain(
      ["--rules=-", "--out-interface=eth0", "--node-address=10.0.0.1", "10.0.0.0/8"],
      RULES,
    );
    expect(out.split("\n").filter((line) => !line.startsWith(" "))).toMatchInlineSnapshot(`
      [
        "10.0.0.0 of 10.0.0.0/8: keeps the pod's address",
        "10.0.0.1 of 10.0.0.0/8: keeps the pod's address",
        "10.0.0.2/31 10.0.0.4/30 10.0.0.8/29 10.0.0.16/28 10.0.0.32/27 10.0.0.64/26 10.0.0.128/25 10.0.1.0/24 and 14 more of 10.0.0.0/8: keeps the pod's address",
        "10.128.0.0/9 of 10.0.0.0/8: masqueraded",
        "",
      ]
    `);
  });

  const WHOLE = RULES.replace(" -o eth0", " -p udp")
    .replace(
      "*nat\n",
      "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n",
    )
    .replace(
      "-A POSTROUTING !",
      "-A PREROUTING -j KUBE-SERVICES\n-A KUBE-SERVICES -d 10.96.0.50/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.0.9:80\n-A KUBE-SERVICES -d 10.96.0.60/32 -j DNAT --to-destination 10.244.0.9\n-A POSTROUTING !",
    );

  test("the exit code of an answer that depends on the packet is 0, as the help says", async () => {
    const ask = (...more: readonly string[]) =>
      explain(["--rules=-", "--config", file("config", CONFIG), "-o=json", ...more, "10.200.0.1"], WHOLE);
    const agrees = ({ out }: { readonly out: string }) =>
      (JSON.parse(out) as ExplainView).destinations[0]?.parts.map((part) => part.agrees);
    const [open, udp, tcp] = [await ask(), await ask("--protocol=udp"), await ask("--protocol=tcp")];
    expect([open, udp, tcp].map((one) => [agrees(one), one.code])).toEqual([
      [["depends"], 0],
      [["no"], 1],
      [["yes"], 0],
    ]);
  });

  test("a destination that is translated first is followed to its endpoint", async () => {
    const ask = (...more: readonly string[]) =>
      explain(["--rules=-", "--config", file("config", CONFIG), "--node-address=192.0.2.1", ...more], WHOLE);
    const service = await ask("10.96.0.50", "10.96.0.60");
    expect(service).toMatchInlineSnapshot(`
      {
        "code": 0,
        "err": "",
        "out": "10.96.0.50: keeps the pod's address, unless it is translated first
        config: keeps the pod's address by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0])
        rules: may be translated first by rule 1 of KUBE-SERVICES (iptables -t nat): -d 10.96.0.50/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.0.9:80, to 10.244.0.9:80; it depends on: -p tcp and --dport 80
        to 10.244.0.9:80
          config: keeps the pod's address by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0])
          rules: keeps the pod's address by rule 1 of IP-MASQ-AGENT (iptables -t nat): -d 10.0.0.0/8 -j RETURN
        rules: otherwise keeps the pod's address by rule 1 of IP-MASQ-AGENT (iptables -t nat): -d 10.0.0.0/8 -j RETURN
        the rules do what the configuration says

      10.96.0.60 -> 10.244.0.9; 10.244.0.9 sees the pod's address, unless a rule below decides first
        config: keeps the pod's address by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0])
        rules: translated to 10.244.0.9 by rule 2 of KUBE-SERVICES (iptables -t nat): -d 10.96.0.60/32 -j DNAT --to-destination 10.244.0.9
        to 10.244.0.9
          config: keeps the pod's address by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0])
          rules: may be masqueraded by rule 1 of POSTROUTING (iptables -t nat): ! -d 10.0.0.0/9 -p udp -m comment --comment "kubenet: SNAT" -j MASQUERADE; it depends on: -p udp
          rules: otherwise keeps the pod's address by rule 1 of IP-MASQ-AGENT (iptables -t nat): -d 10.0.0.0/8 -j RETURN
        whether the rules do what the configuration says depends on packet details that you did not give: try a port, --source, --protocol or --out-interface
      ",
      }
    `);
    expect((await ask("10.1.2.3")).code).toBe(0);
    const { out, code } = await ask("-o=json", "10.96.0.50");
    const json = JSON.parse(out) as ExplainView;
    const [part] = json.destinations[0]?.parts ?? [];
    expect([code, json.notRead, part?.agrees]).toEqual([0, [], "yes"]);
    expect(part?.live?.possible[0]?.endpoints).toMatchObject([
      { destination: "10.244.0.9", port: 80, verdict: "keep", live: { verdict: "keep", possible: [] } },
    ]);
    // Of what is not followed, nobody knows what it shows; also where nothing is compared.
    const hidden = WHOLE.replace("--to-destination 10.244.0.9:80", "--random");
    expect((await explain(["--rules=-", "10.96.0.50"], hidden)).code).toBe(1);
  });

  test("nothing agrees with rules of which something was not read", async () => {
    const objects = [
      { table: { family: "ip", name: "t" } },
      { set: { family: "ip", table: "t", name: "kept", type: "ipv4_addr" } },
      { chain: { family: "ip", table: "t", name: "p", type: "nat", hook: "postrouting", prio: 100 } },
    ];
    const dump = JSON.stringify({ nftables: objects });
    const ask = (...more: readonly string[]) =>
      explain(
        ["--rules=-", "--config", file("config", CONFIG), "--node-address=192.0.2.1", ...more, "10.1.2.3"],
        dump,
      );
    expect(await ask()).toMatchInlineSnapshot(`
      {
        "code": 1,
        "err": "warning: standard input: the sets: none has an element in it: save it without --terse
      ",
        "out": "10.1.2.3: keeps the pod's address, as far as the rules could be read
        config: keeps the pod's address by 10.0.0.0/8 (config:2:5, nonMasqueradeCIDRs[0])
        not by 10.1.0.0/16 (config:3:5, nonMasqueradeCIDRs[1]): it is further down, and the first entry decides
        rules: keeps the pod's address: no rule gives it another
        whether the rules do what the configuration says is not known: not all of them could be read
      ",
      }
    `);
    const { out, code } = await ask("-o=json");
    const json = JSON.parse(out) as ExplainView;
    expect([code, json.notRead?.length, json.destinations[0]?.parts[0]?.agrees]).toEqual([1, 1, "unknown"]);
  });

  test("what is no dump is refused with its place", async () => {
    const answers = [];
    for (const path of [
      join(directory, "none"),
      directory,
      file("binary", Uint8Array.of(1, 2, 3)),
      file("cut", RULES.slice(0, 90)),
    ])
      answers.push(await explain(["--rules", path, "10.1.2.3"]));
    expect(
      answers.map(({ code, out, err }) => `${code}${out}: ${err}`.replaceAll(directory, "DIR")),
    ).toMatchInlineSnapshot(`
      [
        "1: ip-masq-agent explain: open none: no such file or directory (ENOENT)
      ",
        "1: ip-masq-agent explain: read DIR: illegal operation on a directory (EISDIR)
      ",
        "1: ip-masq-agent explain: binary:1: this is binary, no text: save the rules with iptables-save or nft -j list ruleset
      ",
        "1: ip-masq-agent explain: cut:4: table nat has no COMMIT: the dump is cut short; save it again
      ",
      ]
    `);
  });
});

test("a wrong command line says what to do, with exit code 2", async () => {
  const wrong = [
    [],
    ["10.0.0.1/8"],
    ["10.0.0.0/33"],
    ["what is this"],
    ["--live", "--rules=x", "10.0.0.1"],
    ["--source=10.0.0.1", "10.0.0.1"],
    ["--live", "--source=pod", "10.0.0.1"],
    ["--live", "--mark=0x1ffffffff", "10.0.0.1"],
    ["--live", "--node-address=10.0.0.1", "10.0.0.1"],
    ["--to-ports=9-1", "10.0.0.1"],
    ["010.0.0.1"],
    ["10.1"],
    ["10.0.0.1:0"],
    ["--live", "--protocol=tpc", "10.0.0.1"],
    ["--live", "--protocol=256", "10.0.0.1"],
    ["--live", "--protocol=icmp", "10.0.0.1:80"],
    ["--live", "--out-interface=eth 0", "10.0.0.1"],
  ];
  const answers = [];
  for (const args of wrong) {
    const { code, out, err } = await explain(args);
    expect([code, out]).toEqual([2, ""]);
    answers.push(err.split("\n").at(-3));
  }
  expect(answers).toMatchInlineSnapshot(`
    [
      "ip-masq-agent explain: no destination: give addresses, CIDRs, host names or URLs",
      "ip-masq-agent explain: "10.0.0.1/8" has host bits: did you mean 10.0.0.0/8, or the address 10.0.0.1?",
      "ip-masq-agent explain: "10.0.0.0/33" is not a CIDR: an address and a prefix length, such as 10.0.0.0/8",
      "ip-masq-agent explain: "what is this" is not an address, a CIDR, a host name or a URL: try 10.1.2.3, 10.0.0.0/8, [fd00::1]:443 or example.com",
      "ip-masq-agent explain: --live and --rules exclude each other: one node at a time",
      "ip-masq-agent explain: --source, --mark, --protocol, --in-interface and --out-interface matter to rules only: add --live, or --rules FILE",
      "ip-masq-agent explain: --source="pod" is not an address",
      "ip-masq-agent explain: --mark="0x1ffffffff" is not a number of 32 bits: try 0x4000",
      "ip-masq-agent explain: --node-address is for --rules: with --live the node knows its own",
      "ip-masq-agent explain: invalid --to-ports "9-1": first is greater than last in "9-1"",
      "ip-masq-agent explain: "010.0.0.1" is not an address: programs disagree on it: write four numbers up to 255 without leading zeros, perhaps 10.0.0.1",
      "ip-masq-agent explain: "10.1" is not an address: an IPv4 address has four numbers from 0 to 255, such as 10.1.2.3",
      "ip-masq-agent explain: "10.0.0.1:0" has a port that is not a number from 1 to 65535",
      "ip-masq-agent explain: --protocol="tpc" is not a protocol: did you mean tcp?",
      "ip-masq-agent explain: --protocol="256" is not a protocol: try tcp, udp or icmp",
      "ip-masq-agent explain: 10.0.0.1:80 has a port, but --protocol=icmp has none: leave out one of them",
      "ip-masq-agent explain: --out-interface="eth 0" is not the name of an interface: try eth0",
    ]
  `);
  const other = await explain(["--rules", file("rules", RULES), "--source=fd00::1", "10.0.0.1"]);
  expect([other.code, other.err.split("\n").at(-2)]).toMatchInlineSnapshot(`
    [
      1,
      "ip-masq-agent explain: 10.0.0.1 is IPv4, but --source is IPv6: ask about one family at a time",
    ]
  `);
});
