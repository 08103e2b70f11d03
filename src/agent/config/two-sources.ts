/**
 * The configuration from two sources: the ConfigMap through the API server, and the file that the kubelet makes of it. The file
 * counts at the start and while the API server is away: rules never wait for the network that they program. `core/newest.ts` says
 * which of both is newer.
 */
import type { Cache, Cached } from "../../api/cache.ts";
import type { Follower, FollowTarget, FollowWorld } from "../../api/follow.ts";
import type { Located } from "../../api/service-account.ts";
import type { ConfigText } from "../../core/config.ts";
import {
  type ConfigMapFlag,
  type ConfigMapName,
  complainOfKeys,
  type FoundConfigMap,
  textOfConfigMaps,
} from "../../core/configmap/flag.ts";
import {
  contentOf,
  initialNewest,
  type Newest,
  type NewestEvent,
  type Origin,
  stepNewest,
} from "../../core/configmap/newest.ts";
import type { HeardConfigMap } from "../../core/configmap/object.ts";
import type { Logger } from "../../log/log.ts";
import type { Clock } from "../../system/clock.ts";
import { SourceError } from "./file.ts";
import { createFollowReport, type FollowView } from "./follow-report.ts";
import { sameText } from "./holder.ts";

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
  const { flag, located, cache, log } = world;
  const maps = located.ok ? located.maps : [];
  const report = createFollowReport(world);
  const warnOfDifference = createDifferenceWarning(world);
  let state: Newest | undefined;
  /** The file, as it was last read. */
  let shown: ConfigText | undefined;
  /** The version that an earlier process has heard each ConfigMap at. */
  let known: Cached["versions"] = {};
  let followers: readonly Follower[] = [];
  let isAsking = false;
  /** Each ConfigMap's last state; null: nothing was heard yet. */
  const heard: (FoundConfigMap | undefined | null)[] = maps.map(() => null);
  const complaints: (string | undefined)[] = [];

  const save = ({ current, older }: Newest) => {
    const names = maps.map((map, i) => [nameOf(map), followers[i]?.version() ?? known[nameOf(map)] ?? ""]);
    cache.write({ ...current, older, versions: Object.fromEntries(names) });
  };

  /** Takes an event; returns whether the text or its source has changed. The cache is written before any rule is. */
  const step = (event: NewestEvent): boolean => {
    const before = state;
    const next = before === undefined ? firstStep(event) : stepNewest(before, event);
    state = next.state;
    const isNew = before?.current.hash !== state.current.hash;
    if (isNew || before.older.join() !== state.older.join()) save(state);
    if (!next.ask) return isNew || before.current.text.source !== state.current.text.source;
    if (followers.length === 0) return adopt();
    void askAll();
    return false;
  };

  /** Lets the file count, since nobody says whether it is newer. */
  const adopt = () => shown !== undefined && step({ kind: "unanswered", file: contentOf(shown) });

  const askAll = async () => {
    if (isAsking) return;
    isAsking = true;
    const answers = await Promise.all(followers.map((one) => one.ask(ASK_MS)));
    isAsking = false;
    if (!answers.every(Boolean) && adopt()) world.changed();
  };

  const begin = (file: ConfigText | SourceError): Newest => {
    const cached = cache.read();
    if (file instanceof SourceError) {
      if (cached === undefined) throw file;
      known = cached.versions;
      return initialNewest(undefined, cached);
    }
    shown = file;
    const first = initialNewest(contentOf(file), cached);
    if (cached === undefined) return first;
    if (first.current.hash === cached.hash) known = cached.versions;
    // An old cache must not count at the next start.
    if (first.current.from === "file") save(first);
    else log.info(`the mounted file is older than the cached ${world.source}, which counts`);
    return first;
  };

  const readFile = (file: ConfigText): void => {
    if (state === undefined || (shown !== undefined && sameText(file, shown))) return;
    const content = contentOf(file);
    const { current } = state;
    // The same bytes are kept once.
    shown = content.hash === current.hash ? withBytesOf(file, current.text) : file;
    step({ kind: "file", content });
  };

  const hear = (index: number, { found }: HeardConfigMap): boolean => {
    heard[index] = found;
    const complaint = complainOfKeys(flag, maps[index] as ConfigMapName, found);
    if (complaint !== undefined && complaint !== complaints[index]) log.warning(complaint);
    complaints[index] = complaint;
    if (heard.includes(null)) return false;
    const text = textOfConfigMaps(flag, maps, heard as (FoundConfigMap | undefined)[]);
    const before = state?.current.hash;
    if (step({ kind: "api", content: contentOf(text) })) world.changed();
    return before !== state?.current.hash;
  };

  const open = async (signal: AbortSignal) => {
    report.begin();
    if (!located.ok) return;
    const follow = await world.loadFollow();
    followers = maps.map((map, i) => {
      const { random, now, sleep } = world;
      const followWorld = {
        random,
        now,
        sleep,
        ...report.of(i),
        heard: (one: HeardConfigMap) => hear(i, one),
      };
      return follow({ ...map, flag, server: located.server }, known[nameOf(map)] ?? "", followWorld, signal);
    });
  };

  return {
    readConfig() {
      const file = tryTo(world.readFile);
      if (state === undefined) state = begin(file);
      else if (!(file instanceof SourceError)) readFile(file);
      else if (state.current.from === "file") throw file;
      warnOfDifference(state);
      return state.current.text;
    },
    open: (signal) => void open(signal),
    view: () => ({ source: state?.current.from ?? null, ...report.view() }),
  };
}

function nameOf({ namespace, name }: ConfigMapName): string {
  return `${namespace}/${name}`;
}

/** A text with the bytes of another one that has the same content. */
function withBytesOf(text: ConfigText, { files }: ConfigText): ConfigText {
  const shared = text.files.map(({ path, bytes }, i) => ({ path, bytes: files[i]?.bytes ?? bytes }));
  return { ...text, files: shared };
}

/** The first news, where neither the file nor the cache could be read. */
function firstStep(event: NewestEvent): { readonly state: Newest; readonly ask: boolean } {
  const content = event.kind === "unanswered" ? event.file : event.content;
  const from = event.kind === "api" ? "api" : "file";
  return { state: { current: { ...content, from }, older: [], file: undefined }, ask: false };
}

function tryTo(readFile: () => ConfigText): ConfigText | SourceError {
  try {
    return readFile();
  } catch (error) {
    if (error instanceof SourceError) return error;
    throw error;
  }
}

/** The kubelet takes up to two minutes. */
const DIFFERENCE_MS = 300_000;

/** Says once that the file does not become what the API server tells of. */
function createDifferenceWarning({
  now,
  log,
  configPath,
  source,
}: Pick<TwoSourcesWorld, "now" | "log" | "configPath" | "source">): (state: Newest) => void {
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
