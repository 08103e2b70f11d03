/** `diff` where configurations say whose packets are masqueraded, through which links, and with which address. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { say } from "../../../test/lab/io.ts";
import type { DiffView } from "../../diff/view.ts";
import { diffCommand } from "./diff.ts";

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "diff-packets-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

async function diff(before: object, after: object, ...args: readonly string[]) {
  const [from, to] = [before, after].map((fields, i) => {
    const path = join(directory, `${i}`);
    writeFileSync(path, JSON.stringify(fields));
    return path;
  }) as [string, string];
  const { code, out, err } = await say(diffCommand, ["--config", from, to, "--connections=false", ...args]);
  return { code, out: out.replaceAll(`${directory}/`, ""), err };
}

const view = async (before: object, after: object, ...args: string[]): Promise<DiffView> =>
  JSON.parse((await diff(before, after, "-o=json", ...args)).out);

test("sources, interfaces and addresses, with what is dangerous", async () => {
  const before = { masqueradeSourceCIDRs: ["10.244.0.0/16"], outputInterfaces: ["eth0"] };
  const after = {
    masqueradeSourceCIDRs: ["10.244.0.0/17", "10.245.0.0/16"],
    outputInterfaces: ["bond+", "eth0"],
    outputAddresses: ["192.0.2.0/24"],
    outputAddressBy: "flow",
  };
  expect((await diff(before, after, "--cluster-cidr=10.244.0.0/16")).out).toMatchInlineSnapshot(`
    "from 0
    to   1
    DANGEROUS: 32,768 sources no longer masqueraded: pods (10.244.0.0/16), IPv4

    no destination changes its verdict

    IPv4 sources
      no longer masqueraded: 32,768 sources
        10.244.128.0/17
      newly masqueraded: 65,536 sources
        10.245.0.0/16

    output interfaces
      - eth0
      + bond+, eth0

    output addresses
      - as the kernel chooses
      + 192.0.2.0/24, by flow

    iptables -t nat chain IP-MASQ-AGENT: 4 more, 1 fewer
      - -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -s 10.244.0.0/16 -o eth0 -j MASQUERADE --random-fully
      + -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -s 10.244.0.0/17 -o bond+ -j MASQUERADE --random-fully
      + -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -s 10.245.0.0/16 -o bond+ -j MASQUERADE --random-fully
      + -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -s 10.244.0.0/17 -o eth0 -j MASQUERADE --random-fully
      + -m comment --comment "ip-masq-agent: outbound traffic is subject to MASQUERADE (must be last in chain)" -s 10.245.0.0/16 -o eth0 -j MASQUERADE --random-fully
    "
  `);
  expect((await diff(before, after, "--backend=nftables")).out).toMatchInlineSnapshot(`
    "from 0
    to   1

    no destination changes its verdict

    IPv4 sources
      no longer masqueraded: 32,768 sources
        10.244.128.0/17
      newly masqueraded: 65,536 sources
        10.245.0.0/16

    output interfaces
      - eth0
      + bond+, eth0

    output addresses
      - as the kernel chooses
      + 192.0.2.0/24, by flow

    table inet ip-masq-agent set for IPv4 sources: 2 more, 1 fewer
      - 10.244.0.0-10.244.255.255
      + 10.244.0.0-10.244.127.255
      + 10.245.0.0-10.245.255.255

    table inet ip-masq-agent chain postrouting for IPv4: 1 more, 0 fewer
      + meta nfproto ipv4 oifname "bond*" counter masquerade fully-random
    "
  `);
});

test("a list of sources where there was none takes from masquerading, and back", async () => {
  const none = {};
  const pods = { masqueradeSourceCIDRs: ["10.244.0.0/16"] };
  const [there] = (await view(none, pods)).sources ?? [];
  expect(there).toMatchObject({ newlyOurs: { addresses: "0" }, noLongerOurs: { addresses: "4294901760" } });
  const [back] = (await view(pods, none)).sources ?? [];
  expect(back).toMatchObject({ newlyOurs: { addresses: "4294901760" }, noLongerOurs: { addresses: "0" } });
});

test("only networks of pods that lose it are dangerous", async () => {
  const pods = { masqueradeSourceCIDRs: ["10.244.0.0/16"] };
  const cut = { ...pods, nonMasqueradeSourceCIDRs: ["10.244.128.0/20"] };
  const cluster = "--cluster-cidr=10.244.0.0/16";
  const { dangers } = await view(pods, cut, cluster);
  expect(dangers).toEqual([
    { family: "IPv4", change: "left alone", what: "pods (10.244.0.0/16)", addresses: "4096" },
  ]);
  expect((await view(cut, pods, cluster)).dangers).toEqual([]);
  expect((await diff({}, pods, cluster, "--fail-on=dangerous")).code).toBe(0);
});

test.each([
  [{ masqueradeSourceCIDRs: ["10.0.0.0/9", "10.128.0.0/9"] }, { masqueradeSourceCIDRs: ["10.0.0.0/8"] }],
  [{ outputInterfaces: ["eth0", "eth1"] }, { outputInterfaces: ["eth1", "eth0", "eth1"] }],
  [{ outputAddresses: ["192.0.2.1", "192.0.2.2"] }, { outputAddresses: ["192.0.2.2", "192.0.2.1"] }],
  [{ masqueradeSourceCIDRs: [] }, {}],
])("the same in other words: %j and %j", async (before, after) => {
  const { sources, interfaces, outputAddresses, dangers } = await view(before, after);
  expect({ sources, interfaces, outputAddresses, dangers }).toEqual({ dangers: [] });
});

test("without these keys, the answer does not name them", async () => {
  const found = await view({ cidrLimit: 3 }, { nonMasqueradeCIDRs: ["10.0.0.0/8"] });
  expect(Object.keys(found)).not.toEqual(expect.arrayContaining(["sources"]));
  expect(JSON.stringify(found)).not.toMatch(/interfaces|outputAddresses|sources/);
});
