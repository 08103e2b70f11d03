import { defineConfig } from "vitest/config";

/** Folders with tests that need Linux' tools, a built bundle or minutes; `test/kernel` needs root, too. */
const LONGER = ["kernel", "soak", "fuzz", "http", "image", "kubectl", "e2e"].map(
  (folder) => `test/${folder}/**/*.test.ts`,
);

export default defineConfig({
  test: {
    // A loaded machine is no reason to fail; what must be fast is measured in bench/.
    testTimeout: 30_000,
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
          // A lab is closed with its test, so files share processes, too. They wait a lot: three alone leave half of two cores idle.
          isolate: false,
          maxWorkers: 5,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
