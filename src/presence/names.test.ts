import { describe, expect, test } from "vitest";
import { holdAddress, holdToken, inodeOf, parseHeldNames } from "./names.ts";

const HEAD = "Num       RefCount Protocol Flags    Type St Inode Path";

/** A line as the kernel writes it: each NUL of an abstract name as `@`. */
function line(address: string, { flags = "00010000", type = "0001", inode = 7 } = {}): string {
  return `0000000000000000: 00000002 00000000 ${flags} ${type} 01 ${String(inode).padStart(5)} ${address.replaceAll("\0", "@")}`;
}

function parsed(...lines: readonly string[]) {
  return parseHeldNames([HEAD, ...lines, ""].join("\n"));
}

describe("names", () => {
  const NAMES = ["IP-MASQ-AGENT", "a", "x".repeat(28), "x".repeat(64), "x".repeat(65), "x".repeat(4_000)];
  const ODD = ["", "two words", "line\nfeed", "at@", "ä", "名".repeat(40), "tab\t", "\u007f"];

  test.for([...NAMES, ...ODD])("are of one length and found again: %j", (chain) => {
    for (const waiter of [undefined, "k3x9q0az"]) {
      const kind = waiter === undefined ? "held" : "awaited";
      const address = holdAddress(chain, waiter);
      expect(new TextEncoder().encode(address).length).toBe(108);
      expect(address.startsWith("\0ip-masq-agent ")).toBe(true);
      const named = waiter === undefined ? {} : { waiter };
      expect(parsed(line(address))).toEqual([{ kind, token: holdToken(chain), inode: 7, ...named }]);
      expect(inodeOf(`${HEAD}\n${line(address)}\n`, address)).toBe(7);
    }
  });

  test("tell chains apart", () => {
    const all = [...NAMES, ...ODD].flatMap((chain) => [
      holdAddress(chain),
      holdAddress(chain, "a"),
      holdAddress(chain, "b"),
    ]);
    expect(new Set(all).size).toBe(all.length);
  });

  test("are the chain's own where iptables takes it", () => {
    expect(holdToken("IP-MASQ-AGENT")).toBe("IP-MASQ-AGENT");
    expect(holdToken("two words")).toMatch(/^digest:[0-9a-f]{16}$/);
  });
});

describe("/proc/net/unix", () => {
  const address = holdAddress("X");

  test("others' sockets, other types and lengths are passed over", () => {
    const others = [
      "0000000000000000: 00000003 00000000 00000000 0001 03 17205",
      line("/run/dbus/system_bus_socket"),
      line("\0ip-masq-agent chain=X"),
      line(`${address}\0`),
      line("\0ip-masq-agent-other".padEnd(108, "\0")),
      line(address, { type: "0002" }),
      line(address, { type: "0005" }),
    ];
    expect(parsed(...others)).toEqual([]);
    expect(parsed(...others, line(address))).toHaveLength(1);
  });

  test.for([
    ["before", [line(address, { flags: "00000000", inode: 0 }), line(address)]],
    ["behind", [line(address), line(address, { flags: "00000000", inode: 8 })]],
  ] as const)("a connection listed %s its socket is not taken for it", ([, lines]) => {
    expect(parsed(...lines)).toEqual([{ kind: "held", token: "X", inode: 7 }]);
  });

  test("a name that is held without listening counts, too", () => {
    expect(parsed(line(address, { flags: "00000000", inode: 9 }))).toEqual([
      { kind: "held", token: "X", inode: 9 },
    ]);
  });
});
