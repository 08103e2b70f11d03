/** The ConfigMaps of --config-map as the API server tells of them, and the text that they make together. */

import type { ConfigText } from "../../core/config.ts";
import {
  type ConfigMapFlag,
  type ConfigMapName,
  complainOfKeys,
  type FoundConfigMap,
  textOfConfigMaps,
} from "../../core/configmap/flag.ts";
import type { Logger } from "../../log/log.ts";

/** A ConfigMap that exists, with the identity of the object and its version. */
export type KnownConfigMap = ConfigMapName & Pick<FoundConfigMap, "uid" | "version">;

export interface HeardMaps {
  /** Takes a ConfigMap's state, by its index; undefined: it does not exist. Returns the text, once all of them were heard. */
  readonly hear: (index: number, found: FoundConfigMap | undefined) => ConfigText | undefined;
  /** Those that exist, as far as they were heard. */
  readonly known: () => readonly KnownConfigMap[];
}

/** Warns, once for each change, of a ConfigMap without the key. */
export function createHeardMaps(
  flag: ConfigMapFlag,
  maps: readonly ConfigMapName[],
  log: Pick<Logger, "warning">,
): HeardMaps {
  /** Each ConfigMap's last state; null: nothing was heard yet. */
  const heard: (FoundConfigMap | undefined | null)[] = maps.map(() => null);
  const complaints: (string | undefined)[] = [];
  return {
    hear(index, found) {
      heard[index] = found;
      const complaint = complainOfKeys(flag, maps[index] as ConfigMapName, found);
      if (complaint !== undefined && complaint !== complaints[index]) log.warning(complaint);
      complaints[index] = complaint;
      if (heard.includes(null)) return undefined;
      return textOfConfigMaps(flag, maps, heard as (FoundConfigMap | undefined)[]);
    },
    known: () =>
      maps.flatMap((map, i) => {
        const { uid, version } = heard[i] ?? {};
        return uid === undefined || version === undefined ? [] : { ...map, uid, version };
      }),
  };
}
