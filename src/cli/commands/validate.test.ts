import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { say } from "../../../test/lab/io.ts";
import { ON_LINUX } from "../../../test/lab/linux.ts";
import { validateCommand } from "./validate.ts";

const directory = mkdtempSync(join(tmpdir(), "validate-"));
const FILES = {
  good: "nonMasqueradeCIDRs: [10.0.0.0/8]\n",
  bad: 'nonMasqueradeCIDRs:\n  - 10.1.0.0/8\n  - "fd00::/8"\nmasqLinkLocal: 1\n',
  tab: "nonMasqueradeCIDRs:\n\t- 10.0.0.0/8\n",
  odd: "nonMasqueradeCIDR: []\nnonMasqueradeCIDRs: [10.0.0.0/8, 10.2.0.0/16]\n",
  mapped: "nonMasqueradeCIDRs: ['::ffff:10.0.0.0/104']\n",
  "manifest.yaml":
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ip-masq-agent}\ndata:\n  config: |\n    nonMasqueradeCIDRs:\n    - 10.1.0.0/8\n    masqLinkLocal: "yes"\n',
  mounted: "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n    nonMasqueradeCIDRs: [10.0.0.0/8]\n",
  "nested.yaml":
    "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n    apiVersion: v1\n    kind: ConfigMap\n    data:\n      config: |\n        nonMasqueradeCIDRs: [10.0.0.0/8]\n",
  "binary.json": JSON.stringify({
    apiVersion: "v1",
    kind: "ConfigMap",
    binaryData: { config: btoa("nonMasqueradeCIDRs:\n- 10.0.0.1/8\n"), "ip-masq-x": "!" },
  }),
  "good.yaml": "apiVersion: v1\nkind: ConfigMap\ndata: {config: 'cidrLimit: 3'}\n",
  "beside.yaml": "apiVersion: v1\nkind: ConfigMap\ndata:\nconfig: |\n  nonMasqueradeCIDRs: [10.0.0.0/8]\n",
  "misnamed.yaml":
    "kind: Pod\napiVersion: v1\n---\napiVersion: v1\nkind: ConfigMap\ndata:\n  masq.yml: |\n    nonMasqueradeCIDRs: []\n  cidrLimit: '3'\n",
  binary: "\u007fELF\0\0",
  truncated: '{"nonMasqueradeCIDRs": ["10.0.0.0/8", "10.',
};

