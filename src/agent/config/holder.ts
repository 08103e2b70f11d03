/** Holds the last good configuration, and reads it again for each pass. */

import { type ConfigText, type DecodedConfig, decodeConfig, type MasqConfig } from "../../core/config.ts";
import type { ConfigOptions } from "../../core/config-options.ts";
import { digestOf } from "../../core/digest.ts";
import { DURATION } from "../../core/key-kinds.ts";
import { PACKET_LISTS } from "../../core/keys.ts";
import type { Result } from "../../core/problem.ts";
import type { Logger } from "../../log/log.ts";
import { prepareFor } from "../../system/heap.ts";
import { oddPathHint } from "../../text/odd-path.ts";
import { counted } from "../../text/plural.ts";
import { renderAdvice } from "../../validate/hints.ts";
import { abridge, type Reporter } from "../report.ts";
import { SourceError } from "./file.ts";

/** The result of reading the configuration. */
export interface ConfigReading {
  /** The problems of the text now, 20 lines at most and a count of the rest; the last good configuration stays active. */
  readonly problems: readonly string[];
  /** Whether reading failed. */
  readonly failed: boolean;
  /** Whether the text has changed since the last reading. */
  readonly isNew: boolean;
  /** The path or paths, for people; and a digest of the text, unless reading failed. */
  readonly source: string;
  readonly hash: string | null;
}

export interface ConfigHolder {
  /** Reads again. */
  refresh(): ConfigReading;
  /** The last good configuration; undefined before the first. */
  current(): CurrentConfig | undefined;
}

/** A good configuration, its path or paths, for people, and the digest of its text. */
export interface CurrentConfig {
  readonly config: MasqConfig;
  readonly source: string;
  readonly hash: string;
}

interface HolderWorld {
  readonly readConfig: () => ConfigText;
  readonly log: Logger;
}

/** A holder that has read nothing yet. */
export function createConfigHolder(
  path: string,
  options: ConfigOptions,
  world: HolderWorld,
  report: Reporter,
): ConfigHolder {
  const { log } = world;
  let text: ConfigText | undefined;
  // The same text may come from a different source.
  let source: string | undefined;
  let hash = "";
  let decoded: Result<DecodedConfig> | undefined;
  let problemLines: readonly string[] = [];
  let current: CurrentConfig | undefined;

  // Almost every pass finds unchanged text, and does not decode it again.
  const decode = (): Result<DecodedConfig> => {
    const fresh = world.readConfig();
    source = fresh.source;
    if (decoded !== undefined && text !== undefined && sameText(text, fresh)) return decoded;
    // Drop the old bytes before decoding the new ones: a long list has megabytes.
    text = fresh;
    prepareFor(fresh.files.reduce((sum, { bytes }) => sum + bytes.length, 0));
    hash = digestOf(fresh.files);
    decoded = undefined;
    const result = decodeConfig(fresh, options);
    decoded = result;
    // Render once, and not all of them: a long list may have as many problems as entries, and we keep the lines.
    problemLines = result.ok ? [] : abridge(result.problems, renderAdvice);
    if (result.ok) announce(log.with({ config: hash }), path, fresh, result.value);
    return result;
  };
  return {
    current: () => current,
    refresh() {
      const before = text;
      const { problems, failed } = problemsOf(decode, () => problemLines);
      // Include the digest, so that a change beyond the first 20 problems is logged as well.
      const details = failed ? null : hash;
      const about = failed ? { kind: "source" } : { kind: "config", config: hash };
      if (problems.length > 0)
        report.error("config", "Error syncing configuration", problems, { details, about });
      else if (report.clear("config")) log.with({ config: hash }).info("the configuration is good again");
      const read = failed ? undefined : text;
      const described = read === undefined ? path : describeSource(read, source, path);
      // Unchanged text gives the same object, so that nothing is compiled again.
      if (decoded?.ok === true && problems.length === 0) {
        const { config } = decoded.value;
        if (config !== current?.config || described !== current.source)
          current = { config, source: described, hash };
      }
      return {
        ...{ problems, failed, source: described },
        isNew: text !== before,
        hash: read === undefined ? null : hash,
      };
    },
  };
}

/** Wrong text stays wrong until someone edits it (`failed` is false); a failed read may succeed soon. */
function problemsOf(
  decode: () => unknown,
  lines: () => readonly string[],
): Pick<ConfigReading, "problems" | "failed"> {
  try {
    decode();
    return { problems: lines(), failed: false };
  } catch (error) {
    if (error instanceof SourceError) return { problems: [error.message], failed: true };
    throw error;
  }
}

function announce(log: Logger, path: string, text: ConfigText, { config, warnings }: DecodedConfig): void {
  for (const line of abridge(warnings, renderAdvice)) log.warning(line);
  const isMissing = text.files.length === 0 && text.source === undefined;
  const hint = isMissing ? oddPathHint(path) : undefined;
  if (hint !== undefined) log.warning(`${path}: no such file: ${hint}`);
  const source = describeSource(text, text.source, path);
  const { nonMasqueradeCIDRs, resyncIntervalMs } = config;
  const lists = (["masqueradeCIDRs", ...PACKET_LISTS] as const)
    .filter((name) => config[name].length > 0)
    .map((name) => `, ${counted(config[name].length, name.replace(/(?:(?<=s)e)?s$/, ""))}`);
  log.info(
    `using ${source}: ${counted(nonMasqueradeCIDRs.length, "nonMasqueradeCIDR")}${lists.join("")}, resyncInterval ${DURATION.written(resyncIntervalMs)}`,
  );
  if (log.v(2)) log.info(`using config: ${renderConfig(config)}`, 2);
}

function describeSource({ files }: ConfigText, source: string | undefined, path: string): string {
  return files.length === 0
    ? `no configuration at ${source ?? path}, the defaults`
    : (source ?? files.map((file) => file.path).join(", "));
}

/** The configuration as JSON with the file's keys, without those about packets that are not set. */
export function renderConfig(config: MasqConfig): string {
  const { nonMasqueradeDefaults: _, resyncIntervalMs, ...others } = config;
  const unset = new Set<string>(PACKET_LISTS.filter((name) => config[name].length === 0));
  if (config.outputAddresses.length === 0) unset.add("outputAddressBy");
  const written = { ...others, resyncInterval: DURATION.written(resyncIntervalMs) };
  return JSON.stringify(written, (key, value: { readonly text?: string }) =>
    unset.has(key) ? undefined : (value?.text ?? value),
  );
}

/** Whether two texts have the same files with the same bytes. */
export function sameText(a: ConfigText, b: ConfigText): boolean {
  if (a.kind !== b.kind || a.files.length !== b.files.length) return false;
  return a.files.every(
    ({ path, bytes }, i) => b.files[i]?.path === path && Buffer.compare(bytes, b.files[i].bytes) === 0,
  );
}
