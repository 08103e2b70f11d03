import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type FindingText, say } from "../../../test/lab/io.ts";
import type { DiffView } from "../../diff/view.ts";
import { diffCommand } from "./diff.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "diff-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

let files = 0;
function file(fields: object): string {
  const path = join(directory, `config-${files++}`);
  writeFileSync(path, JSON.stringify(fields));
  return path;
}

/** Compares two configurations, without a look at this machine's connections. */
async function diff(before: object, after: object, ...args: readonly string[]): Promise<FindingText> {
  const said = await say(diffCommand, [
    "--config",
    file(before),
    file(after),
    "--connections=false",
    ...args,
  ]);
  const clean = (text: string) => text.replaceAll(`${directory}/`, "").replaceAll(/config-\d+/g, "CONFIG");
  return { code: said.code, out: clean(said.out), err: clean(said.err) };
}

async function view(before: object, after: object, ...args: readonly string[]): Promise<DiffView> {
  return JSON.parse((await diff(before, after, "-o=json", ...args)).out);
}

const OLD = { nonMasqueradeCIDRs: ["10.0.0.0/8", "192.168.0.0/16"] };

test("which destinations change, which rules come and go, and what is dangerous", async () => {
  const next = { nonMasqueradeCIDRs: ["10.0.0.0/9", "198.18.0.0/15"], masqLinkLocal: true };
  expect(
    await diff(OLD, next, "--cluster-cidr=10.128.0.0/14", "--service-cidr=10.96.0.0/16"),
  ).toMatchInlineSnapshot(`
    {
      "code": 1,
      "err": "",
      "out": "from CONFIG
    to   CONFIG
    DANGEROUS: 1 address newly masqueraded: the cloud's metadata service (169.254.169.254/32), IPv4
    DANGEROUS: 65,536 addresses newly masqueraded: link-local addresses (169.254.0.0/16), IPv4
    DANGEROUS: 262,144 addresses newly masqueraded: pods (10.128.0.0/14), IPv4

    IPv4
      newly with the pod's address: 131,072 addresses
        198.18.0.0/15
      newly masqueraded: 8,519,680 addresses
        10.128.0.0/9
        169.254.0.0/16
        192.168.0.0/16

    iptables -t nat chain IP-MASQ-AGENT: 2 more, 3 fewer
      - -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 169.254.0.0/16 -j RETURN
      - -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 10.0.0.0/8 -j RETURN
      - -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 192.168.0.0/16 -j RETURN
      + -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 10.0.0.0/9 -j RETURN
      + -m comment --comment "ip-masq-agent: local traffic is not subject to MASQUERADE" -d 198.18.0.0/15 -j RETURN
    ",
    }
  `);
});

test("a configuration that says the same in other words is no difference to any destination", async () => {
  expect(await diff(OLD, OLD)).toEqual({
    code: 0,
    out: "no difference between CONFIG and CONFIG\n",
    err: "",
  });
  const split = { nonMasqueradeCIDRs: ["192.168.0.0/16", "10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16"] };
  const rules = await view(OLD, split);
  expect([rules.differs, rules.verdicts, rules.rules.length]).toEqual([true, [], 1]);
  // Sets hold addresses, not entries.
  expect((await diff(OLD, split, "--backend=nftables")).code).toBe(0);
});

test("the exceptions by the longest prefix, and IPv6", async () => {
  const next = { ...OLD, masqueradeCIDRs: ["10.1.0.0/16"], masqLinkLocalIPv6: true };
  const { verdicts } = await view(OLD, next, "--enable-ipv6", "--backend=nftables");
  expect(verdicts).toMatchInlineSnapshot(`
    [
      {
        "family": "IPv4",
        "newlyKept": {
          "addresses": "0",
          "cidrs": [],
        },
        "newlyMasqueraded": {
          "addresses": "65536",
          "cidrs": [
            "10.1.0.0/16",
          ],
        },
      },
      {
        "family": "IPv6",
        "newlyKept": {
          "addresses": "0",
          "cidrs": [],
        },
        "newlyMasqueraded": {
          "addresses": "332306998946228968225951765070086144",
          "cidrs": [
            "fe80::/10",
          ],
        },
      },
    ]
  `);
});

test("all addresses, and more than a share of them, are dangerous", async () => {
  const dangers = async (next: readonly string[], ...args: readonly string[]) =>
    (await view(OLD, { nonMasqueradeCIDRs: [...OLD.nonMasqueradeCIDRs, ...next] }, ...args)).dangers
      .map(({ what }) => what)
      .filter((what) => what.includes("%") || what.startsWith("every"));
  expect(await dangers(["11.0.0.0/8"])).toEqual([]);
  expect(await dangers(["11.0.0.0/8"], "--max-share=0.3")).toMatchInlineSnapshot(`
    [
      "0.39 % of all IPv4 addresses, more than 0.3 %",
    ]
  `);
  expect(await dangers(["0.0.0.0/0"])).toMatchInlineSnapshot(`
    [
      "99.60 % of all IPv4 addresses, more than 1 %",
    ]
  `);
  expect(
    (
      await view({ nonMasqueradeCIDRs: [], masqLinkLocal: true }, { nonMasqueradeCIDRs: ["0.0.0.0/0"] })
    ).dangers.map(({ what }) => what),
  ).toContain("every IPv4 address");
});

