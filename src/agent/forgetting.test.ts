import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { recordedLog } from "../../test/lab/log.ts";
import { packAddress } from "../conntrack/address.ts";
import type { Delete } from "../conntrack/conntrack.ts";
import type { Flow } from "../conntrack/flow.ts";
import { parseAddress } from "../core/cidr.ts";
import { NftablesError } from "../netlink/errors.ts";
import { createForgetting } from "./forgetting.ts";
import type { PassOutcome } from "./reconcile.ts";

const packed = (text: string) => packAddress(text) ?? "";
const valued = (text: string) => parseAddress(text)?.value ?? 0n;

interface Words {
  readonly source?: string;
  readonly remote?: string;
  readonly node?: string;
  readonly status?: number;
  readonly protocol?: number;
}

function flow({
  source = "10.244.1.2",
  remote = "8.8.8.8",
  node = source,
  status = 0x8,
  protocol = 17,
}: Words): Flow {
  const ports = { protocol, sourcePort: 5_060, destinationPort: 5_060 };
  return {
    original: { ...ports, source: packed(source), destination: packed(remote) },
    reply: { ...ports, source: packed(remote), destination: packed(node) },
    ...{ status, state: 0, secondsLeft: 30 },
  };
}

const TEXT = "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeSourceCIDRs: [10.244.0.0/16]";
const NODE = "192.0.2.1";

/** An agent's forgetting, with a table of connections and a clock that only sleeps move. */
function subject({ isUnanswered = true, atOnce = Number.POSITIVE_INFINITY } = {}) {
  const { log, taken } = recordedLog();
  const controller = new AbortController();
  const state = {
    table: [] as Flow[],
    own: [NODE, "10.244.1.1"],
    gone: [] as string[],
    at: 0,
    /** When the table was read. */
    looks: [] as number[],
    failure: undefined as Error | undefined,
    work: [] as Promise<void>[],
    forgotten: [] as bigint[],
    /** Happens while the agent sleeps. */
    asleep: () => {},
  };
  const remove: Delete = async (_condition, isChosen, { most }) => {
    if (state.failure !== undefined) throw state.failure;
    state.looks.push(state.at);
    const chosen = state.table.filter(isChosen);
    const some = chosen.slice(0, Math.min(most, atOnce));
    state.table = state.table.filter((one) => !some.includes(one));
    return { counts: { IPv4: some.length, IPv6: 0 }, isWhole: some.length === chosen.length };
  };
  const forgetting = createForgetting(
    {
      now: () => state.at,
      async sleep(ms) {
        state.at += ms;
        const { asleep } = state;
        if (ms > 0) state.asleep = () => {};
        if (ms > 0) asleep();
      },
      goesOn: (end) => void state.work.push(end),
      isUnanswered,
      addresses: {
        gone: (family) =>
          family === "IPv4" ? state.gone.map(valued).filter((one) => !state.forgotten.includes(one)) : [],
        forgotten: (_family, addresses) => void state.forgotten.push(...addresses),
      },
      readAddresses: async () => ({
        all: { IPv4: new Set(state.own.map(valued)), IPv6: new Set() },
        usable: { IPv4: new Map(), IPv6: new Map() },
        isWhole: true,
      }),
      open: () => remove,
      log,
    },
    controller.signal,
  );
  const pass = (changed: boolean, inForce = true) =>
    forgetting.after({
      groups: [{ label: "IPv4", rulesets: [rulesetOf("IPv4", TEXT)], inForce, changed }],
      leaving: [],
    } as unknown as PassOutcome);
  const over = async () => {
    for (let i = 0; i < state.work.length; i++) await state.work[i];
    return taken();
  };
  return { state, pass, over, forgetting, controller };
}

