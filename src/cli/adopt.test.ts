import { expect, test } from "vitest";
import { adoptFlags } from "./adopt.ts";

const TABLE = { "masq-chain": undefined as never, "http-address": undefined as never };
const DEFAULTS = { "masq-chain": "IP-MASQ-AGENT", "http-address": "127.0.0.1:10279" };

/** What is taken over from agents with these command lines, in a proc that has nothing of them. */
function adopted(agents: readonly (readonly string[])[], given: Partial<typeof DEFAULTS> = {}) {
  const processes = { value: { kubelets: [], agents: agents.map((args, pid) => ({ pid, args })) } };
  const input = { values: { ...DEFAULTS, ...given }, given: new Set(Object.keys(given)) };
  return adoptFlags(input, TABLE, processes, "/nonexistent");
}

test("the first agent whose flags are good is taken, whoever else has its name", () => {
  const agents = [["--bogus"], ["--masq-chain=A"], ["--masq-chain=B"]];
  expect(adopted(agents)).toEqual({ pid: 1, values: { ...DEFAULTS, "masq-chain": "A" } });
  expect(adopted([["--bogus"]])).toEqual({ pid: undefined, values: DEFAULTS });
});

test("what is given says which agent is meant", () => {
  const agents = [
    ["--masq-chain=A", "--http-address=:1"],
    ["--masq-chain=B", "--http-address=:2"],
  ];
  expect(adopted(agents, { "masq-chain": "B" })).toEqual({
    pid: 1,
    values: { "masq-chain": "B", "http-address": ":2" },
  });
  expect(adopted(agents, { "masq-chain": "C" }).pid).toBeUndefined();
});

test("a relative path is one from the agent's own directory", () => {
  const processes = { value: { kubelets: [], agents: [{ pid: 7, args: ["--config=c.yaml"] }] } };
  const input = { values: { config: "/etc/config/ip-masq-agent" }, given: new Set<string>() };
  const { values } = adoptFlags(input, { config: undefined as never }, processes);
  expect(values).toEqual({ config: "/proc/7/cwd/c.yaml" });
});
