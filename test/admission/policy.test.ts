/** The policy in deploy/admission: it refuses the usual mistakes, and no text that the agent accepts without a warning. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeConfig } from "../../src/core/config.ts";
import { CONFIG_KEYS } from "../../src/core/keys.ts";
import { validateObject } from "../chart/kubernetes.ts";
import { typeErrors } from "../chart/strict.ts";
import { OPTIONS } from "../lab/config.ts";
import { times } from "../lab/length.ts";
import { readManifest } from "../lab/manifest.ts";
import { type ConfigMap, type Cost, readPolicy, refusals } from "./cel.ts";

const policy = readPolicy("deploy/admission/policy.yaml");

const WIDE = "ip-masq-agent/allow-wide";
const REMOVAL = "ip-masq-agent/allow-removal";

function configMap(text: string | undefined, annotations?: Readonly<Record<string, string>>): ConfigMap {
  return {
    metadata: { name: "ip-masq-agent", ...(annotations === undefined ? {} : { annotations }) },
    ...(text === undefined ? {} : { data: { config: text } }),
  };
}

const MISTAKES: readonly (readonly [entries: readonly string[], reason: string])[] = [
  [["300.0.0.0/8"], "not a CIDR: 300.0.0.0/8"],
  [["10.0.0.0/33", "1::2::3/64", "10.0.0.0/8"], "not a CIDR: 10.0.0.0/33, 1::2::3/64"],
  [["10.1.0.0/8"], "10.1.0.0/8 has host bits: did you mean 10.0.0.0/8?"],
  [["FD00::1/64"], "fd00::1/64 has host bits: did you mean fd00::/64?"],
  [["10.0.0.1"], "without a prefix length: 10.0.0.1 (did you mean 10.0.0.1/32?)"],
  [["10.0.0.0/8", "fd00::1"], "without a prefix length: fd00::1 (did you mean fd00::1/128?)"],
  [
    ["8.0.0.0/7"],
    `wider than /8 (IPv6: /7), which is rarely meant; if it is, set the annotation ${WIDE}: "true": 8.0.0.0/7`,
  ],
  [
    ["0.0.0.0/0", "::/0"],
    `wider than /8 (IPv6: /7), which is rarely meant; if it is, set the annotation ${WIDE}: "true": 0.0.0.0/0, ::/0`,
  ],
  [["example.com", "10.0.0.0/8"], "not a CIDR: example.com"],
  [["10.0.0.0-10.0.0.9", "$PODS"], "not a CIDR: 10.0.0.0-10.0.0.9, $PODS"],
  [["10.0.0.0 /8", "\u201c10.0.0.0/8\u201d"], "not a CIDR: 10.0.0.0 /8, \u201c10.0.0.0/8\u201d"],
  [
    ["10.0.0.0/33", "192.0.2.1", "10.1.0.0/16", "10.1.2.0/16"],
    "not a CIDR: 10.0.0.0/33; without a prefix length: 192.0.2.1 (did you mean 192.0.2.1/32?); 10.1.2.0/16 has host bits: did you mean 10.1.0.0/16?",
  ],
];

/** A list in the styles that people use. */
const STYLES: Readonly<Record<string, (key: string, entries: readonly string[]) => string>> = {
  block: (key, entries) =>
    `# why\n${key}:\n${entries.map((entry) => `  - ${entry}\n`).join("")}cidrLimit: 64\n`,
  "block without indent, CRLF": (key, entries) =>
    `${key}:\r\n${entries.map((entry) => `- "${entry}"  # 10.0.0.1\r\n`).join("")}resyncInterval: 60s`,
  flow: (key, entries) => `${key}: [${entries.map((entry) => `'${entry}'`).join(", ")}]\nmasqLinkLocal: true`,
  "flow mapping": (key, entries) =>
    `{${key}: [${entries.map((entry) => `"${entry}"`).join(", ")}], cidrLimit: 3}`,
  JSON: (key, entries) => JSON.stringify({ [key]: entries, masqLinkLocal: false }),
  "pretty JSON": (key, entries) => JSON.stringify({ resyncInterval: "1m", [key]: entries }, null, 2),
};
const styles = Object.entries(STYLES);

