import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeText } from "../../test/lab/config.ts";
import { agentFlags } from "../cli/options.ts";
import { inspectConfig } from "../core/config.ts";
import { CONFIG_KEYS, knownKey } from "../core/keys.ts";
import type { Problem, ProblemCode } from "../core/problem.ts";
import { hintFor } from "./hints.ts";
import { FLAGS_SOUGHT } from "./hints-key.ts";

function hint(code: ProblemCode, more: { key?: string; text?: string }): string {
  return hintFor({ code, path: "f", message: "", ...more }) ?? "-";
}

test.each([
  ["10.1.0.0/8", "10.1.0.0/8 has host bits: did you mean 10.0.0.0/8?"],
  ["fd00::1/64", "fd00::1/64 has host bits: did you mean fd00::/64?"],
  ["10.0.0.1", "the prefix length is missing: did you mean 10.0.0.1/32?"],
  ["fd00::1", "the prefix length is missing: did you mean fd00::1/128?"],
  [" 10.0.0.0/8", "it contains spaces: did you mean 10.0.0.0/8?"],
  ["10.0.0.0 / 8", "it contains spaces: did you mean 10.0.0.0/8?"],
  ["10/8", "octets are missing: did you mean 10.0.0.0/8?"],
  ["172.16/12", "octets are missing: did you mean 172.16.0.0/12?"],
  ["172.16.1/12", "octets are missing: did you mean 172.16.0.0/12?"],
  ["10.*", "octets are missing: did you mean 10.0.0.0/8?"],
  ["10.1.*.*", "octets are missing: did you mean 10.1.0.0/16?"],
  ["10.0.0.0/255.0.0.0", "it has a netmask: did you mean 10.0.0.0/8?"],
  ["10.0.0.0 255.0.0.0", "it has a netmask: did you mean 10.0.0.0/8?"],
  ["10.0.0.0/255.255.255.255", "it has a netmask: did you mean 10.0.0.0/32?"],
  ["10.0.0.0/255.0.255.0", '"255.0.255.0" is not a valid prefix length: write /0 to /32'],
  ["010.00.0.0/8", "an octet begins with 0: did you mean 10.0.0.0/8?"],
  ["10.0.0.0/8,", "a comma follows it: did you mean 10.0.0.0/8?"],
  ["10.0.0.0/8;", "a semicolon follows it: did you mean 10.0.0.0/8?"],
  ['"10.0.0.0/8"', "it contains quotes: did you mean 10.0.0.0/8?"],
  ["'10.0.0.0/8'", "it contains quotes: did you mean 10.0.0.0/8?"],
  ["[10.0.0.0/8]", "it is in brackets: did you mean 10.0.0.0/8?"],
  ["10.0.0.0\\8", "it contains a backslash: did you mean 10.0.0.0/8?"],
  ["10.0.0.0/8#ours", "a comment needs a space before #: did you mean 10.0.0.0/8?"],
  ["fe80::1%eth0/64", "it contains a zone: did you mean fe80::/64?"],
  ["10.0.0.0/8, 11.0.0.0/8", "several CIDRs in one entry: write each as an entry of its own"],
  ["10.0.0.0/8 11.0.0.0/8 12.0.0.0/8", "several CIDRs in one entry: write each as an entry of its own"],
  ["10.0.0.0/8 - 11.0.0.0/8", "the lines below were read as part of this entry: indent each dash alike"],
  ["10.0.0.0-10.0.0.255", "a range is not supported: write CIDRs (10.0.0.0/24)"],
  [
    "10.0.0.1 - 10.0.0.6",
    "a range is not supported: write CIDRs (10.0.0.1/32, 10.0.0.2/31, 10.0.0.4/31, 10.0.0.6/32)",
  ],
  ["10.0.0.1-10.1.0.6", "a range is not supported: write CIDRs (19 of them cover it)"],
  ["10.0.0.9-10.0.0.1", "-"],
  ["10.0.0.0/33", "the prefix length of an IPv4 CIDR goes from /0 to /32, not to /33"],
  ["fd00::/129", "the prefix length of an IPv6 CIDR goes from /0 to /128, not to /129"],
  ["10.0.0.0/", "write one prefix length after the address: /0 to /32"],
  ["10.0.0.0/8/8", "write one prefix length after the address: /0 to /32"],
  ["10.0.0.0/-8", '"-8" is not a valid prefix length: write /0 to /32'],
  ["10.50.0.300/24", "an octet goes up to 255, not to 300"],
  ["10.50.0.3.1/24", "5 octets: an IPv4 address has four"],
  ["!10.0.1.5/32", "an exception is an entry of masqueradeCIDRs, without the mark"],
  ["example.org", "this is a name: the agent looks up no names, write the CIDRs instead"],
  ["https://example.org/x", "this is a name: the agent looks up no names, write the CIDRs instead"],
  ["10.0.0.1:443", "ports are not supported: destinations are CIDRs alone"],
  ["{{ .PodSubnet }}", "a template was not rendered: {{ .PodSubnet }}"],
  ["\u0024{VPC_CIDR}", "a template was not rendered: \u0024{VPC_CIDR}"],
  ["$POD_RANGE", "a template was not rendered: $POD_RANGE"],
  ["$(POD_RANGE)", "a template was not rendered: $(POD_RANGE)"],
  ["<VPC CIDR>", "a template was not rendered: <VPC CIDR>"],
  ["%VAR%", "a template was not rendered: %VAR%"],
  ["@@VAR@@", "a template was not rendered: @@VAR@@"],
  ["__VAR__", "a template was not rendered: __VAR__"],
  ["#{var}#", "a template was not rendered: #{var}#"],
  ["\u00a010.0.0.0/8", "a no-break space (U+00A0) is here: did you mean 10.0.0.0/8?"],
  ["10.0.0.0/8\u3000", "an unusual space (U+3000) is here: did you mean 10.0.0.0/8?"],
  ["10.0.0.0\u200b/8", "an invisible character (U+200B) is here: did you mean 10.0.0.0/8?"],
  ["\ufeff10.0.0.0/8", "an invisible character (U+FEFF) is here: did you mean 10.0.0.0/8?"],
  ["\u201c10.0.0.0/8\u201d", "a typographic quote (U+201C) is here: did you mean 10.0.0.0/8?"],
  ["\u2013 10.0.0.0/8", "a dash that is not a hyphen (U+2013) is here: did you mean 10.0.0.0/8?"],
  ["10.0.0.0\uff0f8", "a full-width character (U+FF0F) is here: did you mean 10.0.0.0/8?"],
  ["", "an entry without a value: was a variable not set? Remove it, or write a CIDR"],
  ["10.0.0.0/8", "-"],
])("CIDR %j", (text, expected) => {
  expect(hint("cidr", { text, key: "nonMasqueradeCIDRs[0]" })).toBe(expected);
});

