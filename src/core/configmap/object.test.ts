import { describe, expect, test } from "vitest";
import { isOlderVersion, messageOfStatus, parseConfigMapList, parseWatchEvent } from "./object.ts";

const FLAG = { kind: "file", key: "config" } as const;
const metadata = { name: "a", uid: "u", resourceVersion: "7" };

/** A ConfigMap's version and keys, or what is wrong. */
function listed(answer: unknown, flag: Parameters<typeof parseConfigMapList>[2] = FLAG): string {
  const parsed = parseConfigMapList(typeof answer === "string" ? answer : JSON.stringify(answer), "a", flag);
  if (!parsed.ok) return parsed.message;
  const { version, found } = parsed.value;
  if (found === undefined) return `${version} absent`;
  const keys = [...found.keys].map(([key, bytes]) => `${key}=${Buffer.from(bytes).toString("latin1")}`);
  return [version, ...keys, ...found.others.map((key) => `(${key})`)].join(" ");
}

const list = (...items: readonly object[]) => ({
  kind: "ConfigMapList",
  metadata: { resourceVersion: "9" },
  items,
});

describe("a list", () => {
  test.each<[string, unknown, string]>([
    ["the key", list({ metadata, data: { config: "x", other: "y" } }), "9 config=x (other)"],
    ["none", list(), "9 absent"],
    ["none, as Go writes an empty slice", { ...list(), items: null }, "9 absent"],
    ["no data", list({ metadata }), "9"],
    [
      "binary data, byte for byte",
      list({ metadata, binaryData: { config: "/wBB" } }),
      "9 config=\u00ff\u0000A",
    ],
    ["immutable: nothing special", list({ metadata, immutable: true, data: { config: "x" } }), "9 config=x"],
    ["an empty text", list({ metadata, data: { config: "" } }), "9 config="],
  ])("%s", (_name, answer, expected) => {
    expect(listed(answer)).toBe(expected);
  });

  test("all keys of the directory form", () => {
    const one = list({ metadata, data: { "ip-masq-a": "x", "ip-masq": "y", config: "z" } });
    expect(listed(one, { kind: "directory", key: "" })).toBe("9 ip-masq-a=x ip-masq=y (config)");
  });

  test.each<[string, unknown, RegExp]>([
    [
      "a proxy's page",
      "<html>\n<body>Sign in</body>",
      /is not a list of ConfigMaps: <html> <body>Sign in<\/body>$/,
    ],
    ["nothing", "", /is not a list of ConfigMaps: it is empty$/],
    ["another object", { kind: "Status", message: "x" }, /is not a list/],
    ["an empty object, which must not look like no ConfigMap", {}, /is not a list/],
    ["an array", [], /is not a list/],
    ["null", "null", /is not a list/],
    ["a list without a version", { kind: "ConfigMapList", items: [] }, /is not a list/],
    ["items that are not a list", { ...list(), items: {} }, /is not a list/],
    ["half an answer", '{"kind":"ConfigMapList","metadata":{"resourceV', /is not a list/],
    ["garbage, cut", "x".repeat(10_000_000), /: x{80}\.\.\. \(9999920 characters more\)$/],
    [
      "another ConfigMap",
      list({ metadata: { ...metadata, name: "b" } }),
      /not about the ConfigMap "a" alone/,
    ],
    [
      "several, as if nothing was selected",
      list({ metadata }, { metadata }),
      /not about the ConfigMap "a" alone/,
    ],
  ])("%s is a sentence", (_name, answer, expected) => {
    expect(listed(answer)).toMatch(expected);
  });
});

describe("a line of a watch", () => {
  const read = (event: unknown) =>
    parseWatchEvent(typeof event === "string" ? event : JSON.stringify(event), "a", FLAG);
  const object = { metadata, data: { config: "x" } };

  test("added, modified, deleted", () => {
    const found = {
      uid: "u",
      version: "7",
      keys: new Map([["config", new TextEncoder().encode("x")]]),
      others: [],
    };
    for (const type of ["ADDED", "MODIFIED"])
      expect(read({ type, object })).toEqual({
        ok: true,
        value: { kind: "state", heard: { version: "7", found } },
      });
    expect(read({ type: "DELETED", object })).toEqual({
      ok: true,
      value: { kind: "state", heard: { version: "7", found: undefined } },
    });
  });

  test("a bookmark, which has no name", () => {
    const bookmark = { kind: "ConfigMap", metadata: { resourceVersion: "12", creationTimestamp: null } };
    expect(read({ type: "BOOKMARK", object: bookmark })).toMatchObject({
      value: { kind: "bookmark", version: "12" },
    });
  });

  test("an error is the server's", () => {
    const status = { kind: "Status", code: 410, message: "too old resource version: 1 (9)" };
    expect(read({ type: "ERROR", object: status })).toMatchObject({
      value: { kind: "error", status: 410, message: "too old resource version: 1 (9)" },
    });
    expect(read({ type: "ERROR" })).toMatchObject({ value: { kind: "error", status: 0, message: "" } });
  });

  test.each<[string, unknown]>([
    ["garbage", "}{"],
    ["an unknown type", { type: "RENAMED", object }],
    ["another ConfigMap", { type: "MODIFIED", object: { metadata: { ...metadata, name: "b" } } }],
    ["no version", { type: "MODIFIED", object: { metadata: { name: "a" } } }],
    ["an empty line", ""],
  ])("%s is a sentence", (_name, event) => {
    expect(read(event)).toMatchObject({ ok: false, message: expect.stringMatching(/is not an event/) });
  });
});

test("versions are compared as numbers, and only if they are", () => {
  const pairs = [
    ["9", "10"],
    ["10", "9"],
    ["10", "10"],
    ["99999999999999999998", "99999999999999999999"],
    ["a", "b"],
    ["", "1"],
  ];
  expect(pairs.map(([a = "", b = ""]) => isOlderVersion(a, b))).toEqual([
    true,
    false,
    false,
    true,
    false,
    false,
  ]);
});

test("a refusal's message is the Status', or the beginning of a page", () => {
  expect(messageOfStatus('{"kind":"Status","message":"configmaps \\"a\\" is forbidden"}')).toBe(
    'configmaps "a" is forbidden',
  );
  expect(messageOfStatus("<html>\r\n502 Bad Gateway")).toBe("<html> 502 Bad Gateway");
  expect(messageOfStatus("")).toBe("it is empty");
});
