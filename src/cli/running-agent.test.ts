import { describe, expect, test } from "vitest";
import type { Processes, SeenAgent } from "../system/processes.ts";
import { pickFlags } from "./options.ts";
import { adoptFlags, type RunningAgent } from "./running-agent.ts";

const TABLE = pickFlags("masq-chain", "http-address", "enable-ipv6", "config");
const DEFAULTS = {
  "masq-chain": "IP-MASQ-AGENT",
  "http-address": "127.0.0.1:10279",
  "enable-ipv6": false,
  config: "/etc/config/ip-masq-agent",
};

/** Agents with these command lines: ours, or the Go program's where it begins with `go`. */
function seen(...lines: readonly string[]): readonly SeenAgent[] {
  return lines.map((line, i) => {
    const [first, ...args] = line.split(" ");
    return first === "go"
      ? { pid: i + 1, args, isOurs: false }
      : { pid: i + 1, args: line.split(" ").filter(Boolean), isOurs: true };
  });
}

/** What is taken over, in a proc that has nothing of the agents. */
function adopted(
  agents: readonly SeenAgent[],
  given: Partial<typeof DEFAULTS> = {},
  hidden: readonly number[] = [],
  strangers: Processes["strangers"] = [],
) {
  const input = { values: { ...DEFAULTS, ...given }, given: new Set(Object.keys(given)) };
  const { values, agent, said } = adoptFlags(
    input,
    TABLE,
    { value: { kubelets: [], agents, strangers, hidden, clusterCidrs: [] } },
    "/nonexistent",
  );
  const changed = Object.entries(values).filter(([name, value]) => input.values[name as "config"] !== value);
  return { pid: agent?.pid, changed: Object.fromEntries(changed), said };
}

test("where no agent runs nothing is taken, and nothing said", () => {
  expect(adopted([])).toEqual({ pid: undefined, changed: {}, said: [] });
});

test("what was not given is the agent's, and that is said; what was given stays", () => {
  const agents = seen("--enable-ipv6 --masq-chain=A --v=2");
  expect(adopted(agents)).toEqual({
    pid: 1,
    changed: { "masq-chain": "A", "enable-ipv6": true },
    said: ["--masq-chain=A --enable-ipv6=true, from the agent with pid 1"],
  });
  expect(adopted(agents, { "enable-ipv6": false }).changed).toEqual({ "masq-chain": "A" });
  expect(adopted(seen("")).said).toEqual([]);
  expect(adopted(agents, DEFAULTS)).toEqual({ pid: undefined, changed: {}, said: [] });
});

describe("of several agents", () => {
  test.each<[string, readonly string[], number]>([
    ["ours is taken before the Go program", ["go --masq-chain=A", "--masq-chain=B"], 2],
    ["the first of ours", ["--masq-chain=A", "go", "--masq-chain=B"], 1],
    ["the first of the Go program's", ["go --masq-chain=A", "go"], 1],
  ])("%s, and the choice is said", (_, lines, pid) => {
    const { pid: taken, said } = adopted(seen(...lines));
    expect(taken).toBe(pid);
    expect(said.filter((line) => line.includes("agents run here"))).toHaveLength(1);
  });

  test("what is given says which one is meant", () => {
    const agents = seen("--masq-chain=A --http-address=:1", "--masq-chain=B --http-address=:2");
    expect(adopted(agents, { "masq-chain": "B" })).toEqual({
      pid: 2,
      changed: { "http-address": ":2" },
      said: ["--http-address=:2, from the agent with pid 2"],
    });
    expect(adopted(agents, { "masq-chain": "C" })).toMatchInlineSnapshot(`
      {
        "changed": {},
        "pid": undefined,
        "said": [
          "the flags of the agent with pid 1 are not used, since it has --masq-chain=A",
          "the flags of the agent with pid 2 are not used, since it has --masq-chain=B",
        ],
      }
    `);
  });

  test("that agree in what is wanted there is no choice to speak of", () => {
    expect(adopted(seen("--v=2", "--v=3")).said).toEqual([]);
  });
});

test("what cannot be taken is said, and so is which of the others is", () => {
  expect(adopted(seen("--bogus", "--masq-chain=A"))).toMatchInlineSnapshot(`
    {
      "changed": {
        "masq-chain": "A",
      },
      "pid": 2,
      "said": [
        "--masq-chain=A, from the agent with pid 2",
        "the flags of the agent with pid 1 are not used, since this version does not know them: flag provided but not defined: -bogus",
      ],
    }
  `);
  expect(adopted(seen("--bogus")).pid).toBeUndefined();
  expect(adopted([], {}, [7]).said).toMatchInlineSnapshot(`
    [
      "only root may see whether an agent runs here, as pid 7 may be: its flags are not used",
    ]
  `);
  expect(adopted([], {}, [], [{ pid: 8, uid: 65534 }]).said).toMatchInlineSnapshot(`
    [
      "not trusted, since a different user runs it under the name ip-masq-agent: pid 8 of user 65534; run this command as that user if you trust it",
    ]
  `);
  const many = Array.from({ length: 1_000 }, (_, i) => ({ pid: i + 10, uid: 65534 }));
  expect(adopted(seen("--masq-chain=A"), {}, [], many)).toMatchInlineSnapshot(`
    {
      "changed": {
        "masq-chain": "A",
      },
      "pid": 1,
      "said": [
        "--masq-chain=A, from the agent with pid 1",
        "not trusted, since a different user runs it under the name ip-masq-agent: pid 10 of user 65534 or pid 11 of user 65534 or pid 12 of user 65534 or pid 13 of user 65534 or pid 14 of user 65534 or 995 others; run this command as that user if you trust it",
      ],
    }
  `);
  const unknown = { unknown: "other processes", why: "there is no /proc" };
  const input = { values: DEFAULTS, given: new Set<string>() };
  expect(adoptFlags(input, TABLE, unknown, "/proc").said).toEqual([
    "cannot tell whether an agent runs here: there is no /proc",
  ]);
});

test("the Go program serves nothing, so no address says that it is meant", () => {
  expect(adopted(seen("go"), { "http-address": "127.0.0.1:10279" }).pid).toBeUndefined();
  expect(adopted(seen("go")).changed).toEqual({ "http-address": "" });
});

test("a relative path is one from the agent's own directory", () => {
  expect(adopted(seen("--config=c.yaml")).changed).toEqual({ config: "/nonexistent/1/cwd/c.yaml" });
});

test("flags of the command's own are not the agent's, whatever their names", () => {
  const own = { "masq-chain": { ...TABLE["masq-chain"] } };
  const agents = seen("--masq-chain=A");
  const input = { values: DEFAULTS, given: new Set<string>() };
  const { agent } = adoptFlags(
    input,
    own,
    { value: { kubelets: [], agents, strangers: [], hidden: [], clusterCidrs: [] } },
    "/proc",
  );
  expect(agent satisfies RunningAgent | undefined).toBeUndefined();
});
