// Completes package-lock.json with the optional packages of other platforms, so that `npm ci` takes it everywhere.
// npm leaves an optional package out of the lock file if the registry in use does not carry it (a mirror for one
// platform, say), and `npm ci` then rejects the whole file. Run after a change of dependencies.
import { readFileSync, writeFileSync } from "node:fs";

const SYSTEMS = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const PROCESSORS = [
  "arm64",
  "arm",
  "ia32",
  "loong64",
  "mips64el",
  "ppc64",
  "riscv64",
  "s390x",
  "wasm32",
  "x64",
];

/** A platform package's platforms, from its name. */
function platformOf(name) {
  const words = name.split(/[/-]/);
  const os = SYSTEMS.filter((system) => words.includes(system));
  const cpu = PROCESSORS.filter((cpu) => words.includes(cpu));
  const libc = words.some((word) => word.startsWith("musl")) ? ["musl"] : [];
  return Object.fromEntries(Object.entries({ cpu, os, libc }).filter(([, values]) => values.length > 0));
}

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const added = {};
for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`;
    if (path in lock.packages || !/^\d/.test(version)) continue;
    added[path] = { version, ...platformOf(name), ...(parent.dev ? { dev: true } : {}), optional: true };
  }
}
const packages = Object.entries({ ...lock.packages, ...added });
for (const [, entry] of packages) delete entry.resolved;
lock.packages = Object.fromEntries(packages.sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${Object.keys(added).length} optional packages added`);
