import { expect, test } from "vitest";
import type { Fact } from "../system/fact.ts";
import type { Holder, HoldingProcess } from "./holders.ts";
import { lookForAgent } from "./others.ts";

const AGENT: HoldingProcess = { pid: 4711, words: ["ip-masq-agent", "--v=2"], isAgent: true };
const STRANGER: HoldingProcess = { pid: 4712, words: ["socat", "-"], isAgent: false };

type Scene = Fact<readonly Holder[]>;

function held(...processes: readonly (HoldingProcess | undefined)[]): Scene {
  return {
    value: processes.map((process) => ({ kind: "held", token: "X", inode: 1, process, isTrusted: true })),
  };
}

/** The same, held by a user who cannot run an agent. */
function squatted(...processes: readonly (HoldingProcess | undefined)[]): Scene {
  return {
    value: processes.map((process) => ({
      ...({ kind: "held", token: "X", inode: 1 } as const),
      ...{ process, uid: 1000, isTrusted: false },
    })),
  };
}

/** What is found if this is seen, look by look, the last for ever; and how long that took. */
async function found(scenes: readonly Scene[], waitMs = 10_000) {
  let at = 0;
  const clock = {
    now: () => at,
    async sleep(ms: number) {
      at += ms;
    },
  };
  let looks = 0;
  const look = async () => scenes[Math.min(looks++, scenes.length - 1)] as Scene;
  return { ...(await lookForAgent(look, clock, waitMs, new AbortController().signal)), at };
}

const SEEN = "an agent runs on this node: pid 4711 (ip-masq-agent --v=2)";
const HIDDEN =
  "an agent seems to run on this node: a process that is not visible from here holds the socket of chain X";
const NO_AGENT = "pid 4712 (socat -) holds the socket of chain X, and is not an agent: ignored";

test.for<[string, readonly Scene[], object]>([
  ["nothing is held", [held()], { agent: undefined, warnings: [], at: 0 }],
  ["an agent is seen", [held(AGENT)], { agent: SEEN, warnings: [], at: 0 }],
  ["somebody else has the name", [held(STRANGER)], { agent: undefined, warnings: [NO_AGENT], at: 0 }],
  ["an agent beside somebody else", [held(STRANGER, AGENT)], { agent: SEEN, warnings: [], at: 0 }],
  ["nobody is seen, and nothing changes", [held(undefined)], { agent: HIDDEN, warnings: [], at: 10_000 }],
  ["one that is not seen ends", [held(undefined), held()], { agent: undefined, warnings: [], at: 200 }],
  ["an agent takes the place", [held(undefined), held(), held(AGENT)], { agent: undefined, at: 200 }],
  ["an agent waits for it", [held(undefined), held(AGENT)], { agent: SEEN, at: 200 }],
  ["somebody else takes it", [held(undefined), held(STRANGER)], { agent: undefined, warnings: [NO_AGENT] }],
  [
    "a user who cannot run an agent calls itself one",
    [squatted(AGENT)],
    {
      agent: undefined,
      warnings: [
        "pid 4711 (ip-masq-agent --v=2), of user 1000, holds the socket of chain X, and cannot be an agent: ignored",
      ],
      at: 0,
    },
  ],
  [
    "such a user is not seen",
    [squatted(undefined)],
    {
      agent: undefined,
      warnings: [
        "a process that is not visible from here, of user 1000, holds the socket of chain X, and cannot be an agent: ignored",
      ],
      at: 0,
    },
  ],
  [
    "it cannot be looked",
    [{ unknown: "whether another agent runs", why: "EACCES" }],
    { agent: undefined, warnings: ["cannot tell whether another agent runs: EACCES"] },
  ],
])("%s", async ([, scenes, expected]) => {
  expect({ agent: undefined, ...(await found(scenes)) }).toMatchObject(expected);
});

test("who may not wait has the answer at once", async () => {
  expect(await found([held(undefined), held()], 0)).toMatchObject({ agent: HIDDEN, at: 0 });
});

test("the end of the command ends the waiting", async () => {
  const controller = new AbortController();
  const sleep = async () => controller.abort(new Error("ended"));
  const looking = lookForAgent(async () => held(undefined), { now: () => 0, sleep }, 1, controller.signal);
  await expect(looking).rejects.toThrow("ended");
});
