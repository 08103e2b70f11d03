/** The chart, rendered by Helm, and its values checked. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv, type ErrorObject } from "ajv";
import { afterAll, beforeAll } from "vitest";
import { attempt, type CommandResult } from "../lab/command.ts";
import { at, type Plain, parseManifest, readManifest } from "../lab/manifest.ts";

export const CHART = "deploy/helm/ip-masq-agent";

/** A path in the chart. */
export function inChart(name: string): string {
  return join(CHART, name);
}

export interface Tool {
  readonly path?: string;
  /** Why it is not there. */
  readonly missing?: string;
}

/** Those that npm carries, by the name that scripts/helm.sh has for them. */
export type HelmVersion = 3 | 3.8 | 4;

/** Helm of this version: from npm, where that carries it for this machine; `HELM` names another in its place. */
export function findHelm(version: HelmVersion = 3): Tool {
  const { HELM: path = "" } = process.env;
  if (path !== "") return { path };
  const { status, stdout, stderr, error } = spawnSync("sh", ["scripts/helm.sh", String(version)], {
    encoding: "utf8",
  });
  return status === 0 ? { path: stdout.trim() } : { missing: error?.message ?? stderr.trim() };
}

export interface Rendered {
  /** The documents by the template's file name; those after the first of a file have their kind behind it: `validate.yaml Job`. */
  readonly documents: Readonly<Record<string, Plain>>;
  /** Those that Helm creates around an install or for a test, by name as above. */
  readonly hooks: Readonly<Record<string, Plain>>;
  readonly notes: string;
}

export interface Release {
  readonly name?: string;
  readonly namespace?: string;
  /** More arguments of `helm template`. */
  readonly args?: readonly string[];
}

/** `helm template` of a chart. */
export function template(
  helm: string,
  chart: string,
  values: object,
  { name = "ip-masq-agent", namespace = "kube-system", args = [] }: Release = {},
): Promise<CommandResult> {
  const argv = ["template", name, chart, "--namespace", namespace, "--values", "-", ...args];
  // A line separator ends a line of YAML, but not of JSON.
  const stdin = JSON.stringify(values).replaceAll("\u2028", "\\u2028");
  // Too short a life to collect garbage in.
  return attempt(helm, argv, { stdin, env: { ...process.env, GOGC: "off" } });
}

/** Helm for the tests of a file, and what it makes of values over the defaults and an image. */
export interface Chart {
  /** Why nothing can be rendered here. */
  readonly missing: string | undefined;
  /** The schema is not asked. Throws what Helm says. */
  readonly render: (values: object, release?: Release) => Promise<Rendered>;
  /** What Helm says of values that it must refuse, with the schema, and without an image of ours. */
  readonly refusal: (values: object) => Promise<string>;
}

/** Opens the chart for the tests of a file. */
export function useChart(version: HelmVersion = 3): Chart {
  const { path: helm = "", missing } = findHelm(version);
  let copy = "";
  beforeAll(() => {
    copy = copyWithNotes();
  });
  afterAll(() => rmSync(copy, { recursive: true }));
  return {
    missing,
    render: (values, release) => renderCopy(helm, copy, values, release),
    refusal: async (values) => {
      // Without a cluster an old Helm takes an old Kubernetes for granted.
      const { code, stderr } = await template(helm, CHART, values, { args: ["--kube-version", "1.30.0"] });
      if (code === 0) throw new Error(`Helm accepts ${JSON.stringify(values)}`);
      return stderr.trim();
    },
  };
}

/** A copy of the chart that renders its notes, too: `helm template` shows none. */
function copyWithNotes(): string {
  mkdirSync("build", { recursive: true });
  const copy = mkdtempSync("build/chart-");
  cpSync(CHART, copy, { recursive: true });
  renameSync(join(copy, "templates/NOTES.txt"), join(copy, "notes"));
  writeFileSync(join(copy, "templates/notes.yaml"), 'text: {{ tpl (.Files.Get "notes") . | toJson }}\n');
  return copy;
}

async function renderCopy(
  helm: string,
  copy: string,
  values: { readonly image?: object },
  release: Release = {},
): Promise<Rendered> {
  const args = ["--skip-schema-validation", ...(release.args ?? [])];
  const image = { repository: "ip-masq-agent", ...values.image };
  const { code, stdout, stderr } = await template(helm, copy, { ...values, image }, { ...release, args });
  if (code !== 0) throw new Error(stderr.trim());
  const { "notes.yaml": notes = null, ...all } = documentsOf(stdout);
  const filtered = (hooks: boolean) =>
    Object.fromEntries(Object.entries(all).filter(([, document]) => isHook(document) === hooks));
  return { documents: filtered(false), hooks: filtered(true), notes: String(at(notes, "text")) };
}

function isHook(document: Plain): boolean {
  const { metadata } = document as { metadata: { annotations?: object } };
  return Object.hasOwn(metadata.annotations ?? {}, "helm.sh/hook");
}

/** What Helm printed, by the template's path below `templates`. */
function documentsOf(stdout: string): Readonly<Record<string, Plain>> {
  const documents: Record<string, Plain> = {};
  for (const text of stdout.split(/^---\n# Source: [^/]+\/templates\//m).slice(1)) {
    const [path = ""] = text.split("\n", 1);
    const document = parseManifest(Buffer.from(text.slice(path.length)), path);
    documents[Object.hasOwn(documents, path) ? `${path} ${at(document, "kind")}` : path] = document;
  }
  return documents;
}

const schema = JSON.parse(readFileSync(inChart("values.schema.json"), "utf8"));
const validate = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true }).compile(schema);

/** The places that the schema refuses, as `config.inline.cidrLimit`; a key that is unknown or missing is named, too. */
export function refusedValues(values: object): readonly string[] {
  validate(merged(defaultValues(), values as Plain));
  return [...new Set((validate.errors ?? []).map(placeOf))];
}

function placeOf({ instancePath, params }: ErrorObject): string {
  const { additionalProperty = "", missingProperty = "" } = params as Record<string, string>;
  const parts = [...instancePath.split("/"), additionalProperty, missingProperty];
  return parts.filter((part) => part !== "").join(".");
}

/** Values over defaults, as Helm lays them: null takes a default away. */
function merged(defaults: Plain | undefined, values: Plain): Plain {
  const isMap = (value: Plain | undefined) =>
    value !== null && typeof value === "object" && !Array.isArray(value);
  if (!isMap(defaults) || !isMap(values)) return values;
  const base = defaults as Record<string, Plain>;
  const over = Object.entries(values as object) as [string, Plain][];
  const all = { ...base, ...Object.fromEntries(over.map(([key, value]) => [key, merged(base[key], value)])) };
  return Object.fromEntries(
    Object.entries(all).filter(([key, value]) => value !== null || base[key] === null),
  );
}

/** The chart's defaults. */
export function defaultValues(): Plain {
  return readManifest(inChart("values.yaml"));
}
