// Writes the bill of materials of the version that is its argument to standard output; the records of the image's
// packages come on standard input.
import { readFileSync } from "node:fs";
import { billOf } from "./sbom-model.ts";

const [version] = process.argv.slice(2);
if (version === undefined) throw new Error("usage: sbom.ts VERSION <PACKAGES");
const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
console.log(JSON.stringify(billOf(version, lock, readFileSync(0, "utf8")), null, 2));
