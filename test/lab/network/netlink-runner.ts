/** Bundles a script that opens netlink sockets: it has to run in a network namespace, as a process of its own. */
import { join } from "node:path";
import { build } from "esbuild";
import { netlinkAddon } from "../../../src/netlink/socket/esbuild-addon.mjs";

/** Writes a script of this folder, with the addon beside it. */
export async function buildNetlinkRunner(name: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [join(import.meta.dirname, name)],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    logLevel: "silent",
    plugins: [netlinkAddon()],
  });
}
