/** The newest of the texts that the file, the API server and the cache have; `core/configmap/newest.ts` decides. The cache is written before any rule is. */

import type { Cache, Cached } from "../../api/cache.ts";
import type { ConfigText } from "../../core/config.ts";
import {
  contentOf,
  initialNewest,
  type Newest,
  type NewestEvent,
  stepNewest,
} from "../../core/configmap/newest.ts";
import type { Logger } from "../../log/log.ts";
import { SourceError } from "./file.ts";
import { sameText } from "./holder.ts";

interface NewestTextWorld {
  readonly cache: Cache;
  /** The versions that each ConfigMap was heard at, for the cache; `known` are those of an earlier process. */
  readonly versions: (known: Cached["versions"]) => Cached["versions"];
  /** Asks the API server about a file that surprises; returns false if nobody can be asked. */
  readonly ask: () => boolean;
  readonly source: string;
  readonly log: Pick<Logger, "info">;
}

/** What the text that counts is, and what it was before. */
export interface NewestText {
  /** Takes the file, read for a pass. Throws where the file counts and could not be read. */
  readonly show: (file: ConfigText | SourceError) => Newest;
  /** Takes the API server's text. */
  readonly hear: (text: ConfigText) => NewsOfText;
  /** Lets the file count, since nobody says whether it is newer; returns whether that changes anything. */
  readonly adopt: () => boolean;
  /** Undefined before the first reading. */
  readonly state: () => Newest | undefined;
  /** The versions of an earlier process that still count. */
  readonly known: () => Cached["versions"];
}

/** Whether the text is another one, and whether that or its source has changed. */
interface NewsOfText {
  readonly isNew: boolean;
  readonly isNews: boolean;
}

export function createNewestText({ cache, versions, ask, source, log }: NewestTextWorld): NewestText {
  let state: Newest | undefined;
  /** The file, as it was last read. */
  let shown: ConfigText | undefined;
  let known: Cached["versions"] = {};

  const save = ({ current, older }: Newest) => cache.write({ ...current, older, versions: versions(known) });

  const step = (event: NewestEvent): NewsOfText => {
    const before = state;
    const next = before === undefined ? firstStep(event) : stepNewest(before, event);
    state = next.state;
    const isNew = before?.current.hash !== state.current.hash;
    if (isNew || before.older.join() !== state.older.join()) save(state);
    if (next.ask && !ask()) return adopt();
    return { isNew, isNews: isNew || before.current.text.source !== state.current.text.source };
  };

  const adopt = (): NewsOfText =>
    shown === undefined
      ? { isNew: false, isNews: false }
      : step({ kind: "unanswered", file: contentOf(shown) });

  const begin = (file: ConfigText | SourceError): Newest => {
    const cached = cache.read();
    const first = firstState(file, cached);
    if (cached !== undefined && first.current.hash === cached.hash) known = cached.versions;
    if (file instanceof SourceError) return first;
    shown = file;
    if (cached === undefined) return first;
    // An old cache must not count at the next start.
    if (first.current.from === "file") save(first);
    else log.info(`the mounted file is older than the cached ${source}, which counts`);
    return first;
  };

  const showAgain = (file: ConfigText, { current }: Newest): void => {
    if (shown !== undefined && sameText(file, shown)) return;
    const content = contentOf(file);
    // The same bytes are kept once.
    shown = content.hash === current.hash ? withBytesOf(file, current.text) : file;
    step({ kind: "file", content });
  };

  return {
    show(file) {
      if (state === undefined) state = begin(file);
      else if (!(file instanceof SourceError)) showAgain(file, state);
      else if (state.current.from === "file") throw file;
      return state;
    },
    hear: (text) => step({ kind: "api", content: contentOf(text) }),
    adopt: () => adopt().isNews,
    state: () => state,
    known: () => known,
  };
}

function firstState(file: ConfigText | SourceError, cached: Cached | undefined): Newest {
  if (!(file instanceof SourceError)) return initialNewest(contentOf(file), cached);
  if (cached === undefined) throw file;
  return initialNewest(undefined, cached);
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
