// Writes the bill of materials to standard output; the records of the image's packages come on standard input.
import { readFileSync } from "node:fs";
import { billOf } from "./sbom-model.ts";
import { version } from "./version.mjs";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
console.log(JSON.stringify(billOf(version(), lock, readFileSync(0, "utf8")), null, 2));
