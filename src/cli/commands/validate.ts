/** The command `validate`: all problems of configurations, before an agent sees them. */

import { readConfig, SourceError } from "../../agent/config/file.ts";
import type { Cidr } from "../../core/cidr.ts";
import { type ConfigText, inspectConfig, type MasqConfig } from "../../core/config.ts";
import type { ConfigOptions } from "../../core/config-options.ts";
import { digestOf } from "../../core/digest.ts";
import { longestPrefixIntervals } from "../../core/intervals.ts";
import { LIMITED_KEYS } from "../../core/keys.ts";
import type { Problem } from "../../core/problem.ts";
import { compileEntries, compileScope, enabledFamilies } from "../../core/ruleset.ts";
import { describeUncovered } from "../../doctor/checks/node/pod-networks.ts";
import { describeSources } from "../../doctor/checks/node/sources.ts";
import { boolType } from "../../go/flag-types.ts";
import { flag } from "../../go/flags.ts";
import { oddPathHint } from "../../text/odd-path.ts";
import { counted } from "../../text/plural.ts";
import { printableLine } from "../../text/printable.ts";
import { type EmbeddedConfig, readManifest } from "../../validate/manifest.ts";
import { overlapWarnings } from "../../validate/overlaps.ts";
import { passedOnWarnings } from "../../validate/passed-on.ts";
import { byPlace, type FileFinding, findingOf, renderFinding } from "../../validate/text.ts";
import { type Command, type CommandIo, UsageError } from "../command.ts";
import { STDIN } from "../desired.ts";
import { configOptions, pickFlags } from "../options.ts";
import { clusterCidrFlag, readClusterCidrs } from "./cluster-cidr.ts";

const flags = {
  ...pickFlags("enable-ipv6", "nomasq-all-reserved-ranges", "backend", "ipset-threshold"),
  "cluster-cidr": clusterCidrFlag,
  strict: flag(boolType, false, "Whether warnings count as problems."),
};

/** Files that hold manifests; all others are files as a volume shows them to an agent. */
const MANIFEST_NAME = /\.(?:ya?ml|json)$|^-$|^\/dev\//i;

/** More findings of a file than anyone reads. */
const SHOWN = 1_000;

const DEFAULT_LIST = ", the built-in defaults";

interface ValidateOptions extends ConfigOptions {
  /** Networks of pods that the list should keep. */
  readonly pods: readonly Cidr[];
}

/** The findings of one operand, of one file or several. */
interface Report {
  readonly path: string;
  readonly text: ConfigText;
  readonly findings: readonly FileFinding[];
  /** The number of entries, and a note on their source. */
  readonly cidrs: number;
  readonly where: string;
  /** The digest that an agent has of this text, as in `status`; a manifest has none. */
  readonly hash?: string;
}

export const validateCommand: Command<typeof flags> = {
  name: "validate",
  summary: "Check configurations and report every problem",
  operands: "FILE...",
  details: `FILE is a configuration, a manifest with a ConfigMap (YAML or JSON, several documents or a List),
a directory as for --config, or - for standard input. Of a ConfigMap, it reads the keys config
and ip-masq*. A manifest's name ends with .yaml, .yml or .json, or is -: under any other
name the file counts as the agent's own, which a manifest is not.

Warnings are about text that the agent would accept, but that hardly anyone means: unknown keys, entries that
change nothing or are empty, text that the agent ignores. The exit code is 1 if there is a problem in any file; with --strict, if there is a
warning too.

It knows no node: whether a node has an interface or an address that the configuration names, doctor says there.

The flags decide what is accepted. Those that are not given come from the agent in this network namespace, if one
is visible: elsewhere, give the agent's flags.`,
  flags,
  examples: [
    { args: "validate agent-config/config", what: "check the file of a ConfigMap" },
    { args: "validate --strict --enable-ipv6 agent-config/config", what: "in a pre-commit hook" },
    {
      args: "validate --cluster-cidr=10.244.0.0/16 agent-config/config",
      what: "check that the list keeps the pods' own network",
    },
    { args: "validate -o json agent-config/config", what: "for a program to read" },
  ],
  adopts: () => "/proc",
  async run({ values, words, output }, io) {
    if (words.length === 0) throw new UsageError("name a file, a directory, or - for standard input");
    const options = { ...configOptions(values), pods: readClusterCidrs(values["cluster-cidr"]) };
    const reports: Report[] = [];
    for (const word of words) reports.push(await examine(word, options, io));
    const isBad = ({ findings }: Report) =>
      findings.some(({ severity }) => severity === "error" || values.strict);
    if (output === "json") io.out(renderJson(reports, isBad));
    else for (const report of reports) io.out(renderReport(report, io));
    return reports.some(isBad) ? 1 : 0;
  },
};

