/**
 * What a configuration and a command line come to, as the texts that iptables-restore and ipset are given, and as the
 * transactions that make a table of it where there is none. A case is a directory: `flags` (one a line),
 * `config.yaml`, if there is a file, `iptables.txt` and `nft.txt`. A change of the texts is made by
 * `npm run golden` and reviewed as a diff.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { probe } from "../../src/iptables/probe.ts";
import { iptablesPlanner } from "../../src/iptables/plan.ts";
import { planTable } from "../../src/nftables/plan.ts";
import { NO_TABLE } from "../../src/nftables/sets.ts";
import { agentOptions, parseAgentFlags } from "../../src/cli/options.ts";
import { type ConfigText, decodeConfig } from "../../src/core/config.ts";
import { PACKET_LISTS } from "../../src/core/keys.ts";
import { type Family, parseAddress } from "../../src/core/cidr.ts";
import { compileRuleset, enabledFamilies, type NodeAddresses, type Options } from "../../src/core/ruleset.ts";
import { renderScript } from "../../src/netlink/text.ts";

const ROOT = import.meta.dirname;
/** A first line of `flags` such as `# iptables v1.4.7` names the tool's version. */
const VERSION = /^# (iptables v.*)\n/;
/** A line such as `# node 192.0.2.1 2001:db8::1` names the node's own addresses. */
const OWN = /^# node (.*)$/m;
/** The default of --ipset-threshold. */
const IPSET_THRESHOLD = 1_000;

function readCase(name: string) {
  const directory = join(ROOT, name);
  const flags = readFileSync(join(directory, "flags"), "utf8");
  const config = join(directory, "config.yaml");
  const files = existsSync(config) ? [{ path: "config.yaml", bytes: readFileSync(config) }] : [];
  const args = flags.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const version = VERSION.exec(flags)?.[1] ?? "iptables v1.8.9 (nf_tables)";
  const own = (OWN.exec(flags)?.[1] ?? "").split(" ").flatMap((text) => parseAddress(text) ?? []);
  const addresses = (family: Family) => own.flatMap((one) => (one.family === family ? one.value : []));
  const node: NodeAddresses = { IPv4: addresses("IPv4"), IPv6: addresses("IPv6") };
  return { args, version, node, text: { kind: "file", files } as const };
}

function optionsOf(args: readonly string[]): Options {
  const parsed = parseAgentFlags(args);
  if (parsed.kind !== "flags") throw new Error(`bad flags: ${args.join(" ")}`);
  const options = agentOptions(parsed.values);
  if (!options.ok) throw new Error(options.message);
  return options.value;
}

const cases = readdirSync(ROOT, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

test("there are cases", () => {
  expect(cases.length).toBeGreaterThanOrEqual(12);
});

/** What iptables-restore and ipset are given, for both families. */
async function iptablesText(name: string, text: ConfigText): Promise<string> {
  const { args, version, node } = readCase(name);
  const options = optionsOf(args);
  const decoded = decodeConfig(text, options);
  if (!decoded.ok) throw new Error(JSON.stringify(decoded.problems));
  const parts: string[] = [];
  for (const family of enabledFamilies(options)) {
    const { tools, plan } = iptablesPlanner("path", IPSET_THRESHOLD);
    const answer = { exitCode: 0, stdout: version, stderr: "" };
    const capabilities = await probe(tools(family), async () => answer);
    const ruleset = compileRuleset(family, decoded.value.config, options, node);
    const { steps } = plan(ruleset, { ...capabilities, ipset: true }, { rules: undefined, jump: false });
    for (const { file, args: words, stdin } of steps)
      if (stdin !== undefined) parts.push(`# ${file === "ipset" ? `ipset ${words.join(" ")}` : file}\n${stdin}`);
  }
  return parts.join("\n");
}

test.each(cases)("%s with iptables", async (name) => {
  const text = await iptablesText(name, readCase(name).text);
  await expect(text).toMatchFileSnapshot(join(ROOT, name, "iptables.txt"));
});

/** Differences that iptables does not mind, or that come from its age. */
const IPTABLES_ONLY = ["as-written", "old-tool"];

/** What the kernel's default buffers allow. */
const MAX_BYTES = 425_952;

const nftablesCases = cases.filter((name) => !IPTABLES_ONLY.includes(name));

/** The transactions that make a table where there is none. */
function nftablesText(name: string, text: ConfigText): string {
  const { args, node } = readCase(name);
  const options = { ...optionsOf(args), setsAbove: 0 };
  const decoded = decodeConfig(text, options);
  if (!decoded.ok) throw new Error(JSON.stringify(decoded.problems));
  const rulesets = enabledFamilies(options).map((family) =>
    compileRuleset(family, decoded.value.config, options, node),
  );
  const { steps } = planTable(rulesets, NO_TABLE, MAX_BYTES);
  const parts = steps.map(({ operations, purpose }) => `# ${purpose}\n${renderScript(operations)}`);
  return parts.join("\n");
}

test.each(nftablesCases)("%s with nftables", async (name) => {
  const text = nftablesText(name, readCase(name).text);
  await expect(text).toMatchFileSnapshot(join(ROOT, name, "nft.txt"));
});

/** A configuration that also has each key about sources, links and addresses, with an empty value. */
function withEmptyKeys({ files }: ConfigText, value: "null" | "[]"): ConfigText {
  const text = new TextDecoder().decode(files[0]?.bytes).trimEnd();
  const members = [...PACKET_LISTS.map((key) => `"${key}": ${value}`), '"outputAddressBy": null'];
  const more = text.endsWith("}") ? `${text.slice(0, -1)}, ${members.join(", ")}}` : `${text}\n${members.join("\n")}\n`;
  return { kind: "file", files: [{ path: "config.yaml", bytes: Buffer.from(more) }] };
}

/** Cases without these keys: a repeated key would replace what they have. */
const withoutKeys = cases.filter((name) => {
  const text = new TextDecoder().decode(readCase(name).text.files[0]?.bytes);
  return !PACKET_LISTS.some((key) => text.includes(key));
});

test.each(withoutKeys)("%s is the same, to the byte, with empty keys about sources, links and addresses", async (name) => {
  const { text } = readCase(name);
  for (const value of ["null", "[]"] as const) {
    const more = withEmptyKeys(text, value);
    expect(await iptablesText(name, more)).toBe(await iptablesText(name, text));
    if (nftablesCases.includes(name)) expect(nftablesText(name, more)).toBe(nftablesText(name, text));
  }
});

test("as-written with nftables is a problem of the configuration", () => {
  const { args, text } = readCase("as-written");
  const decoded = decodeConfig(text, { ...optionsOf(args), setsAbove: 0 });
  expect(decoded.ok ? [] : decoded.problems.map(({ code }) => code)).toMatchInlineSnapshot(`
    [
      "cidr",
      "cidr",
    ]
  `);
});