const PAGE = "this is a web page (HTML), such as a sign-in or error page, not the file";
const XML = "this is XML, such as a server's error message, not the file";

test.each([
  ["<!DOCTYPE html>\n<html lang='en'>\n<body>\u0024{HOST} {{ x }}\n", PAGE],
  ["\ufeff\n<html>\n<head><title>302 Found</title></head>\n", PAGE],
  ["<!-- saved from url=(0014)about:internet -->\n<HTML>\n", PAGE],
  ["<html><head><title>Sign in: x</title></head></html>", PAGE],
  ["<!doctype html>\n<style>\n  body: { a: b }\n\t</style>\n", PAGE],
  ["<head/>\n", PAGE],
  ['<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>\n', XML],
  ['<svg xmlns="http://www.w3.org/2000/svg"/>', XML],
  ["404: Not Found", "this looks like a server's error message, not like the file"],
  ["<VPC CIDR>", "a template was not rendered: <VPC CIDR>"],
  ["<header>", "a template was not rendered: <header>"],
])("something else saved in place of the file: %j", (text, expected) => {
  const { problems, warnings } = inspectConfig(
    { kind: "file", files: [{ path: "f", bytes: new TextEncoder().encode(text) }] },
    { noMasqAllReservedRanges: false, enableIPv6: false },
  );
  expect([...problems, ...warnings].map(hintFor)).toEqual([expected]);
});