/** Reads an operand and inspects it. An unreadable file is a finding too, so that the others are still checked. */
async function examine(path: string, options: ValidateOptions, { stdin }: CommandIo): Promise<Report> {
  let text: ConfigText;
  try {
    text =
      path === STDIN
        ? { kind: "file", files: [{ path: "standard input", bytes: await stdin() }] }
        : readConfig(path, true);
  } catch (error) {
    if (!(error instanceof SourceError)) throw error;
    return failed(path, error.message);
  }
  const [file] = text.files;
  if (file === undefined) {
    const nothing = "no file in it has a name that begins with ip-masq: the agent would use its defaults";
    return failed(path, text.kind === "file" ? "no such file" : nothing, oddPathHint(path));
  }
  const manifest =
    text.kind === "file" && MANIFEST_NAME.test(path) ? readManifest(file.bytes, file.path) : undefined;
  if (manifest === undefined) {
    const { findings, cidrs, isDefault } = inspect(text, options);
    const where = isDefault ? DEFAULT_LIST : "";
    const hash = digestOf(text.files);
    return { path: path === STDIN ? file.path : path, text, findings, cidrs, where, hash };
  }
  const found = manifest.configs.map((config) =>
    inspect({ kind: "file", files: [{ path: file.path, bytes: config.bytes }] }, options, config),
  );
  return {
    path: file.path,
    text,
    findings: [
      ...manifest.problems.map((one) => findingOf(one, "error")),
      ...found.flatMap(({ findings }) => findings),
    ].sort(byPlace),
    cidrs: found.reduce((sum, { cidrs }) => sum + cidrs, 0),
    where: ` in ${manifest.configs.map(({ key }, i) => key + (found[i]?.isDefault ? DEFAULT_LIST : "")).join(", ")}`,
  };
}

function failed(path: string, message: string, hint?: string): Report {
  // A message of the system already names the path.
  const text = message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;
  const problem: Problem = {
    code: "unreadable",
    path,
    message: text,
    ...(hint === undefined ? {} : { hint }),
  };
  const findings = [findingOf(problem, "error")];
  return { path, text: { kind: "file", files: [] }, findings, cidrs: 0, where: "" };
}

/** Inspects one configuration, which may be a text in a manifest. */
function inspect(
  text: ConfigText,
  options: ValidateOptions,
  within?: EmbeddedConfig,
): { readonly findings: FileFinding[]; readonly cidrs: number; readonly isDefault: boolean } {
  const inspected = inspectConfig(text, options);
  const warnings = [
    ...inspected.warnings,
    ...passedOnWarnings(inspected),
    ...overlapWarnings(inspected, options),
    ...(inspected.problems.length === 0 ? podWarnings(text, inspected.config, options) : []),
  ];
  const findings = [
    ...inspected.problems.map((problem) => findingOf(problem, "error")),
    // The agent uses its defaults then; but a user who asks does not want to see "accepted".
    ...warnings.map((warning) => findingOf(warning, warning.code === "manifest" ? "error" : "warning")),
  ];
  const order = new Map(text.files.map(({ path }, i) => [path, i]));
  const sorted = findings.sort(
    (a, b) => (order.get(a.path) ?? 0) - (order.get(b.path) ?? 0) || byPlace(a, b),
  );
  return {
    findings: within === undefined ? sorted : sorted.map((one) => moved(one, within)),
    cidrs: LIMITED_KEYS.reduce((sum, name) => sum + inspected.config[name].length, 0),
    isDefault: inspected.config.nonMasqueradeDefaults,
  };
}

