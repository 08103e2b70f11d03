/** The npm package, packed from dist/ as it is published. */
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { publishedPackage } from "./manifests.ts";
import { run } from "./run.ts";
import { readNames, readPackage } from "./tree.ts";

/** Packs it into `directory`; returns the file's path. */
export function packNpm(directory: string, version: string): string {
  const stage = mkdtempSync(join(tmpdir(), "npm-package-"));
  mkdirSync(join(stage, "dist"), { recursive: true });
  mkdirSync(directory, { recursive: true });
  for (const name of ["LICENSE", "README.md"]) copyFileSync(name, join(stage, name));
  cpSync("schema", join(stage, "schema"), { recursive: true });
  for (const name of readdirSync("dist").filter((name) =>
    /^(?:ip-masq-agent\.cjs|netlink-.*\.node)$/.test(name),
  ))
    copyFileSync(join("dist", name), join(stage, "dist", name));
  const manifest = publishedPackage(readPackage(), version, readNames().home);
  writeFileSync(join(stage, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
  const packed = run("npm", ["pack", "--silent", "--pack-destination", resolve(directory)], { cwd: stage });
  rmSync(stage, { recursive: true });
  return join(directory, packed.trim());
}
