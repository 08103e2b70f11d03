/** Cleaning up when the process ends: by itself, by a failure, or by a signal. */
import { constants } from "node:os";

const pending = new Set<() => void>();

/** Calls `clean` at the end of the process; returns a function that calls it earlier, once. */
export function atTheEnd(clean: () => void): () => void {
  watch();
  pending.add(clean);
  return () => {
    if (pending.delete(clean)) clean();
  };
}

let watching = false;

function watch(): void {
  if (watching) return;
  watching = true;
  process.on("exit", () => {
    for (const clean of [...pending].reverse()) clean();
  });
  // Without a handler a signal ends the process without its "exit".
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const)
    process.on(signal, () => process.exit(128 + constants.signals[signal]));
}