test("100,000 entries of which one is another", async () => {
  const list = Array.from(
    { length: 100_000 },
    (_, i) => `${11 + (i >> 15)}.${(i >> 7) & 255}.${(i & 127) * 2}.0/24`,
  );
  const next = list.with(50_000, "200.1.2.0/24");
  for (const backend of ["iptables", "nftables"]) {
    const { verdicts, rules } = await view(
      { cidrLimit: 200_000, nonMasqueradeCIDRs: list },
      { cidrLimit: 200_000, nonMasqueradeCIDRs: next },
      `--backend=${backend}`,
    );
    expect(verdicts).toEqual([
      {
        family: "IPv4",
        newlyKept: { addresses: "256", cidrs: ["200.1.2.0/24"] },
        newlyMasqueraded: { addresses: "256", cidrs: [list[50_000]] },
      },
    ]);
    expect(rules.map(({ added, removed }) => [added.length, removed.length])).toEqual([[1, 1]]);
  }
});

test("standard input is a configuration too", async () => {
  const { code, out } = await say(
    diffCommand,
    ["--config", file(OLD), "-", "--connections=false", "-o=json"],
    { stdin: JSON.stringify({ nonMasqueradeCIDRs: ["10.0.0.0/8"] }) },
  );
  expect([code, JSON.parse(out).to]).toEqual([1, "standard input"]);
});

test("exit codes as of diff(1): 0 the same, 1 a difference, 2 a failure or a wrong command line", async () => {
  const codes = async (...args: readonly string[]) =>
    (await say(diffCommand, ["--connections=false", ...args])).code;
  const old = file(OLD);
  const more = file({ nonMasqueradeCIDRs: [...OLD.nonMasqueradeCIDRs, "203.0.113.0/24"] });
  const dangerous = file({ nonMasqueradeCIDRs: ["0.0.0.0/0"] });
  expect(await codes(`--config=${old}`, old)).toBe(0);
  expect(await codes(`--config=${old}`, more)).toBe(1);
  expect(await codes(`--config=${old}`, "--fail-on=any", dangerous)).toBe(1);
  expect(await codes(`--config=${old}`, "--fail-on=dangerous", more)).toBe(0);
  expect(await codes(`--config=${old}`, "--fail-on=dangerous", dangerous)).toBe(1);
  const failures = [
    ["--config=/no/such/file", more],
    [`--config=${old}`, "/no/such/file"],
    [`--config=${old}`, directory.repeat(20)],
    [`--config=${old}`, file({ cidrLimit: "x" })],
    [`--config=${file({ cidrLimit: "x" })}`, more],
    ["--fail-on=none", more],
    ["--nonsense"],
  ];
  for (const args of failures) expect([args, await codes(...args)]).toEqual([args, 2]);
});

test("what is not in force, as far as that is known, is said", async () => {
  const [old, next] = [file(OLD), file({ ...OLD, masqLinkLocal: true })];
  const go = { pid: 7, args: [], isOurs: false };
  const ours = { pid: process.pid, args: [`--config=${old}`, "--http-address="], isOurs: true };
  const { code, out, err } = await say(diffCommand, [next, "--connections=false"], { agents: [go, ours] });
  expect(code).toBe(1);
  expect(err).toContain(`--config=${old}, from the agent with pid ${process.pid}`);
  expect(out).toContain(
    `from ${old} (the agent with pid ${process.pid} does not say whether it is in force: --http-address is empty`,
  );
  // A file that is named is the one to compare with, whatever runs beside.
  const named = await say(diffCommand, [`--config=${old}`, next, "--connections=false"], { agents: [ours] });
  expect(named.out).toContain(`from ${old}\n`);
});

test("a bad configuration, and a wrong command line", async () => {
  const bad = await diff(OLD, { nonMasqueradeCIDRs: ["10.1.0.0/8"] });
  expect(bad).toMatchInlineSnapshot(`
    {
      "code": 2,
      "err": "CONFIG:1:24: nonMasqueradeCIDRs[0]: CIDR "10.1.0.0/8" is not aligned to a CIDR block, ip: "10.1.0.0" network: "10.0.0.0/8"; 10.1.0.0/8 has host bits: did you mean 10.0.0.0/8?
    ip-masq-agent diff: CONFIG is not good, so there is nothing to compare: correct it first
    ",
      "out": "",
    }
  `);
  const good = file(OLD);
  const wrong = [
    [good, good],
    ["--config=-", "-"],
    ["--max-share=101", good],
    ["--max-share=1e1", good],
    ["--cluster-cidr=10.1.0.0/8", good],
    ["--service-cidr=10.1.0.0", good],
  ];
  const answers = [];
  for (const args of wrong) {
    const { code, out, err } = await say(diffCommand, args);
    expect([code, out]).toEqual([2, ""]);
    answers.push(err.split("\n")[0]?.replaceAll(directory, "DIR"));
  }
  expect(answers).toMatchInlineSnapshot(`
    [
      "ip-masq-agent diff: one NEW_CONFIG at a time, not 2",
      "ip-masq-agent diff: only one file can be standard input",
      "ip-masq-agent diff: --max-share="101" is not a percentage: write a number from 0 to 100",
      "ip-masq-agent diff: --max-share="1e1" is not a percentage: write a number from 0 to 100",
      "ip-masq-agent diff: --cluster-cidr="10.1.0.0/8" is not a valid CIDR: did you mean 10.0.0.0/8?",
      "ip-masq-agent diff: --service-cidr="10.1.0.0" is not a valid CIDR: an address and a prefix length, such as 10.0.0.0/8",
    ]
  `);
});