beforeAll(() => {
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(directory, name), text);
  mkdirSync(join(directory, "config.d"));
  writeFileSync(join(directory, "config.d/ip-masq-a"), FILES.good);
  writeFileSync(join(directory, "config.d/ip-masq-b"), "nonMasqueradeCIDRs: [10.3.0.0/16]\nfoo: 1\n");
  writeFileSync(join(directory, "config.d/readme"), "{");
  mkdirSync(join(directory, "empty.d"));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** `@` is the directory with the files. */
async function validate(line: string, stdin = "") {
  const said = await say(validateCommand, line.replaceAll("@", directory).split(" "), { stdin });
  return { ...said, out: said.out.replaceAll(directory, "@") };
}

test("a line feed in a file's name begins no line of its own", async () => {
  const name = join(directory, "a\n::error::b");
  writeFileSync(name, "cidrLimits: 9\n");
  const { out } = await say(validateCommand, [name, `${name}.gone`]);
  rmSync(name);
  expect(out.split("\n").filter((line) => !/^(?: {4}|$)/.test(line))).toEqual([
    expect.stringContaining("a\\n::error::b:1:1: warning: cidrLimits: unknown key"),
    expect.stringContaining("a\\n::error::b: accepted: 3 CIDRs"),
    expect.stringContaining("a\\n::error::b.gone: error: no such file"),
    expect.stringContaining("a\\n::error::b.gone: not accepted: 1 problem"),
  ]);
});

describe("as text", () => {
  test.each([
    "@/good",
    "@/bad",
    "--enable-ipv6 @/bad",
    "@/odd",
    "@/tab",
    "@/manifest.yaml",
    "@/mounted",
    "@/nested.yaml",
    "@/binary.json",
    "@/good.yaml",
    "@/beside.yaml",
    "@/misnamed.yaml",
    "@/binary",
    "@/truncated",
    ...(ON_LINUX ? ["@/config.d", "@/empty.d"] : []),
    "@/none @/good",
    "@/good, '@/good' @/good\n",
    "--config=@/good",
    "@/good/x",
    "--backend=nftables @/mapped",
  ])("%s", async (line) => {
    const { code, out, err } = await validate(line);
    expect(err).toBe(
      line.startsWith("--config")
        ? `ip-masq-agent validate: flag provided but not defined: -config: files are words here: ip-masq-agent validate ${directory}/good\nSee "ip-masq-agent validate --help"\n`
        : "",
    );
    expect(`${out}exit code ${code}\n`).toMatchSnapshot();
  });

  test("standard input", async () => {
    expect((await validate("-", FILES.good)).out).toBe("standard input: accepted: 1 CIDR\n");
  });

  test("a word is needed", async () => {
    expect((await say(validateCommand, [])).code).toBe(2);
  });
});

test("--strict counts warnings", async () => {
  expect((await validate("@/odd")).code).toBe(0);
  expect((await validate("--strict @/odd")).code).toBe(1);
  expect((await validate("--strict @/good")).code).toBe(0);
});

test("a manifest is taken for one from standard input, too", async () => {
  expect((await validate("-", FILES["good.yaml"])).out).toBe(
    "standard input: accepted: 3 CIDRs in data.config, the built-in defaults\n",
  );
});

test("as JSON", async () => {
  const { code, out } = await validate("-o json @/good @/odd @/manifest.yaml");
  expect(code).toBe(1);
  expect(JSON.parse(out)).toMatchSnapshot();
  expect(JSON.parse((await validate("-o json --strict @/odd")).out).files[0].ok).toBe(false);
});

test("a place far right on a long line is shown cut out", async () => {
  const cidrs = Array.from({ length: 300 }, (_, i) => (i === 250 ? "10.0.0.1/8" : `10.0.${i % 256}.0/24`));
  const { out } = await validate("-", JSON.stringify({ cidrLimit: 400, nonMasqueradeCIDRs: cidrs }));
  const [, line = "", mark = ""] = out.split("\n");
  expect(line.length).toBeLessThan(120);
  expect(line.slice(mark.indexOf("^"), mark.lastIndexOf("^") + 1)).toBe('"10.0.0.1/8"');
});

test("nothing in a file reaches the terminal but what can be seen", async () => {
  const { out } = await validate("-", 'nonMasqueradeCIDRs: ["10.0.0.0/8\u009b31m", "\\e[31m"]\n');
  expect(out).not.toMatch(/[^\P{Cc}\n]/u);
});

test("100,000 entries, each inside another and all on one line", async () => {
  const cidrs = Array.from({ length: 100_000 }, (_, i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`);
  const text = JSON.stringify({ cidrLimit: 200_000, nonMasqueradeCIDRs: ["10.0.0.0/8", ...cidrs] });
  const { code, out } = await validate("-", text);
  expect(code).toBe(0);
  expect(out).toContain("and 99000 more: -o json has them all\n");
  expect(out).toContain("accepted: 100001 CIDRs, 100000 warnings\n");
});

describe("whether the list keeps pods' own networks, with --cluster-cidr", () => {
  const check = async (cidrs: string, list: string, flags = "") => {
    const { code, out } = await validate(
      `--cluster-cidr=${cidrs}${flags} -o json -`,
      `nonMasqueradeCIDRs: [${list}]\n`,
    );
    const { files } = JSON.parse(out) as { files: { warnings: { code: string; message: string }[] }[] };
    const warnings = files.flatMap((file) => file.warnings).filter((one) => one.code === "uncovered");
    return { code, said: warnings.map(({ message }) => message) };
  };

  test.each<[string, string, string, string, readonly string[]]>([
    ["kept", "10.244.0.0/16", "10.0.0.0/8", "", []],
    ["kept by several entries", "10.244.0.0/16", "10.244.0.0/17, 10.244.128.0/17", "", []],
    ["in no entry", "10.244.0.0/16", "192.168.0.0/16", "", ["no entry contains it"]],
    ["kept in part", "10.244.0.0/16", "10.244.0.0/17", "", ["the list does not keep 10.244.128.0/17"]],
    ["of an empty list", "10.244.0.0/16", "", "", ["the list is empty, so that only link-local is kept"]],
    ["several", "10.244.0.0/16,10.20.0.0/16", "10.244.0.0/16", "", ["no entry contains it"]],
    ["of a family that is off", "fd00:244::/56", "10.0.0.0/8", "", []],
    [
      "of both families",
      "10.244.0.0/16,fd00:244::/56",
      "10.0.0.0/8",
      " --enable-ipv6",
      ["no entry contains it"],
    ],
  ])("a network %s", async (_name, cidrs, list, flags, expected) => {
    expect(await check(cidrs, list, flags)).toEqual({
      code: 0,
      said: expected.map((why) =>
        expect.stringMatching(
          new RegExp(`^pods of .* \\(--cluster-cidr\\) are masqueraded towards each other: ${why}`),
        ),
      ),
    });
  });

  test.each<[string, readonly string[]]>([
    ["masqueradeSourceCIDRs: [10.244.0.0/16]", []],
    ["masqueradeSourceCIDRs: [10.0.0.0/8]\nnonMasqueradeSourceCIDRs: [10.244.0.0/16]", []],
    [
      "masqueradeSourceCIDRs: [10.244.0.0/17]",
      [
        "pods of 10.244.0.0/16 (--cluster-cidr) are not masqueraded: masqueradeSourceCIDRs has 10.244.0.0/17, not 10.244.128.0/17",
      ],
    ],
  ])("a network that the lists of sources cut off: %j", async (config, expected) => {
    const { out } = await validate("--cluster-cidr=10.244.0.0/16 -o json -", `${config}\n`);
    const { files } = JSON.parse(out) as { files: { warnings: { code: string; message: string }[] }[] };
    const warnings = files.flatMap((file) => file.warnings).filter((one) => one.code === "uncovered");
    expect(warnings.map(({ message }) => message)).toEqual(expected);
  });

  test("with --strict it is a problem, and text says what to do", async () => {
    const { code, out } = await validate("--strict --cluster-cidr=172.20.0.0/16 @/good");
    expect(code).toBe(1);
    expect(out).toContain("pods of 172.20.0.0/16 (--cluster-cidr) are masqueraded towards each other");
    expect(out).toContain("add it to nonMasqueradeCIDRs");
  });

  test("a bad CIDR is a usage error", async () => {
    const { code, err } = await validate("--cluster-cidr=10.244.0.1/16 @/good");
    expect({ code, err }).toMatchObject({
      code: 2,
      err: expect.stringContaining('invalid --cluster-cidr: "10.244.0.1/16" is not a valid CIDR'),
    });
  });
});
