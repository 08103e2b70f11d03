/** Doctor's findings, as text for a screen and as JSON. */

import type { Colours } from "../text/colours.ts";
import { counted } from "../text/plural.ts";
import { CHECKS, countOf } from "./checks.ts";
import type { Facts, Settings } from "./facts.ts";
import { type Finding, SEVERITIES, type Severity } from "./finding.ts";

/** The settings that doctor assumed, and its findings. */
export interface Diagnosis extends Pick<Facts, "settings" | "own"> {
  /** Where the settings come from, besides doctor's own flags. */
  readonly source: string | undefined;
  readonly findings: readonly Finding[];
  /** The names of the checks that were left out. */
  readonly ignored: readonly string[];
}

const PAINT: Readonly<Record<Severity, keyof Colours>> = { error: "red", warning: "yellow", info: "dim" };

/** Problems with their remedies; information only if `verbose`. */
export function renderDiagnosis(
  { settings, own, source, findings, ignored }: Diagnosis,
  verbose: boolean,
  colours: Colours,
): string {
  const shown = findings.filter((finding) => verbose || !isNote(finding));
  return [
    `${[describeSettings(settings, own.label(settings)), source].filter(Boolean).join("; ")}\n`,
    ...shown.map((finding) => renderFinding(finding, colours)),
    `${summary(findings, verbose, colours)}${leftOut(ignored)}\n`,
  ].join("");
}

function describeSettings({ chain, families }: Settings, label: string): string {
  return `Looked for an agent with backend ${label}, chain ${chain}, ${families.join(" and ")}`;
}

function renderFinding({ check, severity, message, remedy }: Finding, colours: Colours): string {
  return renderEntry({ severity, name: check, text: message, remedy }, colours);
}

interface Entry {
  readonly severity: Severity;
  readonly name: string;
  readonly text: string;
  readonly remedy: string | undefined;
}

function renderEntry({ severity, name, text, remedy }: Entry, colours: Colours): string {
  const indent = " ".repeat(9);
  const head = `${colours[PAINT[severity]](severity.padEnd(indent.length))}[${name}] ${text}\n`;
  return remedy === undefined ? head : `${head}${indent}${colours.dim(`-> ${remedy}`)}\n`;
}

/**
 * Notes need `--verbose`. A node without an agent has no problem, but "No problems found" without the line that says so would be
 * false comfort.
 */
function isNote({ severity, check }: Finding): boolean {
  return severity === "info" && check !== "agents";
}

function summary(findings: readonly Finding[], verbose: boolean, { green, bold }: Colours): string {
  const counts = SEVERITIES.map((severity) => [countOf(findings, severity), severity] as const);
  const problems = counts.filter(([count, severity]) => severity !== "info" && count > 0);
  const notes = findings.filter(isNote).length;
  const more = verbose || notes === 0 ? "" : ` (--verbose shows ${counted(notes, "note")})`;
  if (problems.length === 0) return `${green("No problems found")}${more}`;
  return `${bold(problems.map(([count, severity]) => counted(count, severity)).join(", "))}${more}`;
}

/** An answer that leaves something out says so. */
function leftOut(ignored: readonly string[]): string {
  return ignored.length === 0 ? "" : ` (ignored: ${ignored.join(", ")})`;
}

/** All checks, each with the problem that it looks for. */
export function renderChecks(colours: Colours): string {
  return CHECKS.map(({ looksFor: text, ...check }) => renderEntry({ text, ...check }, colours)).join("");
}

/** The same for machines. */
export function checksJson(): string {
  const checks = CHECKS.map(({ run: _, ...check }) => check);
  return `${JSON.stringify({ checks })}\n`;
}

/** One object; colours and `--verbose` mean nothing to it. */
export function diagnosisJson(diagnosis: Diagnosis): string {
  return `${JSON.stringify(viewDiagnosis(diagnosis))}\n`;
}

/** The members of that object. */
export function viewDiagnosis({ settings, source, findings, ignored }: Diagnosis) {
  const { backend, variant, chain, families } = settings;
  const counts = Object.fromEntries(SEVERITIES.map((severity) => [severity, countOf(findings, severity)]));
  const leftOut = ignored.length === 0 ? undefined : ignored;
  return { backend, variant, chain, families, source, counts, ignored: leftOut, findings };
}