const SOURCES =
  "packets from masqueradeSourceCIDRs are masqueraded, packets from nonMasqueradeSourceCIDRs are not";
const ADDRESSES =
  "outputAddresses lists those of the nodes' own addresses that masqueraded packets leave with";
const LINKS =
  "not supported: outputInterfaces lists the interfaces that packets leave through to be masqueraded, and none can be excluded";
const BOTH =
  "nonMasqueradeCIDRs are destinations that see the pods' own address, masqueradeCIDRs are exceptions that see the node's";

test.each([
  ["nonMasqueradeCIDR", "did you mean nonMasqueradeCIDRs?"],
  ["nonMasquerade", "did you mean nonMasqueradeCIDRs?"],
  ["non-masquerade-cidrs", "did you mean nonMasqueradeCIDRs?"],
  ["noMasqueradeCIDRs", "did you mean nonMasqueradeCIDRs?"],
  ["nomMasqueradeCIDRs", "did you mean nonMasqueradeCIDRs?"],
  ["nonMasqerudeCIDRs", "did you mean nonMasqueradeCIDRs?"],
  ["nonMascaradeCIDRs", "did you mean nonMasqueradeCIDRs?"],
  ["noSnatCIDRs", "did you mean nonMasqueradeCIDRs?"],
  ["masqueradeExceptCIDRs", "did you mean nonMasqueradeCIDRs?"],
  ["extraNonMasqueradeCIDRs", "did you mean nonMasqueradeCIDRs?"],
  ["masqueradeCIDR", "did you mean masqueradeCIDRs?"],
  ["forceMasqueradeCIDRs", "did you mean masqueradeCIDRs?"],
  ["alwaysMasquerade", "did you mean masqueradeCIDRs?"],
  ["masqCIDRs", "did you mean masqueradeCIDRs?"],
  ["snatCIDRs", "did you mean masqueradeCIDRs?"],
  ["nonMasqueradeExceptCIDRs", "did you mean masqueradeCIDRs?"],
  ["except", "exceptions from nonMasqueradeCIDRs are listed in masqueradeCIDRs"],
  ["onlyMasqueradeCIDRs", BOTH],
  ["exceptNonMasqueradeCIDRs", BOTH],
  ["CIDRs", BOTH],
  ["destinationCIDRs", BOTH],
  ["excludeCIDRs", BOTH],
  ["NonMasqueradeSrcCIDRs", "did you mean nonMasqueradeSourceCIDRs?"],
  ["noSnatSourceRanges", "did you mean nonMasqueradeSourceCIDRs?"],
  ["masqueradeSrcCIDRs", "did you mean masqueradeSourceCIDRs?"],
  ["masqueradeExceptSourceCIDRs", "did you mean nonMasqueradeSourceCIDRs?"],
  ["nonMasqueradeSorceCIDRs", "did you mean nonMasqueradeSourceCIDRs?"],
  ["masqueradeSorceCIDRs", "did you mean masqueradeSourceCIDRs?"],
  ["sourceCIDRs", SOURCES],
  ["onlyMasqueradeSourceCIDRs", SOURCES],
  ["from", SOURCES],
  ["podCIDRs", SOURCES],
  [
    "podSelector",
    "pods are told by their addresses, not by labels: list their networks in masqueradeSourceCIDRs",
  ],
  ["sourcePorts", "the file sets no ports: the flag --to-ports sets the source ports of masqueraded packets"],
  ["resources", "-"],
  ["masqLinkLocalIpv4", "did you mean masqLinkLocal?"],
  ["masqLinkLocal6", "did you mean masqLinkLocalIPv6?"],
  ["masqueradeLinkLocal", "did you mean masqLinkLocal?"],
  ["noMasqLinkLocal", "link-local is masqueraded only with masqLinkLocal: true, which is not the default"],
  [
    "nonMasqLinkLocalIPv6",
    "link-local is masqueraded only with masqLinkLocalIPv6: true, which is not the default",
  ],
  ["enableIPv6", "it is the agent's flag --enable-ipv6, not a key of the file"],
  ["enable-ipv6", "it is the agent's flag --enable-ipv6, not a key of the file"],
  ["ipv6", "it is the agent's flag --enable-ipv6, not a key of the file"],
  ["masqChain", "it is the agent's flag --masq-chain, not a key of the file"],
  ["randomFully", "it is the agent's flag --random-fully, not a key of the file"],
  ["noMasqAllReservedRanges", "it is the agent's flag --nomasq-all-reserved-ranges, not a key of the file"],
  ["toPorts", "it is the agent's flag --to-ports, not a key of the file"],
  ["snatTarget", ADDRESSES],
  ["snatIP", ADDRESSES],
  ["egressIPs", ADDRESSES],
  ["toSource", ADDRESSES],
  ["outputAddress", "did you mean outputAddresses?"],
  ["output_addr", "did you mean outputAddresses?"],
  ["outputAddressesBy", "did you mean outputAddressBy?"],
  ["outputInterface", "did you mean outputInterfaces?"],
  ["output-iface", "did you mean outputInterfaces?"],
  ["masqueradeInterfaces", "did you mean outputInterfaces?"],
  ["nic", "did you mean outputInterfaces?"],
  ["nonMasqueradeInterfaces", LINKS],
  ["excludeInterfaces", LINKS],
  ["noOutputInterfaces", LINKS],
  [
    "inputInterface",
    "not supported: packets are told by their source, in masqueradeSourceCIDRs, and by outputInterfaces",
  ],
  ["masqueradeBit", "this belongs to kube-proxy's or the kubelet's configuration, not to the agent's"],
  [
    "iptablesMasqueradeBit",
    "this belongs to kube-proxy's or the kubelet's configuration, not to the agent's",
  ],
  ["masqueradeAll", "not supported: an empty nonMasqueradeCIDRs masquerades everything but link-local"],
  ["resyncinterval ", "it contains spaces: did you mean resyncInterval?"],
  ["\ufeffresyncInterval", "an invisible character (U+FEFF) is here: did you mean resyncInterval?"],
  ["\u00a0masqLinkLocal", "a no-break space (U+00A0) is here: did you mean masqLinkLocal?"],
  ["resyncIntervalSeconds", "did you mean resyncInterval?"],
  ["resync-period", "did you mean resyncInterval?"],
  ["cidr_limit", "did you mean cidrLimit?"],
  ["maxCIDRs", "did you mean cidrLimit?"],
  ["ipMasqAgent", "this belongs to a Helm chart's values, not in the agent's file"],
  ["apiVersion", "this belongs to a manifest: the agent reads the text below its data.config"],
  ["comment", "-"],
  ["x".repeat(100_000), "-"],
])("unknown key %.30s", (key, expected) => {
  expect(hint("unknown-key", { key })).toBe(expected);
});

