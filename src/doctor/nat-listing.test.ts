import { expect, test } from "vitest";
import { parseNatListing } from "./nat-listing.ts";

test("chains, rules, comments, conditions and targets of a listing", () => {
  const listing = [
    "# Warning: iptables-legacy tables present, use iptables-legacy to see them",
    "-P POSTROUTING ACCEPT",
    "-N EMPTY",
    '-A POSTROUTING ! -d 10.0.0.0/8 -m comment --comment "a \\"b\\" -j c" -m addrtype ! --dst-type LOCAL -j MASQUERADE --random-fully',
    "-A POSTROUTING -p tcp -g EMPTY",
    "-A POSTROUTING -m comment --comment counted",
    "",
  ].join("\n");
  const chains = parseNatListing(listing, "IPv4");
  expect([...chains.keys()]).toEqual(["POSTROUTING", "EMPTY"]);
  expect(chains.get("EMPTY")).toEqual([]);
  expect(chains.get("POSTROUTING")?.map(({ text: _, scope: __, ...rule }) => rule)).toEqual([
    {
      chain: "POSTROUTING",
      comment: 'a "b" -j c',
      conditions: ["!", "-d", "10.0.0.0/8", "-m", "addrtype", "!", "--dst-type", "LOCAL"],
      target: "MASQUERADE",
    },
    { chain: "POSTROUTING", comment: undefined, conditions: ["-p", "tcp"], target: "EMPTY" },
    { chain: "POSTROUTING", comment: "counted", conditions: [], target: undefined },
  ]);
});
