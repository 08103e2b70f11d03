import { describe, expect, test } from "vitest";
import { complainOfKeys, describeConfigMaps, parseConfigMapFlag, textOfConfigMaps } from "./flag.ts";

/** The flag as it was understood, or what is wrong with it. */
function understood(text: string): string {
  const parsed = parseConfigMapFlag(text);
  if (!parsed.ok) return parsed.message;
  const maps = parsed.value.maps.map(({ namespace = "default", name }) => ({ namespace, name }));
  return describeConfigMaps(parsed.value, maps);
}

test.each([
  ["ip-masq-agent", "configmap default/ip-masq-agent (key config)"],
  ["kube-system/ip-masq-agent", "configmap kube-system/ip-masq-agent (key config)"],
  ["kube-system/a.b-c:my_key.yaml", "configmap kube-system/a.b-c (key my_key.yaml)"],
  [" a , n/b ", "configmaps default/a, n/b (keys ip-masq*)"],
  ["a:ip-masq*", "configmap default/a (keys ip-masq*)"],
  ["n/a:ip-masq*,b", "configmaps n/a, default/b (keys ip-masq*)"],
])("--config-map=%s", (text, expected) => {
  expect(understood(text)).toBe(expected);
});

test.each([
  ["Kube-System/a", '"Kube-System" is not a valid namespace: use lower-case letters, digits and "-"'],
  ["a/b/c", "write it as [NAMESPACE/]NAME[:KEY]"],
  ["/a", '"" is not a valid namespace: use lower-case letters, digits and "-"'],
  [
    "n/",
    '"" is not a valid name of a ConfigMap: use lower-case letters, digits and "-", and "." between them',
  ],
  [
    "a,",
    '"" is not a valid name of a ConfigMap: use lower-case letters, digits and "-", and "." between them',
  ],
  [
    "a_b",
    '"a_b" is not a valid name of a ConfigMap: use lower-case letters, digits and "-", and "." between them',
  ],
  [
    "..",
    '".." is not a valid name of a ConfigMap: use lower-case letters, digits and "-", and "." between them',
  ],
  [
    "a?watch=1",
    '"a?watch=1" is not a valid name of a ConfigMap: use lower-case letters, digits and "-", and "." between them',
  ],
  ["a:", '"" is not a valid key: use letters, digits, "-", "_" and "."'],
  ["a:b c", '"b c" is not a valid key: use letters, digits, "-", "_" and "."'],
  ["a:config,b", "of several ConfigMaps all keys that begin with ip-masq count: leave out :config"],
  ["a,b,a", 'it names "a" twice'],
])("--config-map=%s is wrong", (text, expected) => {
  expect(understood(text)).toBe(expected);
});

describe("texts", () => {
  const found = (keys: Readonly<Record<string, string>>, ...others: readonly string[]) => ({
    uid: "u",
    version: "7",
    keys: new Map(Object.entries(keys).map(([key, text]) => [key, new TextEncoder().encode(text)])),
    others,
  });
  const flagOf = (text: string) => {
    const parsed = parseConfigMapFlag(text);
    if (!parsed.ok) throw new Error(parsed.message);
    const maps = parsed.value.maps.map(({ namespace = "n", name }) => ({ namespace, name }));
    return { flag: parsed.value, maps };
  };
  const files = (text: string, ...maps: readonly (ReturnType<typeof found> | undefined)[]) => {
    const { flag, maps: names } = flagOf(text);
    const { kind, files: all, source } = textOfConfigMaps(flag, names, maps);
    return [kind, source, ...all.map(({ path, bytes }) => `${path}: ${new TextDecoder().decode(bytes)}`)];
  };

  test("one key is a file, named after the ConfigMap", () => {
    expect(files("a", found({ config: "x" }))).toEqual([
      "file",
      "configmap n/a (key config)",
      "configmap n/a (key config): x",
    ]);
  });

  test("no ConfigMap, or one without the key, is no file", () => {
    expect(files("a", undefined)).toEqual(["file", "configmap n/a (key config)"]);
    expect(files("a", found({}))).toEqual(["file", "configmap n/a (key config)"]);
  });

  test("several ConfigMaps are a directory in the order of names; of the same key the last counts", () => {
    expect(
      files("a,m/b", found({ "ip-masq-2": "x", "ip-masq-1": "y" }), found({ "ip-masq-2": "z" })),
    ).toEqual([
      "directory",
      "configmaps n/a, m/b (keys ip-masq*)",
      "configmap n/a (key ip-masq-1): y",
      "configmap m/b (key ip-masq-2): z",
    ]);
  });

  test("a missing key is a sentence, with the keys that are there", () => {
    const complain = (text: string, one: ReturnType<typeof found> | undefined) => {
      const { flag, maps } = flagOf(text);
      return complainOfKeys(flag, maps[0] as (typeof maps)[0], one);
    };
    expect(complain("a", found({}, "confg", "notes"))).toBe(
      'configmap n/a has no key "config" (it has "confg", "notes"): it counts as missing',
    );
    expect(complain("a:ip-masq*", found({}))).toBe(
      "configmap n/a has no key that begins with ip-masq (it has none): it counts as missing",
    );
    expect([complain("a", found({ config: "" })), complain("a", undefined)]).toEqual([undefined, undefined]);
  });
});
