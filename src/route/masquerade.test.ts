import { expect, test } from "vitest";
import { parseAddress } from "../core/cidr.ts";
import { masqueradeAddress } from "./masquerade.ts";
import type { ObservedAddress } from "./rtnetlink.ts";

function value(text: string): bigint {
  return parseAddress(text)?.value as bigint;
}

/** `LINK ADDRESS/BITS [scope=N] [flags=N]`. */
function addresses(...lines: readonly string[]): ObservedAddress[] {
  return lines.map((line) => {
    const [link, cidr = "", ...rest] = line.split(" ");
    const [text = "", bits] = cidr.split("/");
    const more = Object.fromEntries(rest.map((one) => one.split("="))) as Record<string, string>;
    const { scope = "0", flags = "0" } = more;
    return {
      family: text.includes(":") ? "ip6" : "ip",
      link: Number(link),
      address: value(text),
      network: value(text),
      bits: Number(bits),
      scope: Number(scope),
      flags: Number(flags),
    };
  });
}

test.each<[string, string | undefined, { to: string; via?: string }, readonly string[]]>([
  [
    "the first address",
    "192.0.2.1",
    { to: "8.8.8.8", via: "192.0.2.254" },
    ["1 192.0.2.1/24", "1 192.0.2.5/24 flags=1"],
  ],
  [
    "one of the next hop's network",
    "10.9.0.1",
    { to: "8.8.8.8", via: "10.9.0.254" },
    ["1 192.0.2.1/24", "1 10.9.0.1/24"],
  ],
  ["one of the destination's network", "10.9.0.1", { to: "10.9.0.7" }, ["1 192.0.2.1/24", "1 10.9.0.1/24"]],
  [
    "not one of the link only",
    "192.0.2.1",
    { to: "8.8.8.8" },
    ["1 169.254.1.1/16 scope=253", "1 192.0.2.1/24"],
  ],
  [
    "of another link, if there is one",
    "192.0.2.1",
    { to: "8.8.8.8" },
    ["2 192.0.2.1/24", "3 127.0.0.1/8 scope=254"],
  ],
  ["of which of two links is not known", undefined, { to: "8.8.8.8" }, ["2 192.0.2.1/24", "3 10.0.0.1/8"]],
  ["nothing", undefined, { to: "8.8.8.8" }, []],
  [
    "IPv6: not the link-local one",
    "2001:db8::1",
    { to: "2001:4860::1" },
    ["1 fe80::1/64 scope=253", "1 2001:db8::1/64"],
  ],
  [
    "IPv6: not a deprecated one",
    "2001:db8::2",
    { to: "2001:4860::1" },
    ["1 2001:db8::1/64 flags=32", "1 2001:db8::2/64"],
  ],
  [
    "IPv6: not a tentative one",
    "2001:db8::2",
    { to: "2001:4860::1" },
    ["1 2001:db8::1/64 flags=64", "1 2001:db8::2/64"],
  ],
  ["IPv6: a ULA for a ULA", "fd00::1", { to: "fd99::1" }, ["1 2001:db8::1/64", "1 fd00::1/64"]],
  ["IPv6: no ULA for others", "2001:db8::1", { to: "2001:4860::1" }, ["1 fd00::1/64", "1 2001:db8::1/64"]],
  [
    "IPv6: the nearest",
    "2001:db8:1::1",
    { to: "2001:db8:1:2::1" },
    ["1 2001:db8:9::1/64", "1 2001:db8:1::1/64"],
  ],
  [
    "IPv6: whether a temporary one is a setting",
    undefined,
    { to: "2001:4860::1" },
    ["1 2001:db8::1/64", "1 2001:db8::9/64 flags=1"],
  ],
  ["IPv6: one of two alike", undefined, { to: "2001:4860::1" }, ["1 2001:db8::1/64", "1 2001:db8::9/64"]],
])("%s", (_, expected, { to, via }, lines) => {
  const family = to.includes(":") ? "ip6" : "ip";
  const way = { destination: value(to), gateway: via === undefined ? undefined : value(via) };
  expect(masqueradeAddress(addresses(...lines), family, 1, way)).toBe(
    expected === undefined ? undefined : value(expected),
  );
});