/** Networks of pods that the list does not keep, or that are not masqueraded. */
function podWarnings(
  { files }: ConfigText,
  config: MasqConfig,
  options: ValidateOptions,
): readonly Problem[] {
  const isEmpty = config.nonMasqueradeCIDRs.length + config.masqueradeCIDRs.length === 0;
  return enabledFamilies(options).flatMap((family) => {
    const networks = options.pods
      .filter((cidr) => cidr.family === family)
      .map((cidr) => ({ cidr, from: "--cluster-cidr", isLocal: false }));
    const entries = compileEntries(family, config);
    const kept = longestPrefixIntervals(
      entries.map(({ cidr, verdict }) => ({ cidr, included: verdict === "return" })),
    );
    const scope = compileScope(family, config);
    const ruleset = { family, ...(scope === undefined ? {} : { scope }) };
    // That a list takes them out is no slip.
    const unmasqueraded = describeSources(networks, ruleset).filter(({ severity }) => severity !== "info");
    return [...describeUncovered(networks, kept, isEmpty), ...unmasqueraded].map(
      ({ message, remedy }): Problem => ({
        code: "uncovered",
        path: files[0]?.path ?? "",
        message,
        ...(remedy === undefined ? {} : { hint: remedy }),
      }),
    );
  });
}

function moved(finding: FileFinding, { positionOf, key: within, hint }: EmbeddedConfig): FileFinding {
  const { line = 1, column = 1, key, code } = finding;
  return {
    ...finding,
    ...(hint !== undefined && code === "syntax" ? { hint } : {}),
    ...positionOf({ line, column }),
    key: key === undefined ? within : `${within}: ${key}`,
  };
}

function renderReport({ path, text, findings, cidrs, where }: Report, { colours }: CommandIo): string {
  const lines = new Map<string, readonly string[]>();
  const linesOf = (name: string): readonly string[] => {
    const bytes = text.files.find((file) => file.path === name)?.bytes;
    const split = lines.get(name) ?? (bytes === undefined ? [] : decodeText(bytes).split(/\r\n?|\n/));
    lines.set(name, split);
    return split;
  };
  const shown = findings
    .slice(0, SHOWN)
    .map((finding) => renderFinding(finding, linesOf(finding.path), colours));
  if (findings.length > SHOWN) shown.push(`and ${findings.length - SHOWN} more: -o json has them all\n`);
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.length - errors;
  const verdict =
    errors > 0
      ? `${colours.red("not accepted")}: ${counted(errors, "problem")}`
      : `${colours.green("accepted")}: ${counted(cidrs, "CIDR")}${where}`;
  return `${shown.join("")}${printableLine(path)}: ${verdict}${warnings === 0 ? "" : `, ${counted(warnings, "warning")}`}\n`;
}

function decodeText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function renderJson(reports: readonly Report[], isBad: (report: Report) => boolean): string {
  const files = reports.map((report) => ({
    path: report.path,
    ok: !isBad(report),
    cidrs: report.cidrs,
    ...(report.hash === undefined ? {} : { hash: report.hash }),
    problems: report.findings.filter(({ severity }) => severity === "error"),
    warnings: report.findings.filter(({ severity }) => severity === "warning"),
  }));
  return `${JSON.stringify({ ok: files.every(({ ok }) => ok), files })}\n`;
}
