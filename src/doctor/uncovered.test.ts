import { expect, test } from "vitest";
import { constantCidr } from "../core/cidr.ts";
import { intervalOf, type PodNetwork } from "./pod-networks.ts";
import { createUncoveredReader, type Kept } from "./uncovered.ts";

const network = (text: string): PodNetwork => ({ cidr: constantCidr(text), from: "x", isLocal: true });
const kept = (IPv4: readonly string[] | null, IPv6: readonly string[] | null = null): Kept => {
  const list = (texts: readonly string[] | null) =>
    texts?.map((text) => intervalOf(constantCidr(text))) ?? null;
  return { IPv4: list(IPv4), IPv6: list(IPv6) };
};

const POD = ["10.244.1.0/24", "10.244.0.0/16", "10.250.0.0/24"];

test.each<[string, readonly string[] | undefined, Kept, readonly string[]]>([
  ["all is kept", POD, kept(["10.0.0.0/8"]), ["IPv4 0"]],
  ["one is not", POD, kept(["10.244.0.0/16"]), ["IPv4 1"]],
  ["one in part", POD, kept(["10.244.0.0/17", "10.250.0.0/16"]), ["IPv4 1"]],
  ["the list is empty", POD, kept([]), ["IPv4 2"]],
  ["single pods are one", ["10.1.0.1/32", "10.1.0.2/32", "10.2.0.0/24"], kept([]), ["IPv4 2"]],
  ["of both families", [...POD, "fd00:244::/64"], kept(["10.0.0.0/8"], []), ["IPv4 0", "IPv6 1"]],
  ["rules that are not in force", POD, kept(null), []],
  ["no network of the family is known", ["fd00:244::/64"], kept([], null), []],
  ["links cannot be read", undefined, kept([]), []],
])("%s", async (_, networks, list, expected) => {
  const read = createUncoveredReader(
    () => 0,
    async () => networks?.map(network),
  );
  expect((await read(list)).map((one) => `${one.family} ${one.networks}`)).toEqual(expected);
});

test("reads when it is asked, at most every 5 minutes, and counts again for another list", async () => {
  let [at, reads] = [0, 0];
  const reader = createUncoveredReader(
    () => at,
    async () => {
      reads++;
      return POD.map(network);
    },
  );
  expect(reads).toBe(0);
  const whole = kept(["10.0.0.0/8"]);
  for (at = 0; at < 300_000; at += 15_000)
    expect(await reader(whole)).toEqual([{ family: "IPv4", networks: 0 }]);
  expect(await reader(kept([]))).toEqual([{ family: "IPv4", networks: 2 }]);
  expect(reads).toBe(2);
});
