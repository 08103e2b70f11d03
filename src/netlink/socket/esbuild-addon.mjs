/**
 * An esbuild plugin for bundles that contain addon.ts: it compiles netlink.c and puts it beside the bundle as
 * `netlink-<platform>-<arch>.node`, where addon.ts looks for it. Without a compiler for a platform the bundle is still
 * made, with a warning: it can do everything but reach nf_tables.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const HERE = `${process.platform}-${process.arch}`;

/**
 * @param {{ platforms?: readonly string[] }} options The platforms of the addons beside the bundle, such as
 *   `linux-arm64`; without it, this machine's.
 * @returns {import("esbuild").Plugin}
 */
export function netlinkAddon({ platforms = [HERE] } = {}) {
  return {
    name: "netlink-addon",
    setup(build) {
      build.onEnd(({ errors }) => {
        if (errors.length > 0) return undefined;
        const directory = directoryOf(build.initialOptions);
        mkdirSync(directory, { recursive: true });
        return { warnings: platforms.flatMap((platform) => compile(directory, platform)) };
      });
    },
  };
}

function directoryOf({ outfile, outdir }) {
  const directory = outdir ?? (outfile === undefined ? undefined : dirname(outfile));
  if (directory === undefined) throw new Error("netlink-addon needs esbuild's outfile or outdir");
  return directory;
}

/** Compilers by platform, by the names of Debian's packages; `CC` names another for this machine's. */
const COMPILERS = {
  "linux-x64": "x86_64-linux-gnu-gcc",
  "linux-arm64": "aarch64-linux-gnu-gcc",
  "linux-arm": "arm-linux-gnueabihf-gcc",
  "linux-ia32": "i686-linux-gnu-gcc",
};

/** Returns warnings. The binary has no build path and no build id: the same source makes the same bytes. */
function compile(directory, platform) {
  const compiler = platform === HERE ? (process.env.CC ?? "cc") : COMPILERS[platform];
  if (compiler === undefined) throw new Error(`no compiler is known for ${platform}`);
  const headers = createRequire(import.meta.url).resolve("node-api-headers/package.json");
  const source = join(import.meta.dirname, "netlink.c");
  const file = join(directory, `netlink-${platform}.node`);
  const flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-s", "-Wl,--build-id=none"];
  try {
    const include = ["-I", join(dirname(headers), "include")];
    execFileSync(compiler, [...flags, ...include, "-o", `${file}.new`, source], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    // Overwriting a file ends every process that has it loaded.
    renameSync(`${file}.new`, file);
    return [];
  } catch (error) {
    const why = error.stderr?.toString().trim() || error.message;
    return [{ text: `no netlink addon for ${platform}: the bundle cannot reach nf_tables there (${why})` }];
  }
}
