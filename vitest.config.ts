import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    // Real-kernel tests share two cores with each other; the pure ones take milliseconds.
    maxWorkers: 2,
    // A loaded machine is no reason to fail; what must be fast is measured in bench/.
    testTimeout: 30_000,
    reporters: ["default"],
  },
});
