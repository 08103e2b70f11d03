import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { ON_LINUX } from "../../test/lab/linux.ts";
import { createCache } from "../api/cache.ts";
import type { ConfigText } from "../core/config.ts";
import { contentOf } from "../core/configmap/newest.ts";
import { parseFlags } from "../go/flags.ts";
import { UsageError } from "./command.ts";
import { desiredFlags, readDesired, sayProblems } from "./desired.ts";

const directory = mkdtempSync(join(tmpdir(), "desired-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** What the command line and a configuration (on standard input) ask for. */
async function desired(stdin: string, ...args: string[]) {
  return readDesired(parsed(...args), { stdin: async () => Buffer.from(stdin) });
}

function parsed(...args: readonly string[]) {
  const found = parseFlags(desiredFlags, ["--config=-", ...args], "anywhere");
  if (found.kind !== "flags") throw new Error(JSON.stringify(found));
  return found;
}

const LISTS =
  "nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - fd00::/8\n  - 10.0.0.0/8\nmasqueradeCIDRs: [10.2.0.0/16]\n";

describe("rulesets", () => {
  test("of the enabled families, with the flags' part in them", async () => {
    const { rulesets } = await desired(LISTS, "--enable-ipv6", "--masq-chain=M", "--to-ports=1024-2048");
    const texts = rulesets.map(({ family, chain, entries, masquerade }) => ({
      family,
      chain,
      entries: entries.map(({ cidr, verdict, reason }) => `${cidr.text} ${verdict} ${reason}`),
      masquerade,
    }));
    expect(texts).toMatchInlineSnapshot(`
      [
        {
          "chain": "M",
          "entries": [
            "169.254.0.0/16 return link-local",
            "10.2.0.0/16 masquerade configured",
            "10.0.0.0/8 return configured",
            "10.0.0.0/8 return configured",
          ],
          "family": "IPv4",
          "masquerade": {
            "randomFully": true,
            "toPorts": [
              {
                "first": 1024n,
                "last": 2048n,
              },
            ],
          },
        },
        {
          "chain": "M",
          "entries": [
            "fe80::/10 return link-local",
            "fd00::/8 return configured",
          ],
          "family": "IPv6",
          "masquerade": {
            "randomFully": true,
            "toPorts": [
              {
                "first": 1024n,
                "last": 2048n,
              },
            ],
          },
        },
      ]
    `);
  });

  test("none of a bad configuration, but its problems and warnings", async () => {
    const { rulesets, problems, warnings, text, source } = await desired(`cidrs: []\n${LISTS}`);
    expect(rulesets).toEqual([]);
    const said: string[] = [];
    sayProblems({ problems, warnings, text, source }, { err: (text) => said.push(text) });
    expect(said.join("")).toMatchInlineSnapshot(`
      "standard input:4:5: nonMasqueradeCIDRs[1]: ipv6 is not enabled, but ipv6 cidr fd00::/8 provided. Enable ipv6 using --enable-ipv6 agent flag
      warning: standard input:1:1: cidrs: unknown key, ignored; nonMasqueradeCIDRs are destinations that see the pods' own address, masqueradeCIDRs are exceptions that see the node's
      "
    `);
    expect({ problems, warnings }).toMatchInlineSnapshot(`
      {
        "problems": [
          {
            "code": "family",
            "column": 5,
            "key": "nonMasqueradeCIDRs[1]",
            "line": 4,
            "message": "ipv6 is not enabled, but ipv6 cidr fd00::/8 provided. Enable ipv6 using --enable-ipv6 agent flag",
            "path": "standard input",
            "text": "fd00::/8",
          },
        ],
        "warnings": [
          {
            "code": "unknown-key",
            "column": 1,
            "key": "cidrs",
            "line": 1,
            "message": "unknown key, ignored",
            "path": "standard input",
          },
        ],
      }
    `);
  });
});

describe("where entries stand", () => {
  test("by line, also those of which there are two", async () => {
    const { rulesets, placeOf } = await desired(LISTS, "--enable-ipv6");
    const places = rulesets.flatMap(({ entries }) => entries.map(({ cidr }) => [cidr.text, placeOf(cidr)]));
    expect(places).toMatchInlineSnapshot(`
      [
        [
          "169.254.0.0/16",
          undefined,
        ],
        [
          "10.2.0.0/16",
          {
            "column": 19,
            "key": "masqueradeCIDRs[0]",
            "line": 5,
            "path": "standard input",
          },
        ],
        [
          "10.0.0.0/8",
          {
            "column": 5,
            "key": "nonMasqueradeCIDRs[0]",
            "line": 2,
            "path": "standard input",
          },
        ],
        [
          "10.0.0.0/8",
          {
            "column": 5,
            "key": "nonMasqueradeCIDRs[2]",
            "line": 4,
            "path": "standard input",
          },
        ],
        [
          "fe80::/10",
          undefined,
        ],
        [
          "fd00::/8",
          {
            "column": 5,
            "key": "nonMasqueradeCIDRs[1]",
            "line": 3,
            "path": "standard input",
          },
        ],
      ]
    `);
  });

  test("in the built-in defaults", async () => {
    const { rulesets, placeOf, source } = await desired("masqLinkLocal: true\n");
    expect(source).toBe("standard input");
    expect(rulesets[0]?.entries.map(({ cidr }) => placeOf(cidr))).toEqual(
      [0, 1, 2].map(() => ({ path: "built-in defaults", key: "nonMasqueradeCIDRs" })),
    );
  });

  test.runIf(ON_LINUX)("in the files of a directory", async () => {
    writeFileSync(join(directory, "ip-masq-a"), "nonMasqueradeCIDRs: [10.0.0.0/8]\n");
    writeFileSync(join(directory, "ip-masq-b"), "nonMasqueradeCIDRs: [10.0.0.0/8, 11.0.0.0/8]\n");
    const { rulesets, placeOf, source } = await desired("", `--config=${directory}`);
    expect(rulesets[0]?.entries.map(({ cidr }) => placeOf(cidr)?.path)).toEqual([
      undefined,
      join(directory, "ip-masq-a"),
      join(directory, "ip-masq-b"),
    ]);
    expect(source).toBe(`${directory}/ip-masq-a, ${directory}/ip-masq-b`);
  });
});

test("no file means the defaults, and says so", async () => {
  const values = { ...parsed().values, config: "/no/such/file" };
  const read = await readDesired({ values, given: new Set() }, { stdin: async () => Buffer.from("") });
  const { source, rulesets, text } = read;
  const said: string[] = [];
  sayProblems(read, { err: (line) => said.push(line) });
  expect(said).toEqual(["warning: no configuration at /no/such/file, the defaults\n"]);
  expect(source).toBe("no configuration at /no/such/file, the defaults");
  expect(text.files).toEqual([]);
  expect(rulesets[0]?.entries).toHaveLength(4);
});

test.runIf(ON_LINUX)("but not where it was named: that is an error", async () => {
  await expect(desired("", "--config=/no/such/file")).rejects.toThrow("/no/such/file: no such file");
  // A directory that is there may get its files later, and the agent goes on with the defaults until then.
  mkdirSync(join(directory, "empty"));
  expect((await desired("", `--config=${directory}/empty`)).text.files).toEqual([]);
});

test.runIf(ON_LINUX)(
  "a directory where the agent beside reads none is an error for it, and so it is here",
  async () => {
    const values = { ...parsed().values, config: directory };
    const io = { stdin: async () => Buffer.from("") };
    const agent = { pid: 7, isOurs: true, flags: {} as never };
    const given = new Set<string>();
    await expect(
      readDesired({ values, given, agent: { ...agent, readsDirectory: false } }, io),
    ).rejects.toThrow("EISDIR");
    const read = await readDesired({ values, given, agent: { ...agent, readsDirectory: true } }, io);
    expect(read.text.kind).toBe("directory");
  },
);

test.runIf(ON_LINUX)(
  "an agent that follows the API server has what its cache says, while the file is older",
  async () => {
    const state = join(directory, "state");
    const file = join(directory, "file");
    mkdirSync(state);
    const textOf = (text: string): ConfigText => ({
      kind: "file",
      files: [{ path: file, bytes: Buffer.from(text) }],
    });
    const [old, edited] = ["nonMasqueradeCIDRs: [10.0.0.0/8]", "nonMasqueradeCIDRs: [10.0.0.0/9]"] as const;
    writeFileSync(file, old);
    const flags = { "config-map": "a", "state-dir": state } as never;
    const agent = { pid: 7, isOurs: true, flags, readsDirectory: false };
    const read = async (...given: readonly string[]) => {
      const { text, source } = await readDesired(
        { values: { ...parsed().values, config: file }, given: new Set(given), agent },
        { stdin: async () => Buffer.from("") },
      );
      return [String(text.files[0]?.bytes), source];
    };
    expect(await read()).toEqual([old, file]);
    const older = [contentOf(textOf(old)).hash];
    createCache(state, "configmap n/a (key config)", () => expect.fail("warned")).write({
      ...contentOf(textOf(edited)),
      older,
      versions: {},
    });
    expect(await read()).toEqual([edited, `configmap n/a (key config), as cached in ${state}/config.json`]);
    expect(await read("config")).toEqual([old, file]);
    writeFileSync(join(state, "config.json"), "x");
    await expect(read()).rejects.toThrow(/Unexpected token/);
  },
);

test("bad ports are a usage error", async () => {
  await expect(desired("", "--to-ports=0-5-7")).rejects.toThrow(UsageError);
});

test("entries that a set cannot hold are refused where there would be one", async () => {
  const text = "nonMasqueradeCIDRs: [10.0.0.0/08]\n";
  expect((await desired(text)).problems).toEqual([]);
  expect((await desired(text, "--backend=nftables")).problems).toHaveLength(1);
  expect((await desired(`${text}cidrLimit: 3`, "--ipset-threshold=0")).problems).toEqual([]);
});
