/** `report` on a node with an agent and with rules of others, and on nodes where little can be read. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { cells } from "../../lab/length.ts";
import { toolThat } from "../../lab/network/broken-tools.ts";
import { describeKernel, labTest, saysInForce } from "../../lab/network/fixture.ts";
import { agentBundle, type Lab } from "../../lab/network/lab.ts";

const PARTS =
  "at redacted version flags configuration status events doctor diff rules sysctls conntrack".split(" ");

interface Report {
  readonly [part: string]: unknown;
  readonly version: unknown;
  readonly configuration: unknown;
  readonly doctor: { readonly counts: unknown };
  readonly rules: { readonly nftables: { readonly nftables: unknown } };
  readonly sysctls: unknown;
  readonly conntrack: unknown;
}

/** Names that occur in nothing of ours. */
const HOST = "zugspitze.acme.example";
const CONFIG = `# ask Waltraud before you change this
nonMasqueradeCIDRs: [10.20.0.0/16, fd12:3456::/32, 10.244.0.0/16]
`;
const FOREIGN = `
  table inet quarkus { # Waltraud
    set pantry { type ipv4_addr; flags interval; elements = { 10.77.1.0/24, 198.51.100.10-198.51.100.30 }; }
    chain larder { type filter hook forward priority 5; ip saddr @pantry counter comment "for Waltraud only"; }
    chain deep { @nh,96,32 0x0a4d0203 counter log prefix "waltraud: " ; ip6 daddr fd99:abcd::/64 accept; }
  }
`;
const SECRETS = [
  "Waltraud",
  "waltraud",
  "quarkus",
  "pantry",
  "larder",
  "MUSTACHE",
  "kumquat",
  HOST,
  "zugspitze",
  "acme",
];
/** None of them is a part of a time, such as 10.244 of 02:35:10.244Z. */
const ADDRESSES = [
  "10.20.0.0",
  "fd12:3456",
  "10.244.",
  "10.77.1",
  "198.51.100.10",
  "fd99:abcd",
  "172368387",
  "0xa4d0203",
];

/** Runs it in the node, as on a host of that name. */
async function report(lab: Lab, flags: readonly string[] = [], wrapper: readonly string[] = []) {
  const words = [
    "-c",
    `hostname ${HOST}; exec "$@"`,
    "bash",
    ...wrapper,
    process.execPath,
    agentBundle(),
    "report",
  ];
  const answer = await lab.inNode("unshare", ["-u", "bash", ...words, ...flags]);
  expect(answer).toMatchObject({ code: 0 });
  return { text: answer.stdout, report: JSON.parse(answer.stdout) as Report };
}

/** A node where others have been, with names and addresses that are nobody's business. */
async function furnish(lab: Lab, backend: readonly string[]): Promise<void> {
  lab.volume.write(CONFIG);
  lab.startAgent({ flags: ["--enable-ipv6", ...backend] });
  await saysInForce(lab);
  expect(await lab.inNode("nft", ["-f", "-"], FOREIGN)).toMatchObject({ code: 0, stderr: "" });
  await lab
    .iptables("nft")
    .transact(
      ":MUSTACHE - [0:0]",
      '-A MUSTACHE -s 10.244.1.2/32 -m comment --comment "kumquat" -j RETURN',
      "-A POSTROUTING -j MUSTACHE",
    );
}

async function names(lab: Lab): Promise<readonly string[]> {
  const { stdout } = await lab.inNode("ip", ["-j", "addr"]);
  const links = JSON.parse(stdout) as { ifname: string; address: string; addr_info: { local: string }[] }[];
  return links
    .filter(({ ifname }) => ifname !== "lo")
    .flatMap(({ ifname, address, addr_info }) => [ifname, address, ...addr_info.map(({ local }) => local)]);
}

/** Whether a name occurs as a word of its own. */
function occurs(text: string, name: string): boolean {
  const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`(?<![\\w:.-])${escaped}(?![\\w:-]|\\.\\w)`).test(text);
}

const BACKENDS: readonly [string, readonly string[]][] = [
  ["iptables", ["--iptables-mode=nft"]],
  ["nftables", ["--backend=nftables"]],
];

