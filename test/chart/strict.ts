/** Keys that Kubernetes would drop, from the oldest version that the chart takes to the newest that npm has types of. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { attempt } from "../lab/command.ts";
import type { Plain } from "../lab/manifest.ts";

interface Types {
  readonly module: string;
  readonly name: string;
}

interface Version {
  readonly minor: number;
  /** Where the types of a kind are. */
  readonly find: (apiVersion: string, kind: string) => Types;
}

/** A package with a folder for the first word of each API group, as in `rbac/v1`. */
function byFirstWord(name: string): Version["find"] {
  return (apiVersion, kind) => {
    const [group = "", version = "v1"] = apiVersion.split("/");
    return { module: `${name}/${group === "v1" ? "core" : group.split(".")[0]}/${version}`, name: kind };
  };
}

const VERSIONS: readonly Version[] = [
  { minor: 25, find: byFirstWord("kubernetes-types-1.25") },
  { minor: 30, find: byFirstWord("kubernetes-types") },
  {
    minor: 36,
    find: (apiVersion, kind) => ({ module: `kubernetes-models/${apiVersion}/${kind}`, name: `I${kind}` }),
  },
];

/**
 * The first minor version to check a kind in: that which has it in the API version that we use. Kubernetes has policies since 1.30, but
 * kubernetes-types leaves out the fields of a rule that they have inherited.
 */
const SINCE: Readonly<Record<string, number>> = {
  FlowSchema: 29,
  ValidatingAdmissionPolicy: 36,
  ValidatingAdmissionPolicyBinding: 36,
};

const TSC = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler"];

/** What the compiler says of the documents as literals of their types in each version; empty if it finds nothing. */
export async function typeErrors(documents: readonly Plain[]): Promise<string> {
  mkdirSync("build", { recursive: true });
  const directory = mkdtempSync("build/strict-");
  try {
    const file = join(directory, "documents.ts");
    writeFileSync(file, documents.flatMap(asLiterals).join("\n"));
    const { stdout, stderr } = await attempt("node_modules/.bin/tsc", [...TSC, file], { env: process.env });
    return `${stdout}${stderr}`;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function asLiterals(document: Plain, index: number): readonly string[] {
  const { apiVersion, kind } = document as { apiVersion: string; kind: string };
  return typesOf(apiVersion, kind).map(({ module, name }, version) => {
    const one = `${index}_${version}`;
    return `import type { ${name} as T${one} } from "${module}";
export const d${one}: T${one} = ${JSON.stringify(document)};`;
  });
}

function typesOf(apiVersion: string, kind: string): readonly Types[] {
  if (apiVersion.startsWith("monitoring.coreos.com/"))
    return [{ module: `@kubernetes-models/prometheus-operator/${apiVersion}/${kind}`, name: `I${kind}` }];
  return VERSIONS.filter(({ minor }) => minor >= (SINCE[kind] ?? 0)).map(({ find }) =>
    find(apiVersion, kind),
  );
}