describe.each(styles)("a mistake in %s style is refused", (_, write) => {
  test.each(MISTAKES)("%j", (entries, reason) => {
    expect(refusals(policy, configMap(write("nonMasqueradeCIDRs", entries)))).toEqual([reason]);
  });

  test("a key that does not exist", () => {
    expect(refusals(policy, configMap(write("nonMasqueradeCIDR", ["10.0.0.0/8"])))).toEqual([
      "unknown key: nonMasqueradeCIDR",
    ]);
  });

  test("more than half of the list gone, unless the annotation says how many", () => {
    const before = configMap(write("nonMasqueradeCIDRs", ["10.0.0.0/8", "172.16.0.0/12", "fd00::/8"]));
    const edited = (annotations?: Readonly<Record<string, string>>) =>
      configMap(write("NonMasqueradeCIDRs", ["10.0.0.0/8"]), annotations);
    const reason = `2 of 3 CIDRs would be gone: more than half; if that is meant, set the annotation ${REMOVAL}: "2"`;
    expect(refusals(policy, edited(), before)).toEqual([reason]);
    // An annotation that stayed from an earlier edit allows nothing.
    expect(refusals(policy, edited({ [REMOVAL]: "1" }), before)).toEqual([reason]);
    expect(refusals(policy, edited({ [REMOVAL]: "2" }), before)).toEqual([]);
    expect(
      refusals(policy, configMap(write("nonMasqueradeCIDRs", ["10.0.0.0/8", "FD00::/8"])), before),
    ).toEqual([]);
  });

  test("a wide block with its annotation is allowed", () => {
    expect(
      refusals(policy, configMap(write("nonMasqueradeCIDRs", ["0.0.0.0/0"]), { [WIDE]: "true" })),
    ).toEqual([]);
  });
});

test.each([
  ["nonMasqueradeCIDRs: 10.0.0.0/8", "nonMasqueradeCIDRs (did you mean [10.0.0.0/8]?)"],
  ["masqueradeCIDRs:\n  10.0.0.0/8\n  192.0.2.0/24\n", "masqueradeCIDRs (did you mean [10.0.0.0/8]?)"],
  ['{"masqueradeSourceCIDRs":"fd00::/8"}', "masqueradeSourceCIDRs (did you mean [fd00::/8]?)"],
])("a text instead of a list is refused: %j", (text, reason) => {
  expect(refusals(policy, configMap(text))).toEqual([`not a list: ${reason}`]);
});

test("several CIDRs in one entry are refused", () => {
  const text = "nonMasqueradeCIDRs:\n- 10.0.0.0/8,172.16.0.0/12\n- cidr: 192.0.2.0/24\n";
  expect(refusals(policy, configMap(text))).toEqual([
    "not a CIDR: 10.0.0.0/8,172.16.0.0/12, cidr: 192.0.2.0/24",
  ]);
});

test.each([
  ["host bits", "10.1.0.0/8"],
  ["no CIDR", "10.0.0.0/77"],
  ["no CIDR, and not ASCII", "\u5b50\u7f51".repeat(4)],
  ["one of the length of all", "g".repeat(5_000)],
  ["no length", "10.0.0.1"],
  ["wide", "0.0.0.0/0"],
])("the API server shows no message of more than 5 KiB: %s", (_, entry) => {
  const entries = Array.from({ length: Math.floor(24_000 / (entry.length + 4)) }, () => `- ${entry}\n`);
  const text = `nonMasqueradeCIDRs:\n${entries.join("")}x: 1\n`;
  const [reason = "", ...more] = refusals(
    policy,
    configMap(text),
    configMap("masqueradeCIDRs: [192.0.2.0/24]"),
  );
  expect(more).toEqual([]);
  expect(reason).toMatch(/ \.\.\.; /);
  for (const part of ["unknown key: x", REMOVAL, entry.slice(0, 400)]) expect(reason).toContain(part);
  expect(Buffer.byteLength(reason)).toBeLessThan(5_120);
});

test("a list that is replaced by others as long is many gone", () => {
  const list = (first: number) =>
    Array.from({ length: 700 }, (_, i) => `- ${first}.0.${i >> 8}.${i & 255}/32\n`);
  const [before, after] = [10, 11].map((first) => configMap(`nonMasqueradeCIDRs:\n${list(first).join("")}`));
  expect(refusals(policy, after as ConfigMap, before)).toMatchObject([/^700 of 700 CIDRs would be gone/]);
});

