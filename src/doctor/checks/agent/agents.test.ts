import { describe, expect, test } from "vitest";
import { said } from "../../../../test/lab/doctor.ts";
import { holdToken } from "../../../presence/names.ts";
import type { Facts, HolderFacts } from "../../facts.ts";

const HELD: HolderFacts = {
  kind: "held",
  token: "IP-MASQ-AGENT",
  inode: 1,
  who: "pid 7 (x)",
  isAgent: true,
  isTrusted: true,
};

function holders(...changes: readonly Partial<HolderFacts>[]): Pick<Facts, "holders"> {
  return { holders: { value: changes.map((change) => ({ ...HELD, ...change })) } };
}

describe("who holds the agent's socket", () => {
  test.for<[string, Pick<Facts, "holders">, readonly string[]]>([
    ["nobody", holders(), []],
    ["an agent", holders({}), []],
    [
      "an agent of another chain, and one that waits for that",
      holders({}, { token: "X" }, { token: "X", kind: "awaited" }),
      [],
    ],
    [
      "an agent, and another one waits",
      holders({}, { kind: "awaited", who: "pid 8 (y)" }),
      ["warning agent-socket: two agents of chain IP-MASQ-AGENT run: pid 8 (y) waits for the other to end"],
    ],
    [
      "somebody who is not seen",
      holders({ isAgent: undefined, who: "a process that is not visible from here" }),
      [
        "info agent-socket: an agent of chain IP-MASQ-AGENT seems to run: a process that is not visible from here holds its socket",
      ],
    ],
    [
      "somebody else",
      holders({ isAgent: false }),
      [
        "warning agent-socket: pid 7 (x) holds the socket by which an agent of chain IP-MASQ-AGENT is known, and is not an agent: the agent removes nothing that another backend has left",
      ],
    ],
  ])("%s", ([, facts, expected]) => {
    expect(said(facts)).toEqual(expected);
  });

  test("a chain with a name that is held as a digest is found", () => {
    const settings = { families: ["IPv4"], backend: "nftables", variant: "nft", toPorts: [] } as const;
    const facts = {
      settings: { ...settings, chain: "two words" },
      ...holders({ token: holdToken("two words"), isAgent: false }),
    };
    expect(said(facts).join()).toContain("warning agent-socket: pid 7 (x)");
  });

  test("what could not be looked at is no finding of this check", () => {
    expect(said({ holders: { unknown: "whether another agent runs", why: "EACCES" } }).join()).not.toContain(
      "agent-socket",
    );
  });
});

describe("what auto comes to", () => {
  test.for([
    [undefined, false],
    ["iptables", false],
    ["nftables", true],
  ] as const)("%s, with rules in iptables: finding %s", ([auto, isFound]) => {
    const found = said({ auto: { value: auto && { backend: auto, why: "" } } });
    expect(
      found.some((line) => line.startsWith("warning auto-backend: --backend=auto chooses nftables now")),
    ).toBe(isFound);
  });
});

test.each([
  [undefined, []],
  [{ bytes: 128 * 1024 * 1024, path: "/sys/fs/cgroup/memory.max" }, []],
  [
    { bytes: 32 * 1024 * 1024, path: "/sys/fs/cgroup/memory.max" },
    [
      "warning memory-limit: the memory limit is 32 MiB (/sys/fs/cgroup/memory.max), and the agent needs 96 MiB: the kernel may end it without a line in the log",
    ],
  ],
])("the memory limit %s", (memoryLimit, expected) => {
  expect(said({ memoryLimit })).toEqual(expected);
});
