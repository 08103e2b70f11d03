import { describe, expect, test } from "vitest";
import { NetlinkUnavailable, NftablesError } from "../netlink/errors.ts";
import type { Query } from "../netlink/query.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { CommandError } from "../system/command-error.ts";
import { legacyTables } from "../system/legacy-tables.ts";
import type { Answer, Script } from "../system/script.ts";
import { chooseBackend } from "./choose.ts";

const OK: Answer = { exitCode: 0, stdout: "", stderr: "" };
const MISSING = new NetlinkUnavailable("linux-riscv64", new Error("no native build"));

/** A machine with these tables and chains of nf_tables, where iptables works or not. */
function machine(
  there: { tables?: string[]; chains?: string[]; iptables?: boolean; open?: Error; read?: Error } = {},
) {
  const { tables = [], chains = [], iptables = true } = there;
  const calls: string[] = [];
  let closed = 0;
  const read = async <T>({ what }: Query<T>): Promise<T> => {
    if (there.read !== undefined) throw there.read;
    if (what === "tables") return tables.map((table) => ({ table })) as T;
    if (chains.includes(what)) return {} as T;
    throw new NftablesError({ code: "ENOENT", what, why: "not there" });
  };
  const nftables: Nftables = {
    read,
    batch: () => Promise.reject(new Error("looking changes nothing")),
    generation: async () => 1,
    maxBatchBytes: 1,
    close: () => closed++,
  };
  const run = async (script: Script): Promise<Answer> => {
    calls.push([script.file, ...script.args].join(" "));
    if (script.file === "iptables-legacy") return { ...OK, exitCode: 1 };
    if (iptables) return OK;
    throw new CommandError(script, { why: "cannot start iptables: ENOENT", code: "ENOENT" });
  };
  const open = async () => {
    if (there.open !== undefined) throw there.open;
    return nftables;
  };
  return { choose: () => chooseBackend("iptables", { run, open }), calls, closed: () => closed };
}

describe("kube-proxy's nftables mode decides for nftables,", () => {
  test("even where iptables works", async () => {
    const { choose, calls, closed } = machine({ tables: ["filter", "kube-proxy"] });
    expect(await choose()).toEqual({ ok: true, name: "nftables", why: "kube-proxy uses nftables" });
    const mayLook = legacyTables("IPv4").includes("nat") ? ["iptables-legacy -t nat -S KUBE-SERVICES"] : [];
    expect(calls).toEqual(mayLook);
    expect(closed()).toBe(1);
  });

  test.each(["chain ip nat KUBE-SERVICES", "chain ip6 nat KUBE-SERVICES"])(
    "unless its iptables mode is at work: %s",
    async (chain) => {
      const { choose } = machine({ tables: ["kube-proxy", "nat"], chains: [chain] });
      expect(await choose()).toEqual({ ok: true, name: "iptables", why: "iptables works" });
    },
  );
});

test("a working iptables is next", async () => {
  const { choose, calls, closed } = machine({ tables: ["nat"] });
  expect(await choose()).toEqual({ ok: true, name: "iptables", why: "iptables works" });
  expect(calls).toHaveLength(1);
  expect(closed()).toBe(1);
});

test("without netlink a working iptables will do", async () => {
  expect(await machine({ open: MISSING }).choose()).toEqual({
    ok: true,
    name: "iptables",
    why: "iptables works",
  });
});

test("nf_tables is next, with the fault of iptables as the reason", async () => {
  expect(await machine({ iptables: false }).choose()).toMatchInlineSnapshot(`
    {
      "name": "nftables",
      "ok": true,
      "why": "nf_tables works, but not iptables: error listing POSTROUTING: cannot start iptables: ENOENT (iptables is not in PATH: install it, e.g. with "apt-get install iptables", or see --iptables-mode)",
    }
  `);
});

describe("if nothing works, it names the fault of each:", () => {
  test("the addon", async () => {
    expect(await machine({ iptables: false, open: MISSING }).choose()).toMatchInlineSnapshot(`
      {
        "lacks": [
          "iptables: error listing POSTROUTING: cannot start iptables: ENOENT (iptables is not in PATH: install it, e.g. with "apt-get install iptables", or see --iptables-mode)",
          "nftables: no netlink sockets on linux-riscv64: the addon netlink cannot be loaded (no native build). The build compiles it if there is a C compiler, and a bundle needs it as a file beside itself",
        ],
        "ok": false,
      }
    `);
  });

  test("permission", async () => {
    const read = new NftablesError({ code: "EPERM", what: "tables", why: "CAP_NET_ADMIN is missing" });
    const { choose, closed } = machine({ iptables: false, read });
    const choice = await choose();
    expect(choice.ok ? [] : choice.lacks[1]).toBe("nftables: tables: EPERM: CAP_NET_ADMIN is missing");
    expect(closed()).toBe(1);
  });
});

test("our own bug does not count as a fault of a backend", async () => {
  await expect(machine({ open: new TypeError("ours") }).choose()).rejects.toThrow(TypeError);
  const { choose, closed } = machine({ read: new TypeError("ours") });
  await expect(choose()).rejects.toThrow(TypeError);
  expect(closed()).toBe(1);
});