test("a key that moves to binaryData is not gone", () => {
  const before = configMap("nonMasqueradeCIDRs: [10.0.0.0/8]");
  const { metadata } = before;
  expect(refusals(policy, { metadata, binaryData: { config: "AA==" } }, before)).toEqual([]);
  expect(refusals(policy, { metadata, binaryData: { notes: "AA==" } }, before)).toMatchObject([/^1 of 1 /]);
});

test("an empty list, no list and no data are many gone", () => {
  const before = configMap("nonMasqueradeCIDRs: [10.0.0.0/8]");
  for (const text of ["nonMasqueradeCIDRs: []", "", undefined])
    expect(refusals(policy, configMap(text), before)).toMatchObject([/^1 of 1 CIDRs would be gone/]);
});

test("a change of something else is allowed, even where the text was bad before", () => {
  const bad = configMap("nonMasqueradeCIDRs: [10.1.0.0/8]");
  expect(
    refusals(policy, { ...bad, metadata: { name: "ip-masq-agent", annotations: { owner: "me" } } }, bad),
  ).toEqual([]);
});

test("the files of a directory are read, other keys are not", () => {
  const data = {
    "ip-masq-agent-pods": "nonMasqueradeCIDRs: [10.1.0.0/8]",
    notes: "nonMasqueradeCIDRs: [10.2.0.0/8]",
  };
  expect(refusals(policy, { metadata: { name: "ip-masq-agent" }, data })).toEqual([
    "10.1.0.0/8 has host bits: did you mean 10.0.0.0/8?",
  ]);
});

test("the manifests are valid", async () => {
  const documents = ["policy", "binding"].map((name) => readManifest(`deploy/admission/${name}.yaml`));
  for (const document of documents) validateObject(document);
  expect(await typeErrors(documents)).toBe("");
});

test("it knows the agent's keys", () => {
  const unknown = policy.variables.find(({ name }) => name === "unknown")?.expression ?? "";
  const known = [...unknown.matchAll(/'([a-z0-9]+)'/g)].map(([, key]) => key);
  expect(known).toEqual(expect.arrayContaining(CONFIG_KEYS.map((key) => key.toLowerCase())));
});

/** Where the agent accepts a text without a warning, the policy refuses it for no reason but a wide block. */
function expectNoOtherRefusal(files: Readonly<Record<string, string>>) {
  const bytes = Object.entries(files).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
  const kind = bytes.length === 1 ? "file" : "directory";
  const decoded = decodeConfig({ kind, files: bytes }, { ...OPTIONS, enableIPv6: true });
  if (!decoded.ok || decoded.value.warnings.length > 0) return false;
  const object = { metadata: { name: "ip-masq-agent", annotations: { [WIDE]: "" } }, data: files };
  expect({ files, refused: refusals(policy, object) }).toEqual({ files, refused: [] });
  return true;
}

test("it refuses none of the public files that the agent accepts without a warning", () => {
  const directory = join("test", "configs", "files");
  const texts = readdirSync(directory).map((name) => readFileSync(join(directory, name), "utf8"));
  const accepted = texts.filter((config) => expectNoOtherRefusal({ config }));
  expect(accepted.length).toBeGreaterThan(25);
});

test("it refuses no configuration of the recorded facts that the agent accepts without a warning", () => {
  const directory = join("test", "conformance", "cases");
  const lines = readdirSync(directory).flatMap((name) =>
    readFileSync(join(directory, name), "utf8").trim().split("\n"),
  );
  const cases = lines.map(
    (line) => JSON.parse(line) as { readonly files?: Readonly<Record<string, unknown>> },
  );
  const accepted = cases.filter(({ files = {} }) => {
    const texts = Object.entries(files).filter(
      (file): file is [string, string] => typeof file[1] === "string",
    );
    return texts.length > 0 && expectNoOtherRefusal(Object.fromEntries(texts));
  });
  expect(accepted.length).toBeGreaterThan(150);
});

