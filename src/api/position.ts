/** How far the cluster's state has been heard: never an older state after a newer one, unless the API server itself has gone back. */

import { type HeardConfigMap, isOlderVersion, type WatchEvent } from "../core/configmap/object.ts";
import { Refused } from "./refused.ts";

export interface Position {
  /** The version that was heard last; empty before the first. */
  readonly version: () => string;
  /** The version to list from; empty: the newest. */
  readonly listFrom: () => string;
  /** Takes a state, unless a newer one was heard; returns whether it is a change. */
  readonly take: (heard: HeardConfigMap) => boolean;
  /** Takes the answer to a list from `listFrom`. Throws a `Refused` if it is older than what was heard before. */
  readonly takeList: (heard: HeardConfigMap) => void;
  /** Takes an event of the watch that follows. Throws a `Refused` for an error. */
  readonly takeEvent: (event: WatchEvent) => void;
  /** The API server has refused a list or a watch with this status. */
  readonly refused: (status: number) => void;
}

/** Begins at a version that an earlier process has heard; empty: none. */
export function createPosition(known: string, heard: (heard: HeardConfigMap) => boolean): Position {
  let version = known;
  /** Whether only the newest state will do: `version` is too old, or of a future that a restored backup has undone. */
  let fromScratch = false;
  /** The version before the last list was requested. */
  let before = known;

  const take = (state: HeardConfigMap): boolean => {
    if (isOlderVersion(state.version, version)) return false;
    version = state.version;
    return heard(state);
  };
  return {
    version: () => version,
    listFrom() {
      before = version;
      return fromScratch ? "" : version;
    },
    take,
    takeList(state) {
      if (fromScratch && version === before) version = "";
      else if (isOlderVersion(state.version, before))
        throw new Refused(504, `version ${state.version} is older than ${before}, which was heard before`);
      fromScratch = false;
      take(state);
    },
    takeEvent(event) {
      if (event.kind === "error") throw new Refused(event.status, `${event.status} ${event.message}`);
      if (event.kind === "state") take(event.heard);
      else if (!isOlderVersion(event.version, version)) version = event.version;
    },
    refused(status) {
      if (status === 410 || status === 504) fromScratch = true;
    },
  };
}
