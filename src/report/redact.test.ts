import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { digest } from "../core/digest.ts";
import { redact } from "./redact.ts";
import { vocabularyOf } from "./words.ts";

const PROGRAM = `
  chain rule of the in is default nonMasqueradeCIDRs ip-masq-agent KUBE-SERVICES KUBE-POSTROUTING POSTROUTING cni etc config error web
  masqueraded by for table kubelet kubernetes service traffic requiring SNAT unknown field cluster info message version value links to ports random fully u32 yaml v1
  match left right payload base nh offset len addr val elem handle prefix
`;
const HOST = "web.berlin.acme.example";
const LINKS = ["eth0", "eth0.100@eth0", "cali12ab34", "web", "b#r"];

let seed = 0;
function hide(value: unknown): unknown {
  return redact(value, {
    vocabulary: vocabularyOf(PROGRAM),
    names: { hosts: [HOST], links: LINKS },
    createKeyedBit: () => {
      const key = ++seed;
      return (text) => Number.parseInt(digest(Buffer.from(`${key} ${text}`)).slice(-1), 16) % 2 === 1;
    },
  });
}

describe("what names a node does not appear", () => {
  test.each([
    ["an address", "10.20.30.40", /^10\.\d+\.\d+\.\d+$/],
    ["an address and a port", "to 10.20.30.40:53.", /^to 10\.\d+\.\d+\.\d+:53\.$/],
    ["IPv6", "[fd12:3456:789a::1]:443", /^\[f[cd][0-9a-f:]+\]:443$/],
    ["IPv6 before a colon", "fd12:3456:789a::1: masqueraded", /^f[cd][0-9a-f:]+: masqueraded$/],
    ["a range", "10.20.30.1-10.20.30.9", /^(10\.\d+\.\d+)\.\d+-\1\.\d+$/],
    ["AWS's name of a host", "ip-10-20-30-40", /^name-1$/],
    ["an address in a name", "10.20.30.40.nip.io", /^name-1$/],
    ["an address as a number", "--u32 0xc&0xffffffff=0xa141e28", /^--u32 0xc&0xffffffff=name-1$/],
    ["a MAC", "52:54:00:12:34:56", /^mac-1$/],
    ["the host", `rule of ${HOST}`, /^rule of host-1$/],
    ["the host's chain", `:${HOST}-x - [0:0]`, /^:name-1 - \[0:0\]$/],
    ["a link", "-o eth0 -j", /^-o link-1 -j$/],
    ["a VLAN", "in eth0.100@eth0", /^in link-1$/],
    ["a link with odd characters", "in b#r", /^in link-1$/],
    ["a link that is a common word", "the web is", /^the link-1 is$/],
    ["a link that is gone", "-i eth17 -j", /^-i name-1 -j$/],
    ["a wildcard", "-i acme+ -j", /^-i name-1\+ -j$/],
    ["a comment", '--comment "pods of Müller" -j', /^--comment "text-1" -j$/],
    ["a comment with quotes in it", '--comment "name: \\"acme\\" id: \\"1\\"" -j', /^--comment "text-1" -j$/],
    ["a comment in a configuration", "config: 1 # ask Bob\ndefault: 2", /^config: 1 # text-1\ndefault: 2$/],
    ["a Service's chain", "-A KUBE-SERVICES -j KUBE-SVC-4SW47", /^-A KUBE-SERVICES -j KUBE-name-1$/],
    ["a chain", "-A ACME-EGRESS", /^-A name-1$/],
    ["a path", "/home/alice/acme.yaml", /^\/name-1\/name-2\/name-3$/],
    ["a secret in the wrong file", 'unknown field "hunter2"', /^unknown field "name-1"$/],
    ["a digest", "config 9f86d081884c7d65", /^config name-1$/],
    ["another language", "rule of Größe", /^rule of name-1$/],
    ["an image", "registry.acme.example/ip-masq-agent:v1", /^name-1\/ip-masq-agent:v1$/],
  ])("%s", (_what, text, expected) => {
    expect(hide(text)).toMatch(expected);
  });

  test("in JSON of nft: networks, ranges, raw bytes, comments, and names of members", () => {
    const hidden = JSON.stringify(
      hide({
        match: { left: { payload: { base: "nh", offset: 96, len: 32 } }, right: 0x0a141e28 },
        prefix: { addr: "10.20.30.0", len: 24 },
        range: ["10.20.30.1", "10.20.30.9"],
        set: { elem: [{ elem: { val: "10.20.30.40", comment: "berlin" } }, 169090600] },
        comment: "berlin office",
        berlin: { handle: 123456789, mark: 0x4000 },
      }),
    );
    for (const secret of ["10.20.30", "berlin", "office", String(0x0a141e28), "169090600"])
      expect(hidden).not.toContain(secret);
    expect(hidden).toMatch(/"addr":"10\.\d+\.\d+\.0","len":24/);
    expect(hidden).toContain('"handle":123456789,"mark":16384');
  });
});

describe("what anybody may see stays", () => {
  test.each([
    "-A POSTROUTING -m mark --mark 0x4000/0x4000 -j KUBE-POSTROUTING",
    '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    "2026-11-26T18:05:03.123Z",
    "nonMasqueradeCIDRs: [10.0.0.0/8, 169.254.0.0/16]",
    "/etc/config/ip-masq-agent:11:5",
    "--to-ports 1024-29999",
    "1m0s 100ms 1.8.9 v1.36.0",
    "::/0 0.0.0.0/0 255.255.255.255 127.0.0.1:10279",
  ])("%s", (text) => {
    expect(hide(text)).toBe(text);
  });

  test("numbers, and members with the name of a link", () => {
    const value = { message: 1, web: [true, null, 167_838_211], version: "1.2" };
    expect(hide(value)).toEqual(value);
  });
});

test("the same name and the same address have the same pseudonym wherever they are", () => {
  const hidden = hide(["acme 10.20.30.40", { acme: "by acme for 10.20.30.40/32 in 10.20.0.0/16" }]);
  const [, address = ""] = /^name-1 (.*)$/.exec((hidden as string[])[0] ?? "") ?? [];
  const network = address.split(".").slice(0, 2).join(".");
  expect(hidden).toEqual([
    `name-1 ${address}`,
    { "name-1": `by name-1 for ${address}/32 in ${network}.0.0/16` },
  ]);
});

test("no secret word and no address survives, wherever it stands", () => {
  const word = fc.stringMatching(/^[b-z]{2,5}qq[b-z]{2,5}$/);
  const octet = fc.integer({ min: 1, max: 254 });
  const address = fc.tuple(octet, octet, octet).map((rest) => `10.${rest.join(".")}`);
  const around = fc.constantFrom(
    " ",
    '"',
    "/",
    ":",
    ",",
    "=",
    "[",
    "]",
    "(",
    ")",
    "-",
    ".",
    "_",
    "\n",
    "\t",
    "#",
    "@",
    "",
  );
  const text = (secret: string) =>
    fc.tuple(around, around, fc.constantFrom("rule", "10", "KUBE", "--comment")).map((parts) => {
      const [before, after, other] = parts;
      return `${other}${before}${secret}${after}${other}`;
    });
  fc.assert(
    fc.property(
      fc
        .oneof(word, address)
        .chain((secret) => fc.tuple(fc.constant(secret), fc.array(text(secret), { minLength: 1 }))),
      ([secret, texts]) => {
        expect(JSON.stringify(hide(texts))).not.toContain(secret);
      },
    ),
    { numRuns: 500 },
  );
});

test("without a vocabulary everything is taken for a name", () => {
  const world = {
    vocabulary: new Set<string>(),
    names: { hosts: [], links: [] },
    createKeyedBit: () => () => true,
  };
  expect(redact({ berlin: "the agent" }, world)).toEqual({ "name-1": "name-2 name-3" });
});
