/** The chart, rendered as Helm does (render.go) where Go and sprig are installed, and its values checked. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv, type ErrorObject } from "ajv";
import { attempt } from "../lab/command.ts";
import { type Plain, parseManifest, readManifest } from "../lab/manifest.ts";

const DIRECTORY = "deploy/helm/ip-masq-agent";
const BINARY = "build/chart-render";
const GO_ENVIRONMENT = { GO111MODULE: "off", GOPATH: "/usr/share/gocode", GOCACHE: "/tmp/gocache" };

/** A path in the chart. */
export function inChart(name: string): string {
  return join(DIRECTORY, name);
}

/** Builds the renderer; says why not, if that can't be done here. */
export function buildRenderer(): string | undefined {
  mkdirSync("build", { recursive: true });
  const argv = ["build", "-o", BINARY, "test/chart/render.go"];
  const env = { ...process.env, ...GO_ENVIRONMENT };
  const { error, status, stderr } = spawnSync("go", argv, { env, encoding: "utf8" });
  if (error !== undefined) return `Go is missing (${error.message}); scripts/setup-go.sh installs it`;
  if (status === 0) return undefined;
  const packages = stderr.includes("cannot find package");
  if (packages) return "packages of Go are missing; scripts/setup-go.sh installs them";
  throw new Error(`test/chart/render.go can't be built: ${stderr}`);
}

export interface Rendered {
  /** The documents by the template's file name, without those that rendered to nothing. */
  readonly documents: Readonly<Record<string, Plain>>;
  readonly notes: string;
}

/** What the templates make of values over the defaults; the schema is not asked. */
export async function render(values: object, namespace = "kube-system"): Promise<Rendered> {
  const stdin = JSON.stringify({ values, namespace });
  const { code, stdout, stderr } = await attempt(BINARY, [DIRECTORY], { stdin });
  if (code !== 0) throw new Error(stderr.trim());
  const { "NOTES.txt": notes = "", ...files } = JSON.parse(stdout) as Record<string, string>;
  const filled = Object.entries(files).filter(([, text]) => text.trim() !== "");
  const documents = filled.map(([name, text]) => [name, parseManifest(Buffer.from(text), name)]);
  return { documents: Object.fromEntries(documents), notes };
}

const schema = JSON.parse(readFileSync(inChart("values.schema.json"), "utf8"));
const validate = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true }).compile(schema);

/** The places that the schema refuses, as `config.inline.cidrLimit`; an unknown key is named, too. */
export function refusedValues(values: object): readonly string[] {
  validate(values);
  return [...new Set((validate.errors ?? []).map(placeOf))];
}

function placeOf({ instancePath, params }: ErrorObject): string {
  const { additionalProperty = "" } = params as { additionalProperty?: string };
  const parts = [...instancePath.split("/"), additionalProperty];
  return parts.filter((part) => part !== "").join(".");
}

/** The chart's defaults. */
export function defaultValues(): Plain {
  return readManifest(inChart("values.yaml"));
}
