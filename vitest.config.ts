import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    // Real-kernel tests share two cores with each other; the pure ones take milliseconds.
    maxWorkers: 2,
    reporters: ["default"],
  },
});
