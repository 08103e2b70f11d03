// Runs a TypeScript entry point on any supported Node: bundles it into build/ and imports that.
// usage: node scripts/run-ts.mjs ENTRY.ts [ARGS...]
import { basename, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { netlinkAddon } from "../src/netlink/socket/esbuild-addon.mjs";

const [entry, ...args] = process.argv.slice(2);
if (entry === undefined) throw new Error("usage: run-ts.mjs ENTRY.ts [ARGS...]");
const outfile = resolve("build", basename(entry).replace(/\.ts$/, ".cjs"));
await build({
  entryPoints: [entry],
  outfile,
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  sourcemap: "inline",
  // The labs' part for Vitest builds helpers: nothing else needs esbuild, or knows where its source lies.
  external: ["esbuild"],
  logOverride: { "empty-import-meta": "silent" },
  plugins: [netlinkAddon()],
});
process.argv.splice(1, process.argv.length - 1, outfile, ...args);
await import(pathToFileURL(outfile).href);
