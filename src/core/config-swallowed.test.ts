/** What Go's decoder passes over is read as before, and warned of. */
import { describe, expect, test } from "vitest";
import { decodeText, OPTIONS } from "../../test/lab/config.ts";
import { renderAdvice } from "../validate/hints.ts";
import { decodeConfig } from "./config.ts";

/** What is kept, and the warnings as the log has them. */
function read(text: string, options: { enableIPv6?: boolean } = {}): readonly string[] {
  const decoded = decodeText(text, options);
  if (!decoded.ok) return decoded.problems.map((problem) => `refused: ${renderAdvice(problem)}`);
  const { config, warnings } = decoded.value;
  return [config.nonMasqueradeCIDRs.map((cidr) => cidr.text).join(" "), ...warnings.map(renderAdvice)];
}

const KEEP = "nonMasqueradeCIDRs: [10.0.0.0/8]\n";

describe.each<[string, readonly [name: string, text: string][]]>([
  [
    "empty entries",
    [
      ["a dash alone", "nonMasqueradeCIDRs:\n  -\n  - 11.0.0.0/8\n"],
      ["null and a tilde", "nonMasqueradeCIDRs: [null, ~, 11.0.0.0/8]\n"],
      ["a comment in its place", "nonMasqueradeCIDRs:\n  - 11.0.0.0/8\n  - # 12.0.0.0/8\n"],
      ["of JSON", '{"nonMasqueradeCIDRs": ["11.0.0.0/8", null]}'],
      ["behind the defaults", "nonMasqueradeCIDRs: [~, ~, ~, ~]\n"],
      ["an empty text", 'nonMasqueradeCIDRs: [""]\n'],
      ["of the exceptions", "masqueradeCIDRs: [~]\n"],
      ["after an earlier list", '{"nonMasqueradeCIDRs": ["11.0.0.0/8"], "nonMasqueradeCIDRs": [null]}'],
    ],
  ],
  [
    "text behind the document",
    [
      [
        "a first key that is deeper",
        "  nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 11.0.0.0/8\nmasqLinkLocal: true\n",
      ],
      ["a first comment and a deeper key", "# ours\n cidrLimit: 3\nnonMasqueradeCIDRs: []\n"],
      ["a flow map, which is JSON", "{cidrLimit: 3}\nmasqLinkLocal: true\n"],
      ["a second document", `${KEEP}---\nnonMasqueradeCIDRs: [11.0.0.0/8]\n`],
      ["an empty first document", `---\n---\n${KEEP}`],
      ["a first document of a comment", `--- # ours\n---\n${KEEP}`],
      ["behind the end mark", `${KEEP}...\nmasqLinkLocal: true\n`],
      ["beside the mark", `${KEEP}--- {masqLinkLocal: true}\n`],
      ["behind two marks", `${KEEP}---\n...\n# no\n--- \nmasqLinkLocal: true\n`],
      ["a directive", `${KEEP}...\n%YAML 1.1\n---\nmasqLinkLocal: true\n`],
      ["what is no text", `${KEEP}...\n${" \n".repeat(600)}\u0001`],
      ["marks alone", `---\n${KEEP}---\n...\n# end\n\n---\r\n`],
    ],
  ],
  [
    "keys that give way",
    [
      ["twice", `${KEEP}nonMasqueradeCIDRs: [11.0.0.0/8]\n`],
      ["three times", "cidrLimit: 1\ncidrLimit: 2\ncidrLimit: 3\n"],
      ["twice in JSON", '{"nonMasqueradeCIDRs": ["10.0.0.0/8"], "nonMasqueradeCIDRs": ["11.0.0.0/8"]}'],
      ["but for case", `${KEEP}NonMasqueradeCIDRs: [11.0.0.0/8]\n`],
      [
        "but for case, in JSON",
        '{"nonMasqueradeCIDRs": ["10.0.0.0/8"], "NonMasqueradeCIDRs": ["11.0.0.0/8"]}',
      ],
      ["a merge below", `x: &x\n  nonMasqueradeCIDRs: [11.0.0.0/8]\n${KEEP}<<: *x\n`],
      ["a merge above, as meant", `x: &x\n  nonMasqueradeCIDRs: [11.0.0.0/8]\n<<: *x\n${KEEP}`],
      ["unknown ones", "a: 1\na: 2\n"],
      ["null behind a value", "masqLinkLocal: true\nMasqLinkLocal:\n"],
    ],
  ],
  [
    "values that are missing",
    [
      ["a null list", "nonMasqueradeCIDRs:\n"],
      ["an empty list", "nonMasqueradeCIDRs: []\n"],
      ["an empty list with link-local", "nonMasqueradeCIDRs: []\nmasqLinkLocal: true\n"],
      ["an empty list with exceptions", "nonMasqueradeCIDRs: []\nmasqueradeCIDRs: [10.0.0.0/8]\n"],
      ["no exceptions", "masqueradeCIDRs:\n"],
      ["scalars", "cidrLimit:\nmasqLinkLocal:\nmasqLinkLocalIPv6: ~\n"],
      ["the interval", "resyncInterval:\n"],
      ["decimal digits", "cidrLimit: 0100\n"],
      ["everything", ""],
      ["everything but a comment", "# ours\n"],
      ["everything but braces", "{}"],
    ],
  ],
  [
    "manifests and values of charts",
    [
      ["a ConfigMap", `apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n    ${KEEP}`],
      ["in JSON", '{"kind": "ConfigMap", "apiVersion": "v1", "data": {"config": "cidrLimit: 3"}}'],
      ["a List", "apiVersion: v1\nkind: List\nitems: []\n"],
      ["without a version", "kind: ConfigMap\ndata: {config: 'cidrLimit: 3'}\n"],
      ["without a kind", "metadata: {name: x}\ndata: {config: 'cidrLimit: 3'}\n"],
      ["another kind", "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: ip-masq-agent}\n"],
      ["with keys at the top level", `apiVersion: v1\nkind: ConfigMap\n${KEEP}`],
      ["and another document", `apiVersion: v1\nkind: ConfigMap\n---\n${KEEP}`],
      ["its data alone", `data:\n  config: |\n    ${KEEP}`],
      ["a key around it", `config: |\n  ${KEEP}`],
      ["a key of a directory's file around it", `ip-masq-agent: |-\n  # ours\n  "NonMasqueradeCIDRs": []\n`],
      ["values of a chart", `ipMasqAgent:\n  enabled: true\n  config:\n    ${KEEP}`],
      ["a list around it", `configs:\n- ${KEEP}`],
      ["a text about it", "notes: see nonMasqueradeCIDRs\n"],
    ],
  ],
  [
    "link-local that is kept all the same",
    [
      ["under a /0", "nonMasqueradeCIDRs: [0.0.0.0/0]\nmasqLinkLocal: true\n"],
      ["under a /1", "nonMasqueradeCIDRs: [128.0.0.0/1]\nmasqLinkLocal: true\n"],
      ["itself", "nonMasqueradeCIDRs: [169.254.0.0/16]\nmasqLinkLocal: true\n"],
      ["a part of it, as meant", "nonMasqueradeCIDRs: [169.254.169.254/32]\nmasqLinkLocal: true\n"],
      [
        "with its exception",
        "nonMasqueradeCIDRs: [0.0.0.0/0]\nmasqueradeCIDRs: [169.254.0.0/16]\nmasqLinkLocal: true\n",
      ],
      ["switched off", "nonMasqueradeCIDRs: [128.0.0.0/1]\nmasqLinkLocal: false\n"],
      ["IPv6 under an IPv4 entry", "nonMasqueradeCIDRs: [128.0.0.0/1]\nmasqLinkLocalIPv6: true\n"],
    ],
  ],
  [
    "what is sane",
    [
      ["a BOM and CR LF", "\ufeffnonMasqueradeCIDRs:\r\n- 10.0.0.0/8\r\n"],
      ["an anchor and its aliases", "x: &x 10.0.0.0/8\nnonMasqueradeCIDRs: [*x]\n"],
      ["anchors inside", "x:\n- &x 10.0.0.0/8\n- &y 11.0.0.0/8\nnonMasqueradeCIDRs: [*x, *y]\n"],
      ["an anchor that nobody uses", "x: &x 10.0.0.0/8\n"],
      ["all keys indented alike", "  cidrLimit: 3\n  nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n# end\n"],
      ["IPv6 switched off", "masqLinkLocalIPv6: true\n"],
      ["other names of booleans", "masqLinkLocal: yes\nmasqLinkLocalIPv6: off\n"],
    ],
  ],
])("%s", (_kind, cases) => {
  test.each(cases)("%s", (name, text) => {
    expect({ [name]: read(text) }).toMatchSnapshot();
  });
});