/** Configurations in all that YAML offers: quotes, comments, anchors, tags, escapes, block scalars, documents. */
const arbitraryText = fc.letrec<{ entry: string; list: string; text: string }>((tie) => ({
  entry: fc
    .tuple(
      fc.constantFrom(
        "10.0.0.0/8",
        "192.0.2.7/32",
        "FD00::/8",
        "fe80::/10",
        "::ffff:10.0.0.0/104",
        "10.0.0.0/08",
        "1.2.3.4",
      ),
      fc.constantFrom(
        "C",
        "'C'",
        '"C"',
        "&a C",
        "!!str C",
        ">-\n      C",
        "|-\n      C",
        "!!str\n    C",
        "C # 10.0.0.1",
      ),
    )
    .map(([cidr, form]) => form.replace("C", cidr)),
  list: fc.oneof(
    fc.array(tie("entry"), { maxLength: 4 }).map((all) => `\n${all.map((one) => `  - ${one}\n`).join("")}`),
    fc
      .array(tie("entry"), { maxLength: 4 })
      .map((all) => ` [${all.filter((one) => !/[\n#]/.test(one)).join(", ")}]\n`),
    fc.array(tie("entry"), { maxLength: 4 }).map((all) => ` ${JSON.stringify(all).replaceAll("/", "\\/")}\n`),
    fc.constant(" null\n"),
  ),
  text: fc
    .array(
      fc.oneof(
        fc
          .tuple(
            fc.constantFrom(
              ...CONFIG_KEYS.filter((key) => /CIDRs$/.test(key)),
              "masqueradecidrs",
              '"nonMasqueradeCIDRs"',
            ),
            tie("list"),
          )
          .map(([key, list]) => `${key}:${list}`),
        fc.constantFrom(
          "cidrLimit: 64\n",
          "resyncInterval: 1m30s\n",
          "masqLinkLocal: true\n",
          "# a: 10.1.0.0/8\n",
          "---\n",
          "...\n",
          "\n",
          "%YAML 1.1\n---\n",
        ),
        fc.constantFrom(
          "outputAddresses: [192.0.2.1, '2001:db8::1']\n",
          "outputAddresses:\n- 192.0.2.1\n",
          "outputInterfaces:\n- eth0\n- 10.0.0.1\n",
        ),
      ),
      { maxLength: 5 },
    )
    .chain((parts) =>
      fc.constantFrom(
        parts.join(""),
        parts.join("").replaceAll("\n", "\r\n"),
        parts.join("").replaceAll("\n", "\u2028"),
        `\ufeff${parts.join("")}`,
        parts.join("").replaceAll(/^(?=.)/gm, "  "),
      ),
    ),
}));

test("it refuses no arbitrary text that the agent accepts without a warning", () => {
  let accepted = 0;
  fc.assert(
    fc.property(arbitraryText.text, (config) => {
      if (expectNoOtherRefusal({ config })) accepted++;
    }),
    { numRuns: times(1_000, 20_000) },
  );
  expect(accepted).toBeGreaterThan(100);
});

test("its regular expressions mean the same to RE2 and to JavaScript", () => {
  const patterns = policy.variables.flatMap(({ expression }) =>
    [...expression.matchAll(/\br'([^']*)'/g)].map(([, pattern = ""]) => pattern),
  );
  expect(patterns.length).toBeGreaterThan(6);
  for (const pattern of patterns) {
    expect(pattern).not.toMatch(/\(\?[=!<]|\\[1-9bBdDpPwWS]|\[[^\]]*\\s/);
    expect(() => new RegExp(pattern.replace(/^\(\?[im]+\)/, ""))).not.toThrow();
  }
});

/** The API server allows ten million units for a policy, and a million for one expression. */
test("the longest text that it reads costs far less than the API server allows", () => {
  const lines = Array.from({ length: 1_800 }, (_, i) => `- 10.${i >> 8}.${i & 255}.0/24`);
  const long = `nonMasqueradeCIDRs:\n${lines.join("\n")}`;
  expect(long.length).toBeGreaterThan(28_000);
  const cost: Cost = { units: 0 };
  expect(refusals(policy, configMap(long), configMap(`${long} # before`), cost)).toEqual([]);
  expect(cost.units).toBeGreaterThan(1_000);
  expect(cost.units).toBeLessThan(1_000_000);
  // A longer one passes unread.
  expect(refusals(policy, configMap(`${long}\n- 10.1.2.3/8\n${"#".repeat(3_000)}`))).toEqual([]);
});
