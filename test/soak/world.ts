/** Where a soak happens: a lab, a configuration directory that may be replaced, tools that may fail, and dice. */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { findTool, type Lab } from "../lab/network/lab.ts";
import type { Shims } from "../lab/network/shims.ts";
import { createVolume } from "../lab/network/volume.ts";

export type Backend = "iptables" | "nftables";

/** Chance that can be repeated: the same seed, the same course. */
export interface Dice {
  /** From 0 to below `n`. */
  readonly below: (n: number) => number;
  readonly one: <T>(of: readonly T[]) => T;
}

export interface World {
  readonly lab: Lab;
  readonly backend: Backend;
  readonly dice: Dice;
  readonly config: ConfigDirectory;
  readonly tools: Tools;
}

/** Dice (mulberry32) of a seed. */
export function createDice(seed: number): Dice {
  let state = seed;
  const below = (n: number) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
  return {
    below,
    one: (of) => {
      const found = of[below(of.length)];
      if (found === undefined) throw new Error("nothing to choose from");
      return found;
    },
  };
}

export interface ConfigDirectory {
  /** The agent's `--config`. */
  readonly path: string;
  /** Swaps a text in, as the kubelet does. */
  readonly swap: (text: string) => void;
  /** Writes half of a text in place, not as the kubelet does. */
  readonly half: (text: string) => void;
  /** Removes the text, or the whole directory. */
  readonly clear: () => void;
  readonly remove: () => void;
  /** Puts another directory in its place, or a link to one. */
  readonly replace: (text: string) => void;
  readonly link: (text: string) => void;
}

/** A directory in the lab's, which is made with the first text. */
export function createConfigDirectory(lab: Lab): ConfigDirectory {
  const directory = join(lab.directory, "soak");
  let volume: ReturnType<typeof createVolume> | undefined;
  let others = 0;
  const aside = () => join(lab.directory, `soak-${++others}`);
  const remove = () => {
    volume = undefined;
    // The last one may be what a link leads to.
    for (const left of [directory, join(lab.directory, `soak-${others - 1}`)])
      rmSync(left, { recursive: true, force: true });
  };
  const fill = (path: string, text: string) => {
    const filled = createVolume(path);
    filled.write(text);
    return filled;
  };
  const swap = (text: string) => {
    if (volume === undefined) {
      remove();
      volume = createVolume(directory);
    }
    volume.write(text);
  };
  return {
    path: join(directory, "ip-masq-agent"),
    swap,
    half(text) {
      remove();
      mkdirSync(directory);
      writeFileSync(join(directory, "ip-masq-agent"), text.slice(0, text.length >> 1));
    },
    clear: () => volume?.clear(),
    remove,
    replace(text) {
      const other = aside();
      fill(other, text);
      remove();
      renameSync(other, directory);
    },
    link(text) {
      const other = aside();
      fill(other, text);
      remove();
      symlinkSync(other, directory);
    },
  };
}

/** The tools that the agent runs. */
export interface Tools {
  /** From now on they fail in this way now and then. */
  readonly fail: (how: string) => void;
  readonly mend: () => void;
}

/** Tools behind stand-ins. */
export function createTools(shims: Shims): Tools {
  const real = `exec ${dirname(findTool("iptables"))}/\${0##*/} "$@"`;
  return {
    fail: (how) => shims.replace(`[ $(($$ % 3)) -eq 0 ] || ${real}\n${how}\n${real}`),
    mend: () => shims.replace(real),
  };
}

/** For actions at a random moment. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