test("an empty list of two families, of which one has link-local masqueraded", () => {
  const text = "nonMasqueradeCIDRs: []\nmasqLinkLocal: true\n";
  expect(read(text, { enableIPv6: true }).join()).toContain("everything but link-local is masqueraded");
  expect(read(`${text}masqLinkLocalIPv6: true\n`, { enableIPv6: true }).join()).toContain(
    ": everything is masqueraded",
  );
});

test("IPv6 link-local under ::/0", () => {
  const text = "nonMasqueradeCIDRs: ['::/0']\nmasqLinkLocalIPv6: true\n";
  expect(read(text, { enableIPv6: true }).join("\n")).toContain("list fe80::/10 in masqueradeCIDRs");
});

describe("a directory", () => {
  const readAll = (...texts: string[]) => {
    const files = texts.map((text, i) => ({ path: `d/ip-masq-${i}`, bytes: new TextEncoder().encode(text) }));
    const decoded = decodeConfig({ kind: "directory", files }, OPTIONS);
    return decoded.ok
      ? decoded.value.warnings.map(renderAdvice)
      : decoded.problems.map((one) => `refused: ${renderAdvice(one)}`);
  };

  test.each(["-", "- ~", "- null", "- # none"])("an empty entry, written %j, is refused", (entry) => {
    const [line = ""] = readAll(KEEP, `nonMasqueradeCIDRs:\n  ${entry}\n`);
    expect(line).toMatch(
      /^refused: d\/ip-masq-1:2:[45]: nonMasqueradeCIDRs\[0\]: is empty, which is not allowed in a directory of files;/,
    );
  });

  test("an empty list beside another is none", () => {
    expect(readAll(KEEP, "nonMasqueradeCIDRs: []\n")).toEqual([]);
    expect(readAll("cidrLimit: 3\n", "nonMasqueradeCIDRs: []\n", "nonMasqueradeCIDRs:\n")).toEqual([
      "d/ip-masq-1:1:1: nonMasqueradeCIDRs: is empty: everything but link-local is masqueraded; remove the key for the defaults, or list what keeps the pods' address",
    ]);
  });

  test("each file is looked at for itself", () => {
    expect(readAll(KEEP, "apiVersion: v1\nkind: ConfigMap\n", `${KEEP}---\n${KEEP}`)).toHaveLength(2);
  });
});