/** How a key of two or three words is written. */
const STYLES: readonly ((words: readonly string[]) => string)[] = [
  (words) => words.join("-"),
  (words) => words.join("_").toUpperCase(),
  (words) => words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join(""),
];

/** A key about sources leads to the list of sources, or is it. */
function expectSource(key: string, isTurned: boolean): void {
  const expected = isTurned ? "nonMasqueradeSourceCIDRs" : "masqueradeSourceCIDRs";
  if (knownKey(key) === undefined)
    expect(hint("unknown-key", { key }), key).toBe(`did you mean ${expected}?`);
  else expect(knownKey(key)).toBe(expected);
}

test("no hint leads from one list to the other, from sources to destinations, or between families", () => {
  const turning = ["non", "no", "not", "never", "skip", "dont"];
  const keeping = ["", "force", "always", "do", "must", "enable", "to"];
  const verbs = ["masquerade", "masq", "masqueraded", "snat"];
  const nouns = ["cidr", "cidrs", "ranges", "networks", "destinations"];
  for (const style of STYLES) {
    for (const verb of verbs) {
      for (const noun of nouns) {
        const of = (first: string) => {
          const key = style([first, verb, noun].filter(Boolean));
          return knownKey(key) === undefined
            ? hint("unknown-key", { key })
            : `did you mean ${knownKey(key)}?`;
        };
        for (const word of turning) expect(of(word), word).toBe("did you mean nonMasqueradeCIDRs?");
        for (const word of keeping) expect(of(word), word).toBe("did you mean masqueradeCIDRs?");
        for (const word of [...turning, ...keeping])
          for (const source of ["source", "src"])
            expectSource(style([word, verb, source, noun].filter(Boolean)), turning.includes(word));
      }
      for (const family of ["ipv4", "ip-v4", "v4"])
        expect(hint("unknown-key", { key: style([verb, "link", "local", family]) })).not.toContain("IPv6");
    }
  }
});

