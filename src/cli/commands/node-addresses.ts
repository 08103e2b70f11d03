/** The flag `--node-address`: the addresses of a node that is not this one. */
import type { Family } from "../../core/cidr.ts";
import type { NodeAddresses } from "../../core/ruleset.ts";
import { readAddress, readAddresses } from "./destination.ts";

/** The addresses of `--node-address`, by family. */
export function givenAddresses(text: string): NodeAddresses | undefined {
  const given =
    text === "" ? [] : readAddresses("node-address", text).map((one) => readAddress("node-address", one));
  const ofFamily = (family: Family) => given.filter((one) => one.family === family).map(({ value }) => value);
  return given.length === 0 ? undefined : { IPv4: ofFamily("IPv4"), IPv6: ofFamily("IPv6") };
}
