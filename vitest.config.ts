import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// With it each Node reads all certificates when it starts, which takes 30 ms of the 50 that it needs. No test does.
delete process.env.NODE_EXTRA_CA_CERTS;
// No test is a pod, even where CI is one, and bash complains of a locale that is not installed.
for (const name of ["KUBERNETES_SERVICE_HOST", "container"]) delete process.env[name];
process.env.LC_ALL = "C";

/** Folders with tests that need Linux' tools, a built bundle or minutes; `test/kernel` needs root, too. */
const LONGER = ["kernel", "soak", "fuzz", "http", "image", "kubectl", "package", "e2e"].map(
  (folder) => `test/${folder}/**/*.test.ts`,
);

/** Small files that take long. Without the times of an earlier run Vitest begins with the largest, and these would end alone. */
const LONG = [
  "soak/iptables",
  "soak/nftables",
  "kubectl/plugin",
  "monitoring/dashboard",
  "monitoring/faults",
  "agent/hanging-tool",
  "explain/kube-proxy",
  "doctor/forward",
  "cli/adopt",
  "diff/diff",
  "iptables/long-chain",
  "system/seccomp",
];

/** Vitest takes a class. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLong = ({ moduleId }: TestSpecification) =>
      LONG.some((name) => moduleId.endsWith(`/${name}.test.ts`));
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongFirst },
    // Only for what hangs: a loaded machine is no reason to fail, and what must be fast is measured in bench/. Longer than the
    // patience of the lab's `eventually`, which says what it has waited for.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    reporters: ["default"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["src/**/*.test.ts", "test/**/*.test.ts"],
          exclude: LONGER,
          // Pure functions leave nothing behind for the next file: a new thread for each would cost more than most tests do.
          pool: "threads",
          isolate: false,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "kernel",
          include: LONGER,
          globalSetup: "test/lab/network/commands.ts",
          // A lab is closed with its test, so files share processes, too. They wait a lot: three alone leave half of two cores idle.
          isolate: false,
          maxWorkers: 7,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
