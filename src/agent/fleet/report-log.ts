/** Reports about reports, for operators: a line when the cause of a failure is new, one when it is over, and the series. */

import type { Failures, SessionEnd } from "../../api/pause.ts";
import { createReasons } from "../../api/reasons.ts";
import type { Logger } from "../../log/log.ts";
import { printableLine } from "../../text/printable.ts";

/** The writes so far, by result. */
export type ReportCounts = Readonly<Record<"written" | "refused" | "failed", number>>;

export interface ReportLog {
  /** The part that is about one object. */
  readonly of: (object: string) => {
    readonly failed: (end: Exclude<SessionEnd, { kind: "ended" }>, failures: Failures) => void;
    readonly succeeded: () => void;
  };
  readonly counts: () => ReportCounts;
}

const ADVICE: Readonly<Record<number, string>> = {
  401: "; is the token of this cluster?",
  403: "; it needs a Role with create and patch on leases, and create on events, as in deploy/kustomize/components/lease-report",
  422: "; is it refused by a policy?",
};

export function createReportLog(log: Pick<Logger, "info" | "warning">): ReportLog {
  const counts = { written: 0, refused: 0, failed: 0 };
  return {
    counts: () => counts,
    of(object) {
      const reasons = createReasons();
      let isNews = true;
      return {
        failed(end, { count }) {
          counts[end.kind === "refused" ? "refused" : "failed"]++;
          const advice = (end.kind === "refused" && ADVICE[end.status]) || "";
          const why = printableLine(`${end.message}${advice}`);
          if (!reasons.isNews(why, count)) return;
          isNews = true;
          log.warning(`cannot report to ${object}: ${why}; retrying, rules do not wait for it`);
        },
        succeeded() {
          counts.written++;
          reasons.clear();
          if (isNews) log.info(`reporting to ${object}`);
          isNews = false;
        },
      };
    },
  };
}