/** One edit away: a character dropped, doubled, replaced or exchanged with the next. */
function misspelt(word: string): string[] {
  return Array.from(word).flatMap((_, i) => [
    word.slice(0, i) + word.slice(i + 1),
    word.slice(0, i + 1) + word.slice(i),
    `${word.slice(0, i)}x${word.slice(i + 1)}`,
    word.slice(0, i) + (word[i + 1] ?? "") + (word[i] ?? "") + word.slice(i + 2),
  ]);
}

test("a key that is misspelt by one character leads to itself, or to both lists, never to the other", () => {
  const others: Record<string, string> = {
    nonMasqueradeCIDRs: "did you mean masqueradeCIDRs?",
    masqueradeCIDRs: "did you mean nonMasqueradeCIDRs?",
    nonMasqueradeSourceCIDRs: "did you mean masqueradeSourceCIDRs?",
    masqueradeSourceCIDRs: "did you mean nonMasqueradeSourceCIDRs?",
  };
  for (const key of CONFIG_KEYS)
    for (const wrong of misspelt(key)) {
      if (knownKey(wrong) !== undefined) continue;
      const found = hint("unknown-key", { key: wrong });
      expect(found, wrong).not.toBe(others[key]);
      if (others[key] === undefined) expect(found, wrong).toContain(key.replace("IPv6", ""));
    }
});

test("the flags that keys are taken for exist", () => {
  expect(FLAGS_SOUGHT.filter((name) => !(name in agentFlags))).toEqual([]);
});

test.each([
  ["192.0.2.10/24", "did you mean 192.0.2.10, or all of 192.0.2.0/24?"],
  ["2001:db8::1/64", "did you mean 2001:db8::1, or all of 2001:db8::/64?"],
  ["0.0.0.0/0", "leave the key out: then the kernel chooses"],
  ["eth0", "addresses are listed here; interfaces are listed in outputInterfaces"],
  ["!192.0.2.1", "list the addresses to use: none can be excluded"],
  ["192.0.2.1,", "did you mean 192.0.2.1?"],
  ["'192.0.2.1'", "did you mean 192.0.2.1?"],
  ["192.0.2.1-192.0.2.2", "a range is not supported: write CIDRs (192.0.2.1/32, 192.0.2.2/32)"],
  ["192.0.2.300", "an octet goes up to 255, not to 300"],
  ["", "an entry without a value: was a variable not set? Remove it, or write an address"],
  ["\u0024{NODE_IP}", "a template was not rendered: \u0024{NODE_IP}"],
  ["127.0.0.1", "-"],
])("address %j", (text, expected) => {
  expect(hint("address", { text, key: "outputAddresses[0]" })).toBe(expected);
});

