import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { configOf, decodeText, problemLines } from "../../test/lab/config.ts";
import { type DecodedConfig, decodeConfig } from "./config.ts";
import type { ConfigOptions } from "./config-options.ts";
import type { Result } from "./problem.ts";

const OPTIONS: ConfigOptions = { noMasqAllReservedRanges: false, enableIPv6: false };
const V6 = { ...OPTIONS, enableIPv6: true };

/** The lists as they were written, and the other values of which these tests are. */
function show(text: string, options: Partial<ConfigOptions> = {}) {
  const config = configOf(text, options);
  const { cidrLimit, masqLinkLocal, masqLinkLocalIPv6, nonMasqueradeDefaults, resyncIntervalMs } = config;
  return {
    keep: config.nonMasqueradeCIDRs.map((cidr) => cidr.text),
    except: config.masqueradeCIDRs.map((cidr) => cidr.text),
    ...{ cidrLimit, masqLinkLocal, masqLinkLocalIPv6, nonMasqueradeDefaults, resyncIntervalMs },
  };
}

const problems = (result: Result<DecodedConfig>): string[] =>
  result.ok ? [] : problemLines(result.problems);
const warnings = (result: Result<DecodedConfig>): string[] =>
  result.ok ? problemLines(result.value.warnings) : ["(refused)"];