describeKernel("report", () => {
  describe.each(BACKENDS)("beside an agent with %s", (backend, flags) => {
    labTest("has everything, with and without names", async ({ lab }) => {
      await furnish(lab, flags);
      const whole = await report(lab);
      expect(Object.keys(whole.report)).toEqual(PARTS);
      expect(whole.text).not.toContain('"unknown"');
      expect(whole.report).toMatchObject({
        configuration: { files: [{ text: CONFIG }], problems: [] },
        status: { backend: { name: backend }, config: { valid: true } },
        events: { passes: expect.arrayContaining([expect.objectContaining({ reason: "start" })]) },
        doctor: { backend, chain: "IP-MASQ-AGENT" },
        diff: { differs: false },
        sysctls: { "net.ipv4.ip_forward": "1" },
        conntrack: { table: { limit: expect.any(Number) } },
      });
      for (const secret of ["Waltraud", "MUSTACHE", "10.77.1.0", "larder"])
        expect(whole.text).toContain(secret);

      const hidden = await report(lab, ["--redact"]);
      for (const secret of [...SECRETS, ...ADDRESSES]) expect(hidden.text).not.toContain(secret);
      const values = hidden.text.replace(/^ *"[^"]*": /gm, "");
      expect((await names(lab)).filter((name) => occurs(values, name))).toEqual([]);
      // What it is about can still be read.
      expect(hidden.report).toMatchObject({
        status: { backend: { name: backend }, config: { valid: true } },
        doctor: { backend, counts: whole.report.doctor.counts },
        diff: { differs: false },
      });
      expect(hidden.text).toContain("nonMasqueradeCIDRs: [10.");
    });
  });

  labTest("of rules that explain can answer from", async ({ lab }) => {
    await furnish(lab, ["--backend=nftables"]);
    const { report: whole } = await report(lab);
    const { nftables } = whole.rules.nftables;
    const path = join(lab.directory, "rules.json");
    writeFileSync(path, JSON.stringify({ nftables }));
    const explain = (destination: string) =>
      lab.program([
        "explain",
        "--enable-ipv6",
        `--config=${lab.volume.path}`,
        `--rules=${path}`,
        destination,
      ]);
    expect((await explain("10.20.1.1")).stdout).toMatch(/rules: keeps the pod's address/);
    expect((await explain("8.8.8.8")).stdout).toMatch(/rules: masqueraded/);
  });

  const troubles: readonly (readonly [string, (lab: Lab) => readonly string[], readonly string[]])[] = [
    ["without an agent", () => [], ["status", "events"]],
    ["as nobody", () => NOBODY, ["status", "events", "diff", "rules"]],
    ["without tools", () => ["env", "PATH=/nonexistent"], ["status", "events", "diff", "rules"]],
    ["with a tool that fails", (lab) => withTool(lab, "exit 3"), ["rules"]],
    ["with a tool that says nothing", (lab) => withTool(lab, "exit 0"), ["rules"]],
    ["with a tool that says what is no JSON", (lab) => withTool(lab, "head -c 1000000 /dev/zero"), ["rules"]],
  ];
  // One tool that fails shows what all do.
  const shown = cells(troubles, ([what]) => !what.startsWith("with a tool") || what.includes("no JSON"));
  describe.each(shown)("%s", (_what, wrapper, parts) => {
    labTest("says why, and answers the rest", async ({ lab }) => {
      expect(await lab.inNode("nft", ["-f", "-"], FOREIGN)).toMatchObject({ code: 0, stderr: "" });
      const { report: found } = await report(lab, [], wrapper(lab));
      for (const part of parts) {
        expect(JSON.stringify(found[part])).toMatch(/"unknown":"[^"]+","why":"[^"]{5,}"/);
      }
      expect(found.sysctls).toMatchObject({ "net.ipv4.ip_forward": "1" });
      expect(found.configuration).toMatchObject({ problems: [] });
      expect(found.version).toMatchObject({ node: process.version });
    });
  });

  labTest("names a table that is too long, and cuts a set of 100,000 elements", async ({ lab }) => {
    const rules = Array.from(
      { length: 20_000 },
      (_, i) => `add rule ip long c ip daddr 10.0.${i >> 8}.${i & 255} accept`,
    );
    const address = (i: number) => `11.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    const elements = Array.from({ length: 100 }, (_, n) =>
      Array.from({ length: 1_000 }, (_, i) => address(n * 1_000 + i)),
    );
    const script = [
      "add table ip long\nadd chain ip long c\nadd table ip wide\nadd set ip wide many { type ipv4_addr; }",
      ...rules,
      ...elements.map((some) => `add element ip wide many { ${some.join(",")} }`),
    ].join("\n");
    // Its complaint would repeat all of it.
    expect((await lab.inNode("nft", ["-f", "-"], script)).code).toBe(0);
    const { report: found, text } = await report(lab, ["--redact"]);
    expect(found.rules.nftables).toMatchObject({ leftOut: [expect.any(String)] });
    expect(/"leftOut": 9\d{4}/.test(text)).toBe(true);
    expect(text.length).toBeLessThan(8 * 1024 * 1024);
  });
});

const NOBODY = ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];

/** In front of the real nft. */
function withTool(lab: Lab, action: string): readonly string[] {
  const { PATH = "" } = process.env;
  return ["env", `PATH=${toolThat(lab, "nft", action)}:${PATH}`];
}