test.each([
  ["eth*", "+ at the end matches any rest: write eth+"],
  ["cali.*", "+ at the end matches any rest: write cali+"],
  ["*", "leave the key out for every interface"],
  ["+", "leave the key out for every interface"],
  ["!eth0", "list the interfaces whose packets are masqueraded"],
  ["! eth0", "list the interfaces whose packets are masqueraded"],
  ["eth0:1", "a label is part of an address, not of an interface: write eth0"],
  ["/sys/class/net/eth0", "it is a path: write eth0"],
  ["'eth0'", "it contains quotes: write eth0"],
  ["eth0 ", "it contains spaces: write eth0"],
  ["dev eth0", "write the name alone: write eth0"],
  ["eth0, eth1", "several names in one entry: write each as an entry of its own"],
  ["eth0 eth1", "several names in one entry: write each as an entry of its own"],
  ["", "an entry without a value: was a variable not set? Remove it, or write a name"],
  ["{{ .iface }}", "a template was not rendered: {{ .iface }}"],
  ["eth0\u00a0", "a no-break space (U+00A0) is here: write plain spaces"],
  ["enp0s31f6np0v1234", "-"],
  ["..", "-"],
])("interface %j", (text, expected) => {
  expect(hint("interface", { text, key: "outputInterfaces[0]" })).toBe(expected);
});

test.each([
  ["60", 'did you mean "60s"?'],
  ["1m 30s", 'did you mean "1m30s"?'],
  ["5min", 'did you mean "5m"?'],
  ["1 minute", 'did you mean "1m"?'],
  ["90 seconds", 'did you mean "90s"?'],
  ["1d", 'did you mean "24h"?'],
  ["1h, 30 min", 'did you mean "1h30m"?'],
  ["1h30", 'did you mean "1h30m"?'],
  ["1m30", 'did you mean "1m30s"?'],
  ["2d12", 'did you mean "48h12h"?'],
  ["60s0", 'write a number with a unit, such as "60s" or "1m30s"'],
  ["1w", 'did you mean "168h"?'],
  ["10000000h", "the longest duration is 2562047h"],
  ["$RESYNC", "a template was not rendered: $RESYNC"],
  ["\u0024{RESYNC:-60s}", "a template was not rendered: \u0024{RESYNC:-60s}"],
  ["soon", 'write a number with a unit, such as "60s" or "1m30s"'],
  ["1 fortnight", 'write a number with a unit, such as "60s" or "1m30s"'],
  ["", "remove the key for the default of 60s, or write a duration"],
])("duration %j", (text, expected) => {
  expect(hint("duration", { text })).toBe(expected);
  if (text !== "") expect(hint("type", { text, key: "resyncInterval" })).toBe(expected);
});

test.each<[key: string, text: string, expected: string]>([
  ["", "map[masqLinkLocal:true]", "this is how Go prints a map: write YAML or JSON"],
  ["", "masqLinkLocal:true", 'a key needs a space after its colon, as in "cidrLimit: 64"'],
  ["", "nonMasqueradeCIDRs - 10.0.0.0/8", 'put a colon after the key: "nonMasqueradeCIDRs:"'],
  ["", "\u0024{CONFIG}", "a template was not rendered: \u0024{CONFIG}"],
  ["nonMasqueradeCIDRs", "\u0024{CIDRS}", "a template was not rendered: \u0024{CIDRS}"],
  ["nonMasqueradeCIDRs", '["10.0.0.0/8"]', "quotes make text of the list: remove them"],
  ["nonMasqueradeCIDRs", "-10.0.0.0/8", 'put a space after the dash, as in "- 10.0.0.0/8"'],
  ["nonMasqueradeCIDRs", "\u00a0- 10.0.0.0/8", "a no-break space (U+00A0) is here: write plain spaces"],
  ["nonMasqueradeCIDRs", "\u2013 10.0.0.0/8", "a dash that is not a hyphen (U+2013) is here: write -"],
  ["masqLinkLocal", "%MASQ%", "a template was not rendered: %MASQ%"],
  ["masqLinkLocal", "tRUE", "write true or false, without quotes"],
])("text where %s has another type: %s", (key, text, expected) => {
  expect(hint("type", { key, text })).toBe(expected);
});

/** The hint to the first problem of a file. */
function fileHint(text: string): string {
  const decoded = decodeText(text);
  return decoded.ok ? "accepted" : (hintFor(decoded.problems[0] as Problem) ?? "-");
}

const LIST = "nonMasqueradeCIDRs:\n";
const CONFLICT =
  "a merge left conflict marks in the file: choose one side, and remove <<<<<<<, ======= and >>>>>>>";
