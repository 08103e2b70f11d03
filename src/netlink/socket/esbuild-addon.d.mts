import type { Plugin } from "esbuild";

export interface NetlinkAddonOptions {
  /** For which platforms the native part is put beside the bundle, such as `linux-arm64`; by default, this one's. */
  readonly platforms?: readonly string[];
}

/** Makes a bundle with addon.ts in it work: see README.md. */
export declare function netlinkAddon(options?: NetlinkAddonOptions): Plugin;
