// One CommonJS file: it starts faster and takes a third less memory than the same modules unbundled.
// CommonJS, since Node loads it without the ES module machinery.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build, transformSync } from "esbuild";
import { version } from "./scripts/version.mjs";
import { netlinkAddon } from "./src/netlink/socket/esbuild-addon.mjs";

const outfile = "dist/ip-masq-agent.cjs";
/** With PLATFORMS, as in PLATFORMS="linux-x64 linux-arm64", every platform must have its addon: a warning is a failure. */
const platforms = process.env.PLATFORMS?.split(/\s+/).filter((name) => name !== "");
const common = { platform: "node", target: "node20", format: "cjs", legalComments: "none" };
const { warnings, outputFiles } = await build({
  ...common,
  entryPoints: ["src/main.ts"],
  outfile,
  bundle: true,
  minify: true,
  write: false,
  define: { __VERSION__: JSON.stringify(version()) },
  plugins: [netlinkAddon(platforms === undefined ? {} : { platforms })],
});
if (platforms !== undefined && warnings.length > 0) process.exit(1);

const program = `(function(require,__dirname){${inOneLine(outputFiles[0].text.trim())}})`;
const cache = `ip-masq-agent-${createHash("sha256").update(program).digest("hex").slice(0, 16)}`;
const head = transformSync(readFileSync("scripts/start/head.cjs", "utf8"), {
  ...common,
  minifyWhitespace: true,
  define: { __CACHE__: JSON.stringify(cache) },
});
const code = head.code.replace("__PROGRAM__", () => `\n//${program}\n`);
writeFileSync(outfile, `#!/usr/bin/env node\n${code}`, { mode: 0o755 });
for (const name of readdirSync("dist")) if (name.endsWith(".cache")) rmSync(`dist/${name}`);
// An agent starts nowhere else.
if (process.platform === "linux")
  execFileSync(process.execPath, ["scripts/start/rehearse.mjs", outfile, `dist/${cache}`], {
    stdio: "inherit",
  });

/** The same program as one line of ASCII. A line end is in a template, and so is another character, or in a pattern. */
function inOneLine(program) {
  if (program.includes("String.raw")) throw new Error("the text of String.raw cannot be written in one line");
  return program
    .replaceAll("\n", "\\n")
    .replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
