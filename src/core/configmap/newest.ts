/**
 * Which of two sources of a configuration is newer: the API server's answers, or the mounted file, which the kubelet brings a
 * minute later and without a version. Times do not order them (a kubelet with a cache may write an old text after the API server
 * has told of a new one). Contents do, with a memory of those that are known to be old.
 */
import type { ConfigFile, ConfigText } from "../config.ts";
import { digest } from "../digest.ts";

/** Where the current text comes from: the API server, the mounted file, or the cache of an earlier process. */
export const ORIGINS = ["api", "file", "cache"] as const;
export type Origin = (typeof ORIGINS)[number];

/** A text, and the digest of its content: of two sources that agree, the digests are the same. */
export interface Content {
  readonly text: ConfigText;
  readonly hash: string;
}

/** The text that counts, and what is known to be older. */
export interface Newest {
  readonly current: Content & { readonly from: Origin };
  /** The digests that the file may still show although something newer is known, the oldest first. */
  readonly older: readonly string[];
  /** The digest of the file, as it was last read; undefined if it could not be read. */
  readonly file: string | undefined;
}

/** The memory of an earlier process. */
export interface Remembered extends Content {
  readonly older: readonly string[];
}

/**
 * - `api`: the API server says what there is now.
 * - `file`: the file has changed.
 * - `unanswered`: the API server was asked about the file, and did not answer.
 */
export type NewestEvent =
  | { readonly kind: "api"; readonly content: Content }
  | { readonly kind: "file"; readonly content: Content }
  | { readonly kind: "unanswered"; readonly file: Content };

/** The next state, and whether to ask the API server before the file counts. */
export interface NewestStep {
  readonly state: Newest;
  readonly ask: boolean;
}

/** More edits than a kubelet misses; it bounds the memory where the file shows another ConfigMap by mistake. */
const REMEMBERED_AT_MOST = 1_000;

/** The state at the start. Without a file that can be read, the cache has to do. */
export function initialNewest(file: Content, cache?: Remembered): Newest;
export function initialNewest(file: undefined, cache: Remembered): Newest;
export function initialNewest(file: Content | undefined, cache?: Remembered): Newest {
  if (cache !== undefined && (file === undefined || cache.older.includes(file.hash)))
    return { current: { ...cache, from: "cache" }, older: cache.older, file: file?.hash };
  return byFile(file as Content);
}

/** The state after an event. */
export function stepNewest(state: Newest, event: NewestEvent): NewestStep {
  if (event.kind === "api") return { state: told(state, event.content), ask: false };
  if (event.kind === "file") return shown(state, event.content);
  const { hash } = event.file;
  // Meanwhile the API server may have told more, or the file may have changed.
  if (hash === state.current.hash || state.older.includes(hash)) return { state, ask: false };
  return { state: byFile(event.file), ask: false };
}

/** The kubelet does not go back by itself: what the file shows after this is newer, also an old text after a rollback. */
function byFile(file: Content): Newest {
  return { current: { ...file, from: "file" }, older: [], file: file.hash };
}

function told({ current, older, file }: Newest, { text, hash }: Content): Newest {
  // The same content keeps its bytes and places, so that nobody decodes it again.
  const { source } = text;
  const kept = hash === current.hash ? { ...current.text, ...(source !== undefined && { source }) } : text;
  const known = file === undefined ? [current.hash] : [current.hash, file];
  return {
    current: { text: kept, hash, from: "api" },
    older: file === hash ? [] : withOlder(older, known, hash),
    file,
  };
}

function shown(state: Newest, { hash }: Content): NewestStep {
  const seen = { ...state, file: hash };
  // It has caught up: a text that comes back from now on is news, as after a rollback.
  if (hash === state.current.hash) return { state: { ...seen, older: [] }, ask: false };
  return { state: seen, ask: !state.older.includes(hash) };
}

function withOlder(older: readonly string[], more: readonly string[], newest: string): readonly string[] {
  const all = [...new Set([...older, ...more])].filter((hash) => hash !== newest);
  return all.slice(-REMEMBERED_AT_MOST);
}

/** A content's digest: of the bytes, and in a directory of the files' names. */
export function contentOf(text: ConfigText): Content {
  const names = ({ path }: ConfigFile) => new TextEncoder().encode(nameOf(path));
  const parts = text.files.flatMap((file) =>
    text.kind === "directory" ? [names(file), file.bytes] : file.bytes,
  );
  const kind = new TextEncoder().encode(`${text.kind} ${text.files.length}`);
  return { text, hash: digest(kind, ...parts) };
}

/** The file's name, or the key of `configmap NAMESPACE/NAME (key KEY)`. */
function nameOf(path: string): string {
  return /\(key ([^)]*)\)$/.exec(path)?.[1] ?? path.slice(path.lastIndexOf("/") + 1);
}
