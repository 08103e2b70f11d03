/** Says once that the mounted file does not become what the API server tells of. */

import type { Newest } from "../../core/configmap/newest.ts";
import type { Logger } from "../../log/log.ts";

interface DifferenceWorld {
  readonly now: () => number;
  readonly log: Pick<Logger, "warning">;
  readonly configPath: string;
  readonly source: string;
}

/** The kubelet takes up to two minutes. */
const DIFFERENCE_MS = 300_000;

/** Call the result with each state. */
export function createDifferenceWarning({
  now,
  log,
  configPath,
  source,
}: DifferenceWorld): (state: Newest) => void {
  let since: { readonly hash: string; readonly at: number } | undefined;
  let said = false;
  return ({ current, file }) => {
    if (current.from !== "api" || file === current.hash) {
      since = undefined;
      said = false;
      return;
    }
    if (since?.hash !== current.hash) since = { hash: current.hash, at: now() };
    if (said || now() - since.at < DIFFERENCE_MS) return;
    said = true;
    log.warning(
      `${configPath} has differed from ${source} for 5 minutes, and the ConfigMap counts: is a different one mounted there, or was it immutable and made again?`,
    );
  };
}
