/** CycloneDX's own JSON Schema, out of its npm package, compiled by ajv. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";

const DIRECTORY = "node_modules/@cyclonedx/cyclonedx-library/res/schema";
const read = (file: string) => JSON.parse(readFileSync(join(DIRECTORY, file), "utf8"));

/** What is wrong with a bill of materials, empty for a valid one. */
export function faultsOfBill(bill: object): readonly string[] {
  // Formats of strings, which ajv does not have by itself, are not looked at; there are no such fields in ours.
  const ajv = new Ajv({ allErrors: true, strict: false, validateFormats: false });
  // By the names that they have as files, the first refers to the others.
  for (const file of ["spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json"])
    ajv.addSchema({ ...read(file), $id: `http://cyclonedx.org/schema/${file}` });
  const validate = ajv.compile(read("bom-1.5.SNAPSHOT.schema.json"));
  validate(bill);
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath}: ${message}`);
}
