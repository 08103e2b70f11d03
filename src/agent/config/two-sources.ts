/**
 * The configuration from two sources: the ConfigMap through the API server, and the file that the kubelet makes of it. The file
 * counts at the start and while the API server is away: rules never wait for the network that they program.
 */
import type { Cache } from "../../api/cache.ts";
import type { FollowTarget } from "../../api/config-map-requests.ts";
import type { Follower, FollowWorld } from "../../api/follow.ts";
import type { Located } from "../../api/service-account.ts";
import type { ConfigText } from "../../core/config.ts";
import type { ConfigMapFlag, ConfigMapName } from "../../core/configmap/flag.ts";
import type { Origin } from "../../core/configmap/newest.ts";
import type { HeardConfigMap } from "../../core/configmap/object.ts";
import type { Logger } from "../../log/log.ts";
import type { Clock } from "../../system/clock.ts";
import { createDifferenceWarning } from "./difference-warning.ts";
import { SourceError } from "./file.ts";
import { createFollowReport, type FollowView } from "./follow-report.ts";
import { createHeardMaps, type KnownConfigMap } from "./heard-maps.ts";
import { createNewestText } from "./newest-text.ts";

/** The state of both sources, for people and series. */
export interface SourcesView extends FollowView {
  /** Null before the first reading. */
  readonly source: Origin | null;
}

export interface TwoSources {
  /** The newest text. Throws a `SourceError` where the file counts and cannot be read. */
  readonly readConfig: () => ConfigText;
  /** Begins to follow the API server; call it when the first pass is over. */
  readonly open: (signal: AbortSignal) => void;
  readonly view: () => SourcesView;
  /** The ConfigMaps that the text which counts is from; none where that is the file or the cache. */
  readonly configMaps: () => readonly KnownConfigMap[];
}

/** How a ConfigMap is followed (api/follow.ts). */
export type Follow = (
  target: FollowTarget,
  known: string,
  world: FollowWorld,
  signal: AbortSignal,
) => Follower;

export interface TwoSourcesWorld extends Pick<Clock, "now" | "sleep"> {
  readonly flag: ConfigMapFlag;
  /** The source as people know it: `configmap kube-system/ip-masq-agent (key config)`. */
  readonly source: string;
  readonly located: Located;
  readonly configPath: string;
  readonly readFile: () => ConfigText;
  readonly cache: Cache;
  readonly loadFollow: () => Promise<Follow>;
  /** Requests a pass. */
  readonly changed: () => void;
  readonly random: () => number;
  readonly log: Pick<Logger, "info" | "warning">;
}

/** The time for an answer about a file that surprises. */
const ASK_MS = 5_000;

/** Two sources, of which none has been read yet. */
export function createTwoSources(world: TwoSourcesWorld): TwoSources {
  const { flag, located, cache, source, log, changed, random, now, sleep } = world;
  const maps = located.ok ? located.maps : [];
  const report = createFollowReport(world);
  const warnOfDifference = createDifferenceWarning(world);
  const heard = createHeardMaps(flag, maps, log);
  let followers: readonly Follower[] = [];

  const newest = createNewestText({
    ...{ cache, source, log },
    versions: (known) =>
      Object.fromEntries(
        maps.map((map, i) => [nameOf(map), followers[i]?.version() ?? known[nameOf(map)] ?? ""]),
      ),
    ask: createAsk(
      () => followers,
      () => newest.adopt() && changed(),
    ),
  });

  const hear = (index: number, { found }: HeardConfigMap): boolean => {
    const text = heard.hear(index, found);
    if (text === undefined) return false;
    const { isNew, isNews } = newest.hear(text);
    if (isNews) changed();
    return isNew;
  };

  const open = async (signal: AbortSignal) => {
    report.begin();
    if (!located.ok) return;
    const follow = await world.loadFollow();
    followers = maps.map((map, i) => {
      const target = { ...map, flag, server: located.server };
      const followWorld = {
        random,
        now,
        sleep,
        ...report.of(i),
        heard: (one: HeardConfigMap) => hear(i, one),
      };
      return follow(target, newest.known()[nameOf(map)] ?? "", followWorld, signal);
    });
  };

  return {
    readConfig() {
      const state = newest.show(tryTo(world.readFile));
      warnOfDifference(state);
      return state.current.text;
    },
    open: (signal) => void open(signal),
    view: () => ({ source: newest.state()?.current.from ?? null, ...report.view() }),
    configMaps: () => (newest.state()?.current.from === "api" ? heard.known() : []),
  };
}

/** Asks all followers, if there are any and it is not asking already, and says so where one does not answer. */
function createAsk(followers: () => readonly Follower[], unanswered: () => void): () => boolean {
  let isAsking = false;
  const ask = async () => {
    isAsking = true;
    const answers = await Promise.all(followers().map((one) => one.ask(ASK_MS)));
    isAsking = false;
    if (!answers.every(Boolean)) unanswered();
  };
  return () => {
    if (followers().length > 0 && !isAsking) void ask();
    return followers().length > 0;
  };
}

function nameOf({ namespace, name }: ConfigMapName): string {
  return `${namespace}/${name}`;
}

function tryTo(readFile: () => ConfigText): ConfigText | SourceError {
  try {
    return readFile();
  } catch (error) {
    if (error instanceof SourceError) return error;
    throw error;
  }
}
