/** Reports the sessions with the API server to operators: a line when the cause of a failure is new, and the series. */

import type { FollowWorld } from "../../api/follow.ts";
import type { SessionEnd } from "../../api/pause.ts";
import { createReasons } from "../../api/reasons.ts";
import type { Located } from "../../api/service-account.ts";
import { nameOfConfigMap } from "../../core/configmap/flag.ts";
import type { Logger } from "../../log/log.ts";
import { printableLine } from "../../text/printable.ts";

/** The state of the sessions. */
export interface FollowView {
  /** Whether all ConfigMaps are watched now. */
  readonly up: boolean;
  /** Why they are not, if that is known. */
  readonly why: string | null;
  /** The number of sessions that have ended, by result. */
  readonly sessions: Readonly<Record<SessionEnd["kind"], number>>;
}

export interface FollowReport {
  /** The part of a follower's world that is about the ConfigMap of this index. */
  readonly of: (index: number) => Pick<FollowWorld, "watching" | "ended">;
  readonly begin: () => void;
  readonly view: () => FollowView;
}

interface FollowReportWorld {
  readonly source: string;
  readonly configPath: string;
  readonly located: Located;
  readonly log: Pick<Logger, "info" | "warning">;
}

const ADVICE: Readonly<Record<number, string>> = {
  401: "; is the token of this cluster?",
  403: "; it needs a Role with list and watch on this name, as in deploy/kustomize/components/api-watch",
};

export function createFollowReport({ source, configPath, located, log }: FollowReportWorld): FollowReport {
  const maps = located.ok ? located.maps : [];
  const isWatched = maps.map(() => false);
  const sessions = { ended: 0, dropped: 0, refused: 0, failed: 0 };
  const reasons = createReasons();
  let why = located.ok ? null : located.why;
  let isNews = true;
  const isUp = () => maps.length > 0 && isWatched.every(Boolean);
  return {
    begin() {
      if (!located.ok) log.warning(`cannot follow --config-map: ${located.why}; only ${configPath} counts`);
    },
    of: (index) => ({
      watching() {
        isWatched[index] = true;
        if (!isUp()) return;
        why = null;
        if (isNews && located.ok) log.info(`following ${source} through ${serverOf(located)}`);
        isNews = false;
      },
      ended(end, { count }) {
        sessions[end.kind]++;
        if (end.kind === "ended") {
          reasons.clear();
          return;
        }
        isWatched[index] = false;
        const advice = (end.kind === "refused" && ADVICE[end.status]) || "";
        const name = nameOfConfigMap(maps[index] as (typeof maps)[number]);
        why = printableLine(`${name}: ${end.message}${advice}`);
        if (!reasons.isNews(why, count)) return;
        isNews = true;
        log.warning(
          `cannot follow ${why}; retrying, and until then the last text counts, or ${configPath} where that is newer`,
        );
      },
    }),
    view: () => ({ up: isUp(), why, sessions }),
  };
}

function serverOf({ server: { host, port } }: Extract<Located, { ok: true }>): string {
  return `the API server at ${host.includes(":") ? `[${host}]` : host}:${port}`;
}
