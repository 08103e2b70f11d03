import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { netlinkAddon } from "../../../src/netlink/socket/esbuild-addon.mjs";

const NATIVE = `netlink-${process.platform}-${process.arch}.node`;
const PROGRAM = `
  import { openNftables } from "../../../src/netlink/socket/transport.ts";
  openNftables().then(
    (nft) => console.log("buffer", nft.maxBatchBytes > 0),
    ({ name, platform, message }) => console.log(name, platform, message));
`;

test("a bundle finds the native part beside itself, wherever it is moved, and says so if there is none", async () => {
  const directory = mkdtempSync(join(tmpdir(), "nftables-bundle-"));
  try {
    await bundle(join(directory, "built"));
    renameSync(join(directory, "built"), join(directory, "moved"));
    expect(readdirSync(join(directory, "moved")).sort()).toEqual([NATIVE, "program.cjs"]);
    expect(await run(join(directory, "moved"))).toBe("buffer true\n");
    rmSync(join(directory, "moved", NATIVE));
    const complaint = await run(join(directory, "moved"));
    expect(complaint).toContain(`NetlinkUnavailable ${process.platform}-${process.arch} no netlink sockets`);
    expect(complaint).toContain("cannot open shared object file");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a platform without a native part stops the build", async () => {
  const directory = mkdtempSync(join(tmpdir(), "nftables-bundle-"));
  try {
    await expect(bundle(directory, ["plan9-mips"])).rejects.toThrow("no compiler is known for plan9-mips");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

async function bundle(outdir: string, platforms?: readonly string[]): Promise<void> {
  await build({
    stdin: { contents: PROGRAM, resolveDir: import.meta.dirname, sourcefile: "program.ts", loader: "ts" },
    outfile: join(outdir, "program.cjs"),
    bundle: true,
    minify: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    logLevel: "silent",
    plugins: [netlinkAddon(platforms === undefined ? {} : { platforms })],
  });
}

/** The output of the bundle in another directory. */
function run(directory: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [join(directory, "program.cjs")], { cwd: "/" }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
}
