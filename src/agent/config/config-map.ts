/** The two sources of a configuration, wired for --config-map. Loaded only with that flag. */

import { createCache } from "../../api/cache.ts";
import { locate } from "../../api/service-account.ts";
import { describeConfigMaps, parseConfigMapFlag } from "../../core/configmap/flag.ts";
import type { Logger } from "../../log/log.ts";
import { systemClock } from "../../system/clock.ts";
import { collectSoon } from "../../system/heap.ts";
import { readConfig } from "./file.ts";
import { createTwoSources, type TwoSources } from "./two-sources.ts";

interface ConfigSourcesWorld {
  /** The values of --config-map, --state-dir and --config, and whether that may be a directory. */
  readonly configMap: string;
  readonly stateDir: string;
  readonly configPath: string;
  readonly directoryAllowed: boolean;
  /** Requests a pass. */
  readonly changed: () => void;
  readonly log: Logger;
}

/** The sources, or what is wrong with the flag. */
export type ConfigSources =
  | { readonly ok: true; readonly value: TwoSources }
  | { readonly ok: false; readonly message: string };

/** Makes the sources that a command line asks for; nothing is read yet. */
export function createConfigSources(world: ConfigSourcesWorld): ConfigSources {
  const { configMap, stateDir, configPath, directoryAllowed, changed, log } = world;
  const flag = parseConfigMapFlag(configMap);
  if (!flag.ok) return flag;
  const located = locate(flag.value, process.env);
  const source = located.ok ? describeConfigMaps(flag.value, located.maps) : `--config-map=${configMap}`;
  const sources = createTwoSources({
    ...systemClock,
    ...{ flag: flag.value, source, located, configPath, changed, log },
    readFile: () => readConfig(configPath, directoryAllowed),
    cache: createCache(stateDir, source, (line) => log.warning(line)),
    // It loads TLS, which rules must not wait for.
    async loadFollow() {
      const { follow } = await import("../../api/follow.ts");
      collectSoon();
      return follow;
    },
    random: Math.random,
  });
  return { ok: true, value: sources };
}
