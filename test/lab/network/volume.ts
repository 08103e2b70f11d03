/**
 * A configuration directory as the kubelet lays out a ConfigMap volume: `ip-masq-agent -> ..data/ip-masq-agent`,
 * where `..data` is a link to a directory of one generation, swapped by a rename.
 */
import { lstatSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Volume {
  /** The agent's `--config`. */
  readonly path: string;
  /** Swaps in a generation with this text. */
  readonly write: (text: string) => void;
  /** Removes everything, as when an optional ConfigMap is deleted. */
  readonly clear: () => void;
}

/** An empty volume in `directory`, which is made. */
export function createVolume(directory: string): Volume {
  mkdirSync(directory);
  const path = join(directory, "ip-masq-agent");
  const data = join(directory, "..data");
  let generation = 0;
  const directoryOf = (number: number) => join(directory, `..generation-${number}`);
  return {
    path,
    write(text) {
      generation++;
      mkdirSync(directoryOf(generation));
      writeFileSync(join(directoryOf(generation), "ip-masq-agent"), text);
      symlinkSync(`..generation-${generation}`, join(directory, "..data_tmp"));
      renameSync(join(directory, "..data_tmp"), data);
      // Made once, after the first generation is in place: this link never changes.
      if (!linkExists(path)) symlinkSync("..data/ip-masq-agent", path);
      rmSync(directoryOf(generation - 1), { recursive: true, force: true });
    },
    clear() {
      for (const left of [path, data, directoryOf(generation)])
        rmSync(left, { recursive: true, force: true });
    },
  };
}

function linkExists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