describe("one file", () => {
  test("empty: the defaults", () => {
    expect(show("")).toMatchInlineSnapshot(`
      {
        "cidrLimit": 64,
        "except": [],
        "keep": [
          "10.0.0.0/8",
          "172.16.0.0/12",
          "192.168.0.0/16",
        ],
        "masqLinkLocal": false,
        "masqLinkLocalIPv6": false,
        "nonMasqueradeDefaults": true,
        "resyncIntervalMs": 60000,
      }
    `);
    expect(show("", { noMasqAllReservedRanges: true }).keep).toMatchInlineSnapshot(`
      [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
      ]
    `);
    expect(decodeConfig({ kind: "file", files: [] }, OPTIONS)).toEqual(decodeText(""));
  });

  test("everything", () => {
    const text = `
nonMasqueradeCIDRs:
  - 10.0.0.0/8
  - fd00::/8
masqueradeCIDRs: [10.1.0.0/16]
cidrLimit: 3
masqLinkLocal: true
masqLinkLocalIPv6: yes
resyncInterval: 1m30s
`;
    expect(show(text, V6)).toMatchInlineSnapshot(`
      {
        "cidrLimit": 3,
        "except": [
          "10.1.0.0/16",
        ],
        "keep": [
          "10.0.0.0/8",
          "fd00::/8",
        ],
        "masqLinkLocal": true,
        "masqLinkLocalIPv6": true,
        "nonMasqueradeDefaults": false,
        "resyncIntervalMs": 90000,
      }
    `);
  });

  test.each([
    ['{"NONMASQUERADECIDRS": ["10.0.0.0/8"]}', ["10.0.0.0/8"]],
    ['{"nonma\\u017fqueradeCIDR\\u017f": ["10.0.0.0/8"]}', ["10.0.0.0/8"]],
    ['{"nonMasqueradeCIDRs": ["10.0.0.0/8"], "nonmasqueradecidrs": ["11.0.0.0/8"]}', ["11.0.0.0/8"]],
    ['{"nonMasqueradeCIDRs": null}', []],
    ['{"nonMasqueradeCIDRs": []}', []],
    // A null keeps what the decoder's slice held there: a default, or what an earlier key left.
    ['{"nonMasqueradeCIDRs": [null, "11.0.0.0/8"]}', ["10.0.0.0/8", "11.0.0.0/8"]],
    ['{"nonMasqueradeCIDRs": ["11.0.0.0/8", null, null]}', ["11.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]],
    [
      '{"nonMasqueradeCIDRs": ["11.0.0.0/8", "12.0.0.0/8"], "nonMasqueradeCIDRs": ["13.0.0.0/8"], "nonMasqueradeCIDRs": [null, null]}',
      ["13.0.0.0/8", "12.0.0.0/8"],
    ],
    ["nonMasqueradeCIDRs: [10.0.0.0/8, 10.0.0.0/8]", ["10.0.0.0/8", "10.0.0.0/8"]],
    ["nonMasqueradeCIDRs: [10.0.0.0/08, '::ffff:10.0.0.0/104']", ["10.0.0.0/08", "::ffff:10.0.0.0/104"]],
  ])("the list of %s", (text, keep) => {
    expect(show(text).keep).toEqual(keep);
  });

  test.each([
    ["resyncInterval: 1h", 3_600_000],
    ['resyncInterval: "0.25s"', 250],
    ["resyncInterval: 100ms", 100],
    ["resyncInterval: 99ms", 100],
    ['resyncInterval: "0"', 100],
    ["resyncInterval: -1h", 100],
    ["masqLinkLocal: false", 60_000],
  ])("%s is an interval of %d ms", (text, expected) => {
    expect(show(text).resyncIntervalMs).toBe(expected);
  });

  test.each([
    ["cidrLimit: 3", 3],
    ["cidrLimit: 0x10", 16],
    ["cidrLimit: null", 64],
    ["cidrLimit: 9223372036854775807", 2 ** 63],
  ])("%s is a limit of %d", (text, expected) => {
    expect(show(text).cidrLimit).toBe(expected);
  });

  test.each([
    ["nonMasqueradeCIDRs: [10.0.0.0/8]\nnonmasq: 1\n", ["f:2:1: nonmasq: unknown key, ignored"]],
    [
      "nonMasqueradeCIDRs:\n- 0.0.0.0/0\n",
      [
        "f:2:3: nonMasqueradeCIDRs[0]: 0.0.0.0/0 covers every IPv4 address: nothing but masqueradeCIDRs is masqueraded",
      ],
    ],
    ["resyncInterval: 5ms", ["f:1:17: resyncInterval: 5ms is taken as 100ms"]],
    ["nonMasqueradeCIDRs: [10.0.0.0/8]", []],
  ])("warnings of %j", (text, expected) => {
    expect(warnings(decodeText(text))).toEqual(expected);
  });
});

describe("problems", () => {
  test("all of them, each at its place", () => {
    const text = `nonMasqueradeCIDRs:
  - 10.0.0.1/8
  - "10.0.0/8"
  - fd00::/8
  - 5
  - {a: 1}
masqueradeCIDRs: 10.0.0.0/8
cidrLimit: 1.5
masqLinkLocal: "true"
masqLinkLocalIPv6: 1
resyncInterval: 60
`;
    expect(problems(decodeText(text))).toMatchInlineSnapshot(`
      [
        "f:8:12: cidrLimit: must be a whole number of 64 bits, not 1.5",
        "f:9:16: masqLinkLocal: must be true or false, not a string",
        "f:10:20: masqLinkLocalIPv6: must be true or false, not a number",
        "f:7:18: masqueradeCIDRs: must be a list of CIDRs, not a string",
        "f:5:5: nonMasqueradeCIDRs[3]: must be a CIDR in text form, not a number",
        "f:6:5: nonMasqueradeCIDRs[4]: must be a CIDR in text form, not an object",
        "f:11:17: resyncInterval: must be a duration in text form such as "60s", not a number",
        "f:2:5: nonMasqueradeCIDRs[0]: CIDR "10.0.0.1/8" is not aligned to a CIDR block, ip: "10.0.0.1" network: "10.0.0.0/8"",
        "f:3:5: nonMasqueradeCIDRs[1]: CIDR "10.0.0/8" could not be parsed, invalid CIDR address",
        "f:4:5: nonMasqueradeCIDRs[2]: ipv6 is not enabled, but ipv6 cidr fd00::/8 provided. Enable ipv6 using --enable-ipv6 agent flag",
      ]
    `);
  });

  test.each([
    ["[]", "f:1:1: the document must be a map of keys, not an array"],
    ["hello", "f:1:1: the document must be a map of keys, not a string"],
    ["5", "f:1:1: the document must be a map of keys, not a number"],
    [
      "cidrLimit: 9223372036854775808",
      "f:1:12: cidrLimit: must be a whole number of 64 bits, not 9223372036854775808",
    ],
    ['{"cidrLimit": 1e3}', "f:1:15: cidrLimit: must be a whole number of 64 bits, not 1e3"],
    ["cidrLimit: []", "f:1:12: cidrLimit: must be a whole number of 64 bits, not an array"],
    ["cidrLimit: x", "f:1:12: cidrLimit: must be a whole number of 64 bits, not a string"],
    ["resyncInterval: null", 'f:1:17: resyncInterval: time: invalid duration ""'],
    ["resyncInterval: 1 min", 'f:1:17: resyncInterval: time: unknown unit " min" in duration "1 min"'],
    [
      "nonMasqueradeCIDRs: [a]",
      'f:1:22: nonMasqueradeCIDRs[0]: CIDR "a" could not be parsed, invalid CIDR address',
    ],
    [
      "nonMasqueradeCIDRs: [10.0.0.0/8, null, null, null]",
      'f:1:46: nonMasqueradeCIDRs[3]: CIDR "" could not be parsed, invalid CIDR address',
    ],
    // An empty list is a new slice: nothing is behind it.
    [
      '{"nonMasqueradeCIDRs": [], "nonMasqueradeCIDRs": [null]}',
      'f:1:51: nonMasqueradeCIDRs[0]: CIDR "" could not be parsed, invalid CIDR address',
    ],
    [
      "nonMasqueradeCIDRs: [true]",
      "f:1:22: nonMasqueradeCIDRs[0]: must be a CIDR in text form, not a boolean",
    ],
    [
      "masqLinkLocal: null\nmasqLinkLocalIPv6: {}",
      "f:2:20: masqLinkLocalIPv6: must be true or false, not an object",
    ],
  ])("%j", (text, line) => {
    expect(problems(decodeText(text))).toEqual([line]);
  });

  test("more entries than the limit, over both lists; IPv6 counts", () => {
    const text = "nonMasqueradeCIDRs: [10.0.0.0/8, fd00::/8]\nmasqueradeCIDRs: [10.1.0.0/16]\ncidrLimit: ";
    expect(problems(decodeText(`${text}3`, V6))).toEqual([]);
    expect(problems(decodeText(`${text}2`, V6)).map((line) => line.replace(/^[^ ]+ /, ""))).toEqual([
      "cidrLimit: the daemon can only accept up to 2 CIDRs (excluding link-local), but got 3 CIDRs (excluding link local)",
    ]);
    expect(problems(decodeText("cidrLimit: 2"))).toHaveLength(1);
    expect(problems(decodeText("cidrLimit: -1\nnonMasqueradeCIDRs: []"))).toHaveLength(1);
  });

  test("no syntax at all", () => {
    const result = decodeText("a: [");
    expect(result.ok ? [] : result.problems.map(({ code, path, line }) => [code, path, line])).toEqual([
      ["syntax", "f", 1],
    ]);
  });
});

describe("masqueradeCIDRs", () => {
  test.each([
    [
      "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [10.0.0.0/8]",
      ["10.0.0.0/8 is also in nonMasqueradeCIDRs (as 10.0.0.0/8): it cannot be both"],
    ],
    [
      "masqueradeCIDRs: [172.16.0.0/12]",
      ["172.16.0.0/12 is also in nonMasqueradeCIDRs (as 172.16.0.0/12): it cannot be both"],
    ],
    [
      "nonMasqueradeCIDRs: [10.0.0.0/08]\nmasqueradeCIDRs: [10.1.0.0/16]",
      ["write 10.0.0.0/8 instead of 10.0.0.0/08, which iptables reads differently"],
    ],
    [
      "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: ['::ffff:10.1.0.0/112']",
      ["write 10.1.0.0/16 instead of ::ffff:10.1.0.0/112, which iptables reads differently"],
    ],
    [
      "masqueradeCIDRs: [fd00::/8]",
      ["ipv6 is not enabled, but ipv6 cidr fd00::/8 provided. Enable ipv6 using --enable-ipv6 agent flag"],
    ],
    ["nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [10.0.0.0/9, 11.0.0.0/8, 10.0.0.0/9]", []],
    ["masqueradeCIDRs: [169.254.0.0/16]", []],
  ])("%j", (text, expected) => {
    expect(problems(decodeText(text)).map((line) => line.replace(/^\S+ \S+ /, ""))).toEqual(expected);
  });

  test("IPv6 prefixes are the same however they are written", () => {
    const text = "nonMasqueradeCIDRs: ['FD00:0::/32']\nmasqueradeCIDRs: ['fd00::/32']";
    expect(problems(decodeText(text, V6))).toHaveLength(1);
  });
});

describe("a directory", () => {
  const decode = (texts: readonly string[], options: Partial<ConfigOptions> = {}) =>
    decodeConfig(
      {
        kind: "directory",
        files: texts.map((text, i) => ({ path: `d/${i}`, bytes: Buffer.from(text) })),
      },
      { ...OPTIONS, ...options },
    );
  const united = (...texts: string[]) => {
    const result = decode(texts);
    if (!result.ok) throw new Error(problems(result).join("\n"));
    const { nonMasqueradeCIDRs, masqueradeCIDRs, ...rest } = result.value.config;
    return {
      keep: nonMasqueradeCIDRs.map((cidr) => cidr.text),
      except: masqueradeCIDRs.map((cidr) => cidr.text),
      ...rest,
    };
  };

  test("without files: the defaults", () => {
    expect(decode([])).toEqual(decodeText(""));
  });

  test("lists are united, switches OR-ed, the smallest interval and the largest limit win", () => {
    expect(
      united(
        "nonMasqueradeCIDRs: [10.0.0.0/8]\ncidrLimit: 2\nresyncInterval: 30s\nmasqLinkLocal: true",
        "nonMasqueradeCIDRs: [11.0.0.0/8, 10.0.0.0/8]\nmasqueradeCIDRs: [10.1.0.0/16]\nresyncInterval: 20s",
        "cidrLimit: 3\nmasqLinkLocal: false\nmasqueradeCIDRs: [10.1.0.0/16]",
      ),
    ).toMatchObject({
      except: ["10.1.0.0/16"],
      nonMasqueradeDefaults: false,
      cidrLimit: 3,
      masqLinkLocal: true,
      masqLinkLocalIPv6: false,
      resyncIntervalMs: 20_000,
    });
  });

  test("the same text counts once", () => {
    expect(united("nonMasqueradeCIDRs: [10.0.0.0/8]", "nonMasqueradeCIDRs: [10.0.0.0/8]").keep).toEqual([
      "10.0.0.0/8",
    ]);
    expect(united("nonMasqueradeCIDRs: [11.0.0.0/8, 10.0.0.0/8, 11.0.0.0/8]").keep.toSorted()).toEqual([
      "10.0.0.0/8",
      "11.0.0.0/8",
    ]);
  });

  test("a key that no file has keeps its default; an empty list is a list", () => {
    expect(united("cidrLimit: 5", "masqLinkLocal: true").keep).toEqual([
      "10.0.0.0/8",
      "172.16.0.0/12",
      "192.168.0.0/16",
    ]);
    expect(united("nonMasqueradeCIDRs: []", "cidrLimit: 5").keep).toEqual([]);
  });

  test("the limit is checked on the union", () => {
    const texts = ["nonMasqueradeCIDRs: [10.0.0.0/8]", "nonMasqueradeCIDRs: [11.0.0.0/8]", "cidrLimit: 1"];
    expect(problems(decode(texts))).toHaveLength(1);
    expect(problems(decode(texts.with(1, "nonMasqueradeCIDRs: [10.0.0.0/8]")))).toEqual([]);
  });

  test("one bad file makes the whole set invalid, and is named", () => {
    expect(problems(decode(["cidrLimit: 5", "masqLinkLocal: 5", "- x"]))).toMatchInlineSnapshot(`
      [
        "d/1:1:16: masqLinkLocal: must be true or false, not a number",
        "d/2:1:1: the document must be a map of keys, not an array",
      ]
    `);
  });

  test("a conflict may be between files", () => {
    const texts = ["nonMasqueradeCIDRs: [10.0.0.0/8]", "masqueradeCIDRs: [10.0.0.0/8]"];
    expect(problems(decode(texts))).toMatchInlineSnapshot(`
      [
        "d/1:1:19: masqueradeCIDRs[0]: 10.0.0.0/8 is also in nonMasqueradeCIDRs (as 10.0.0.0/8): it cannot be both",
      ]
    `);
  });
});

test("JSON and YAML of the same values are the same configuration", () => {
  const octet = fc.nat({ max: 255 });
  const value = fc.record(
    {
      nonMasqueradeCIDRs: fc.array(
        octet.map((n) => `${n}.0.0.0/8`),
        { maxLength: 5 },
      ),
      cidrLimit: fc.integer({ min: 5, max: 100 }),
      masqLinkLocal: fc.boolean(),
      masqLinkLocalIPv6: fc.boolean(),
      resyncInterval: fc.nat({ max: 1000 }).map((n) => `${n + 1}s`),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(value, (fields) => {
      const yaml = Object.entries(fields).map(([key, field]) => `${key}: ${JSON.stringify(field)}\n`);
      expect(configOf(yaml.join(""))).toEqual(configOf(JSON.stringify(fields)));
    }),
  );
});