const HEREDOC = "the end marker of a here-document is in the file: remove this line";
const FENCE = "this is Markdown's mark around code: remove the lines with ```";
const ESCAPES = "\\n does not begin a line here: begin a real one for each";
const COMMENT = "a comment in YAML begins with #";
const bare = (key: string) => `put ": ", a colon with a space, after ${key} above`;

test.each([
  [`${LIST}\t- 10.0.0.0/8\n`, "there is a tab here: write spaces"],
  [`${LIST}  -\t10.0.0.0/8\n`, "there is a tab here: write spaces"],
  [`${LIST}  - 10.0.0.0/8\n\tcidrLimit: 3\n`, "there is a tab here: write spaces"],
  [`${LIST}\u00a0\u00a0- 10.0.0.0/8\n`, "a no-break space (U+00A0) is here: write plain spaces"],
  [`${LIST}  - {{ .PodSubnet }}\n`, "a template was not rendered: {{ .PodSubnet }}"],
  [
    `${LIST}{{ toYaml .Values.cidrs | indent 2 }}\n`,
    "a template was not rendered: {{ toYaml .Values.cidrs | indent 2 }}",
  ],
  [
    `${LIST}  - 10.0.0.0/8 # of <team>\n - 11.0.0.0/8 # of <them> \u2013 soon\n`,
    "this line's indentation differs from the lines above it",
  ],
  [`${LIST}  - !10.1.0.0/16\n`, "an exception is an entry of masqueradeCIDRs, without the mark"],
  [`${LIST}%{ for c in cidrs ~}\n  - x\n`, "a template was not rendered: %{ for c in cidrs ~}"],
  [`${LIST}<<<<<<< HEAD\n  - 10.0.0.0/8\n`, CONFLICT],
  [`<<<<<<< HEAD\n${LIST}  - 10.0.0.0/8\n=======\n${LIST}  - 11.0.0.0/8\n>>>>>>> ours\n`, CONFLICT],
  [`${LIST}  - 10.0.0.0/8\n=======\n  - 11.0.0.0/8\n>>>>>>> ours\n`, CONFLICT],
  [`${LIST}  - 10.0.0.0/8\nEOF\n`, HEREDOC],
  [`    ${LIST}      - 10.0.0.0/8\n    EOT\n`, HEREDOC],
  [`resyncInterval:60s\n${LIST}  - 10.0.0.0/8\n`, bare("resyncInterval")],
  [`masqLinkLocal true\n\n${LIST}  - 10.0.0.0/8\n`, bare("masqLinkLocal")],
  [`${LIST.replace(":", "")}  - 10.0.0.0/8\ncidrLimit: 3\n`, bare("nonMasqueradeCIDRs")],
  [
    `${LIST}  - 10.0.0.0/8\n  cidrLimit: 3: 4\n`,
    "there is a key among the entries of a list: indent it like the other keys; exceptions from nonMasqueradeCIDRs go into masqueradeCIDRs",
  ],
  [`%YAML 1.2\n---\n${LIST}  - 10.0.0.0/8\n`, "only YAML 1.1 is supported: remove this line"],
  [JSON.stringify(`${LIST}  - 10.0.0.0/8\n`), "quotes or | make one text of the whole file: remove them"],
  [JSON.stringify('{"cidrLimit": 3}'), "quotes or | make one text of the whole file: remove them"],
  [`|\n  {"cidrLimit": 3}\n`, "quotes or | make one text of the whole file: remove them"],
  [`|\n  ${LIST}    - 10.0.0.0/8\n`, "quotes or | make one text of the whole file: remove them"],
  [`${LIST}  - @@VAR@@\n`, "a template was not rendered: @@VAR@@"],
  [`${LIST}  - %VAR%\n`, "a template was not rendered: %VAR%"],
  [`${LIST}{% for x in y %}\n`, "a template was not rendered: {% for x in y %}"],
  [`${LIST}  - \`10.0.0.0/8\`\n`, "a value cannot begin with a backtick: write quotes, or nothing"],
  [`\`\`\`yaml\n${LIST}  - 10.0.0.0/8\n\`\`\`\n`, FENCE],
  [`${LIST}  - 10.0.0.0/8\n\`\`\`\n`, FENCE],
  [`nonMasqueradeCIDRs:\\n- 10.0.0.0/8\\n`, ESCAPES],
  [`cidrLimit: 3\\nnonMasqueradeCIDRs:\\n- 10.0.0.0/8\\n`, ESCAPES],
  ['{\\n  "cidrLimit": 3\\n}', ESCAPES],
  ['{\\"cidrLimit\\": 3}', "remove the backslashes before the quotes"],
  [`// ours\n${LIST}  - 10.0.0.0/8\n`, COMMENT],
  [`/* ours */\n${LIST}  - 10.0.0.0/8\n`, COMMENT],
  [`${LIST}  // ours\n  - 10.0.0.0/8\n`, COMMENT],
  [`${LIST}  - 10.0.0.0/8\n  // ours\n  - 11.0.0.0/8\n`, COMMENT],
  [`${LIST}  - 10.0.0.0/8 // ours\n`, `${COMMENT}: did you mean 10.0.0.0/8?`],
  [`${LIST}  - 10.0.0.0/8\\n\n`, ESCAPES],
  ["resyncInterval: 60s\\n\n", ESCAPES],
  [`${LIST}  - 10.0.0.0/8\n// ours\ncidrLimit: 3\n`, COMMENT],
  [`${LIST}-10.0.0.0/8\n`, 'put a space after the dash, as in "- 10.0.0.0/8"'],
  [`${LIST}  - 10.0.0.0/8\n - 11.0.0.0/8\n`, "this line's indentation differs from the lines above it"],
  [
    `${LIST}  - 10.0.0.0/8\n    - 11.0.0.0/8\n`,
    "the lines below were read as part of this entry: indent each dash alike",
  ],
  [
    `${LIST}  - cidr: 10.0.0.0/8\n`,
    'write the CIDR alone, as in "- 10.0.0.0/8", and in quotes if it ends with a colon',
  ],
  ['{"nonMasqueradeCIDRs": ["10.0.0.0/8",]}', "there is a comma after the last entry: remove it"],
  ['{"cidrLimit": 3,}', "there is a comma after the last entry: remove it"],
  ['{"masqLinkLocal": True}', "JSON has true, false and null in small letters"],
  ['{"masqLinkLocal": FALSE}', "JSON has true, false and null in small letters"],
  ['{"cidrLimit": None}', "JSON has true, false and null in small letters"],
  ['{"resyncInterval": 60s}', "text needs double quotes in JSON"],
  ['{"resyncInterval": Nine}', "text needs double quotes in JSON"],
  ['{"cidrLimit": 3} // ours', "this is after the end of the JSON text: remove it"],
  ['{ // ours\n"cidrLimit": 3}', "JSON has no comments: remove them"],
  ['{\n# ours\n"cidrLimit": 3}', "JSON has no comments: remove them"],
  ["{'cidrLimit': 3}", "JSON needs double quotes"],
  ["{cidrLimit: 3}", "text that begins with { is read as JSON, whose keys need double quotes"],
  ['{"cidrLimit": 3', "the text ends before every quote, bracket and brace is closed"],
  ["{\u201ccidrLimit\u201d: 3}", 'a typographic quote (U+201C) is here: write "'],
])("a file %j", (text, expected) => {
  expect(fileHint(text)).toBe(expected);
});

test("nothing that anybody writes makes a hint fail", () => {
  const unit = fc.constantFrom(..."10./-:, \t\n{}[]<>$%@#!'\"ax\u00a0\u200b\u2013\ud800");
  const text = fc.string({ unit, maxLength: 40 });
  fc.assert(
    fc.property(text, fc.constantFrom("cidr", "duration", "type", "unknown-key"), (text, code) => {
      for (const key of ["", "nonMasqueradeCIDRs", "masqueradeCIDRs[1]", "resyncInterval", text])
        expect(hint(code as ProblemCode, { text, key })).not.toBe("");
    }),
    { numRuns: 3_000 },
  );
});
