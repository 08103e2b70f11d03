// One CommonJS file: it starts faster and takes a third less memory than the same modules unbundled.
// CommonJS, since Node loads it without the ES module machinery.
import { execFileSync } from "node:child_process";
import { chmodSync, readFileSync } from "node:fs";
import { build } from "esbuild";
import { netlinkAddon } from "./src/nftables/esbuild-addon.mjs";

/** The newest tag and how far we are from it; without git, the package's version. */
function version() {
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  try {
    const git = ["describe", "--tags", "--always", "--dirty", "--match", "v*"];
    const text = execFileSync("git", git, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return text.startsWith("v") ? text : `v${version}-${text}`;
  } catch {
    return `v${version}`;
  }
}

const outfile = "dist/ip-masq-agent.cjs";
await build({
  entryPoints: ["src/main.ts"],
  outfile,
  bundle: true,
  minify: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  banner: { js: "#!/usr/bin/env node" },
  define: { __VERSION__: JSON.stringify(process.env.VERSION ?? version()) },
  legalComments: "none",
  plugins: [netlinkAddon()],
});
chmodSync(outfile, 0o755);
