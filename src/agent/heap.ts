/** How much memory the agent may take for speed that it does not need. */
import { setFlagsFromString } from "node:v8";

/**
 * Keeps V8's young generation at its first size. It grows to 16 MiB semi-spaces under load (more on Node 24) and
 * stays there: reading a list of 100,000 CIDRs peaked at 131 instead of 107 MB, for a tenth less time. Works after
 * start, since the flag is read whenever the young generation might grow (v8/src/heap/heap.cc).
 */
export function keepHeapSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}
