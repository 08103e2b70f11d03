/**
 * An esbuild plugin for bundles that contain addon.ts. The npm package `netlink` looks for its native part beside
 * its own files, by way of `node-gyp-build`, and a bundle has no such place. Here the native part becomes a file
 * beside the bundle, `netlink-<platform>-<arch>.node`, and `node-gyp-build` a function that loads it from there.
 *
 * Our own addon, netlink-filter.c, is compiled and put beside it as `netlink-filter-<platform>-<arch>.node`. Without a
 * compiler for a platform the bundle is made all the same, with a warning: only listening to events needs it.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const PACKAGE = dirname(createRequire(import.meta.url).resolve("netlink/package.json"));
const HERE = `${process.platform}-${process.arch}`;

/** The path has to be in a variable: esbuild takes a template within `require` for a pattern of files to bundle. */
const LOADER = `module.exports = () => {
  const file = \`\${__dirname}/netlink-\${process.platform}-\${process.arch}.node\`;
  return require(file);
};`;

/**
 * @param {{ platforms?: readonly string[] }} options For which platforms the native part is put beside the bundle,
 *   such as `linux-arm64`; without it, for this machine's.
 * @returns {import("esbuild").Plugin}
 */
export function netlinkAddon({ platforms = [HERE] } = {}) {
  return {
    name: "netlink-addon",
    setup(build) {
      build.onResolve({ filter: /^node-gyp-build$/ }, ({ path }) => ({ path, namespace: "netlink-addon" }));
      build.onLoad({ filter: /.*/, namespace: "netlink-addon" }, () => ({ contents: LOADER, loader: "js" }));
      build.onEnd(({ errors }) => {
        if (errors.length > 0) return undefined;
        const directory = directoryOf(build.initialOptions);
        copyAddons(directory, platforms);
        return { warnings: platforms.flatMap((platform) => compileFilter(directory, platform)) };
      });
    },
  };
}

function directoryOf({ outfile, outdir }) {
  const directory = outdir ?? (outfile === undefined ? undefined : dirname(outfile));
  if (directory === undefined) throw new Error("netlink-addon needs esbuild's outfile or outdir");
  return directory;
}

function copyAddons(directory, platforms) {
  mkdirSync(directory, { recursive: true });
  for (const platform of platforms)
    replace(join(directory, `netlink-${platform}.node`), (file) => copyFileSync(findAddon(platform), file));
}

/** Makes a file and puts it in another's place: one that is written over ends every process that has it loaded. */
function replace(path, make) {
  make(`${path}.new`);
  renameSync(`${path}.new`, path);
}

/** Prebuilt, or as npm compiled it where there is no prebuilt one. */
function findAddon(platform) {
  const prebuilt = join(PACKAGE, "prebuilds", platform, "node.napi.node");
  if (existsSync(prebuilt)) return prebuilt;
  const compiled = join(PACKAGE, "build", "Release", "netlink.node");
  if (platform === HERE && existsSync(compiled)) return compiled;
  throw new Error(`the npm package netlink has no native part for ${platform}: build on that platform`);
}

/** Compilers by platform, by the names of Debian's packages; `CC` names another for this machine's. */
const COMPILERS = {
  "linux-x64": "x86_64-linux-gnu-gcc",
  "linux-arm64": "aarch64-linux-gnu-gcc",
  "linux-arm": "arm-linux-gnueabihf-gcc",
  "linux-ia32": "i686-linux-gnu-gcc",
};

/** The warnings there are. The binary has no build path and no build id: the same source makes the same bytes. */
function compileFilter(directory, platform) {
  const compiler = platform === HERE ? (process.env.CC ?? "cc") : COMPILERS[platform];
  const headers = join(
    dirname(createRequire(import.meta.url).resolve("node-api-headers/package.json")),
    "include",
  );
  const source = join(import.meta.dirname, "netlink-filter.c");
  const output = join(directory, `netlink-filter-${platform}.node`);
  const flags = ["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-s", "-Wl,--build-id=none"];
  try {
    replace(output, (file) =>
      execFileSync(compiler, [...flags, "-I", headers, "-o", file, source], {
        stdio: ["ignore", "ignore", "pipe"],
      }),
    );
    return [];
  } catch (error) {
    const why = error.stderr?.toString().trim() || error.message;
    return [{ text: `no netlink-filter for ${platform}: events of nf_tables are not heard there (${why})` }];
  }
}