describe("flows without an answer", () => {
  test("are forgotten after a pass that wrote rules, and once more a second later", async () => {
    const { state, pass, over, forgetting } = subject();
    const answered = flow({ status: 0xa });
    state.table = [flow({}), flow({ remote: "9.9.9.9" }), answered];
    // A packet that had passed before the rules is entered after the look.
    state.asleep = () => state.table.push(flow({}));
    pass(true);
    expect(await over()).toEqual([
      "I IPv4: forgot 2 flows without an answer, which had left as their pods",
      "I IPv4: forgot 1 flow without an answer, which had left as their pods",
    ]);
    expect(state.table).toEqual([answered]);
    expect(state.looks).toEqual([0, 1_000]);
    expect(forgetting.totals()).toContainEqual({ family: "IPv4", why: "unanswered", count: 3 });
  });

  test.each([
    ["the node's own", flow({ source: NODE })],
    ["loopback's", flow({ source: "127.0.0.1" })],
    ["of a source that is not ours", flow({ source: "172.17.0.2" })],
    ["to a destination that keeps the pod's address", flow({ remote: "10.1.1.1" })],
    ["to the node", flow({ remote: NODE })],
    ["TCP", flow({ protocol: 6 })],
    ["translated by others", flow({ status: 0x28 })],
  ])("stay: %s", async (_what, one) => {
    const { state, pass, over } = subject();
    state.table = [one];
    pass(true);
    expect(await over()).toEqual([]);
    expect(state.table).toEqual([one]);
  });

  test.each([
    ["a pass that wrote nothing", { isUnanswered: true }, false, true],
    ["rules that are not in force", { isUnanswered: true }, true, false],
    ["--forget=none", { isUnanswered: false }, true, true],
  ])("are not looked for after %s", async (_what, options, changed, inForce) => {
    const { state, pass, over } = subject(options);
    state.table = [flow({})];
    pass(changed, inForce);
    expect([await over(), state.looks]).toEqual([[], []]);
  });

  test("are looked for once a second, however often rules are written", async () => {
    const { state, pass, over } = subject();
    for (let i = 0; i < 50; i++) pass(true);
    let more = 3;
    const again = () => {
      pass(true);
      state.asleep = more-- > 0 ? again : () => {};
    };
    state.asleep = again;
    await over();
    const times = state.looks;
    expect(times).toEqual(times.map((_, i) => i * 1_000));
    // The last write came before the fifth: that one, and one more.
    expect(times.length).toBe(6);
  });

  test("are deleted bit by bit where there are many", async () => {
    const { state, pass, over } = subject({ atOnce: 2 });
    state.table = Array.from({ length: 5 }, () => flow({}));
    pass(true);
    await over();
    expect(state.table).toEqual([]);
  });

  test("stay where the kernel refuses, which is said once", async () => {
    const { state, pass, over } = subject();
    state.failure = new NftablesError({ code: "EINVAL", what: "connection tracking", why: "no module" });
    pass(true);
    pass(true);
    expect(await over()).toEqual(["W cannot forget flows: connection tracking: EINVAL: no module"]);
    pass(true);
    expect(await over()).toEqual([]);
    state.failure = undefined;
    state.table = [flow({})];
    pass(true);
    expect(await over()).toHaveLength(1);
  });
});

describe("flows that leave as an address that is gone", () => {
  const GONE = "192.0.2.10";
  const dead = { node: GONE, status: 0x1e, protocol: 6 };

  test("are forgotten once rules without it are in force, whatever the flag", async () => {
    const { state, pass, over, forgetting } = subject({ isUnanswered: false });
    const others = [
      flow({ ...dead, source: NODE }),
      flow({ ...dead, source: "172.17.0.2" }),
      flow({ ...dead, node: NODE }),
    ];
    state.table = [flow(dead), flow({ ...dead, protocol: 132 }), ...others];
    state.gone = [GONE];
    pass(true, false);
    expect(await over()).toEqual([]);
    pass(true);
    // Passes follow each other faster than a second: one task does.
    pass(false);
    expect(await over()).toEqual([
      "I IPv4: forgot 2 flows that left as 192.0.2.10, which this node no longer has",
    ]);
    expect(state.table).toEqual(others);
    expect(state.forgotten).toEqual([valued(GONE)]);
    expect(state.looks).toEqual([0, 1_000]);
    expect(forgetting.totals()).toContainEqual({ family: "IPv4", why: "address", count: 2 });
  });

  test("stay if the address is back", async () => {
    const { state, pass, over } = subject();
    state.table = [flow(dead)];
    state.gone = [GONE];
    state.own = [...state.own, GONE];
    pass(false);
    expect(await over()).toEqual([]);
    expect([state.table.length, state.forgotten]).toEqual([1, []]);
  });

  test("are forgotten again when an address comes and goes within a second", async () => {
    const { state, pass, over } = subject();
    state.table = [flow(dead)];
    state.gone = [GONE];
    state.asleep = () => {
      state.gone = [];
      pass(false);
      state.table = [flow(dead)];
      state.gone = [GONE];
      pass(false);
    };
    pass(false);
    await over();
    expect(state.table).toEqual([]);
  });

  test("are sought again in the next pass where the kernel refuses", async () => {
    const { state, pass, over } = subject();
    state.table = [flow(dead)];
    state.gone = [GONE];
    state.failure = new NftablesError({ code: "EBUSY", what: "connection tracking", why: "busy" });
    pass(false);
    expect(await over()).toHaveLength(1);
    state.failure = undefined;
    pass(false);
    await over();
    expect(state.table).toEqual([]);
  });
});
