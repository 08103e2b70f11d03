import { describe, expect, test } from "vitest";
import { rulesetOf } from "../../test/lab/config.ts";
import { iptablesPlanner } from "../iptables/plan.ts";
import type { Capabilities } from "../iptables/planner.ts";
import { withinMemory } from "../iptables/within-memory.ts";
import { describeLowLimit, readMemoryLimit } from "./memory-limit.ts";

const V2 = (root: string) => `30 23 0:26 ${root} /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n`;
const V1 = (root: string) =>
  `29 23 0:25 ${root} /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n31 23 0:27 ${root} /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n`;
const POD = "/kubepods/burstable/pod1/c1";
const NONE = "9223372036854771712\n";

type Files = Readonly<Record<string, string>>;

test.each<[string, Files, string | undefined]>([
  ["nothing to read", {}, undefined],
  [
    "version 2, in a namespace of its own",
    {
      "/proc/self/cgroup": "0::/\n",
      "/proc/self/mountinfo": V2("/"),
      "/sys/fs/cgroup/memory.max": "33554432\n",
    },
    "32 MiB (/sys/fs/cgroup/memory.max)",
  ],
  [
    "version 2, no limit",
    { "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": V2("/"), "/sys/fs/cgroup/memory.max": "max\n" },
    undefined,
  ],
  [
    "version 2, enough",
    {
      "/proc/self/cgroup": "0::/\n",
      "/proc/self/mountinfo": V2("/"),
      "/sys/fs/cgroup/memory.max": "100663296\n",
    },
    undefined,
  ],
  [
    "version 2, one byte too little",
    {
      "/proc/self/cgroup": "0::/\n",
      "/proc/self/mountinfo": V2("/"),
      "/sys/fs/cgroup/memory.max": "100663295\n",
    },
    "95 MiB",
  ],
  [
    "version 2, the limit of one around it",
    {
      "/proc/self/cgroup": `0::${POD}\n`,
      "/proc/self/mountinfo": V2("/"),
      [`/sys/fs/cgroup${POD}/memory.max`]: "max\n",
      "/sys/fs/cgroup/kubepods/burstable/pod1/memory.max": "67108864\n",
      "/sys/fs/cgroup/kubepods/memory.max": "1073741824\n",
    },
    "64 MiB (/sys/fs/cgroup/kubepods/burstable/pod1/memory.max)",
  ],
  [
    "version 1, a container's part of the tree",
    {
      "/proc/self/cgroup": `5:cpu,cpuacct:${POD}\n4:memory:${POD}\n0::/\n`,
      "/proc/self/mountinfo": V1(POD),
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "33554432\n",
    },
    "32 MiB (/sys/fs/cgroup/memory/memory.limit_in_bytes)",
  ],
  [
    "version 1, no limit",
    {
      "/proc/self/cgroup": "4:memory:/\n",
      "/proc/self/mountinfo": V1("/"),
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": NONE,
    },
    undefined,
  ],
  [
    "both, version 1 with the limit",
    {
      "/proc/self/cgroup": "4:memory:/a\n0::/b\n",
      "/proc/self/mountinfo": V1("/") + V2("/"),
      "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "50331648\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": NONE,
      "/sys/fs/cgroup/b/memory.max": "max\n",
    },
    "48 MiB",
  ],
  [
    "a group outside of what is mounted",
    {
      "/proc/self/cgroup": "0::/../other\n",
      "/proc/self/mountinfo": V2("/"),
      "/sys/fs/cgroup/memory.max": "33554432\n",
    },
    "32 MiB (/sys/fs/cgroup/memory.max)",
  ],
  [
    "what is no number",
    { "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": V2("/"), "/sys/fs/cgroup/memory.max": "-1\n" },
    undefined,
  ],
  [
    "files of another shape",
    { "/proc/self/cgroup": "nonsense", "/proc/self/mountinfo": "1 2 3\n\n - cgroup2", "/memory.max": "1" },
    undefined,
  ],
])("%s", (_name, files, expected) => {
  const said = describeLowLimit(readMemoryLimit((path) => files[path]));
  if (expected === undefined) expect(said).toBeUndefined();
  else expect(said).toContain(`the memory limit is ${expected}`);
});

describe("a chain", () => {
  const list = (count: number) =>
    rulesetOf(
      "IPv4",
      `cidrLimit: 100000\nnonMasqueradeCIDRs: [${Array.from({ length: count }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`).join()}]`,
    );
  const none = { rules: undefined, jump: false };
  const tools = { version: "1.8.9", wait: [], restoreWait: [], check: true, randomFully: true };
  const planned = (count: number, mib: number | undefined, more: object = {}, threshold = 0) => {
    const limit = mib === undefined ? undefined : { bytes: mib * 1024 * 1024, path: "/memory.max" };
    const capabilities: Capabilities = { ...tools, variant: "nf_tables", ...more };
    return withinMemory(iptablesPlanner("nft", threshold), limit).plan(list(count), capabilities, none);
  };

  test("that would not fit is refused, and nothing done", () => {
    const { steps, drift, refusal } = planned(10_000, 128);
    expect([steps, drift]).toEqual([[], []]);
    expect(refusal).toMatchInlineSnapshot(
      `"10001 CIDRs as a chain may take 136 MiB of memory, and the limit is 128 MiB (/memory.max): use a set (--ipset-threshold, with ipset), use --backend=nftables, or raise resources.limits.memory"`,
    );
  });

  test.each([
    ["fits", planned(7_000, 128)],
    ["has no limit", planned(20_000, undefined)],
    ["is a set", planned(20_000, 128, { ipset: true }, 64)],
    ["is of legacy tools, which take less", planned(20_000, 128, { variant: "legacy" })],
    ["has the manifest's limit and a ConfigMap's longest list", planned(50_000, 384)],
  ])("that %s is not", (_why, { steps, refusal }) => {
    expect(refusal).toBeUndefined();
    expect(steps.length).toBeGreaterThan(0);
  });
});

test("of this process nothing is thrown, whatever its cgroup", () => {
  expect(() => readMemoryLimit()).not.toThrow();
});
