/** A configuration document: the answer of the reader in `yaml/`, with its failure as a problem of a file. */

import { positionAt } from "../yaml/positions.ts";
import { type Document, readDocument } from "../yaml/reader.ts";
import type { Problem, Result } from "./problem.ts";
import { syntaxHint } from "./text-hints.ts";

/** Reads a document, or returns its problem, mostly in Go's words. */
export function parseDocument(bytes: Uint8Array, path: string): Result<Document> {
  const read = readDocument(bytes);
  if (read.ok) return { ok: true, value: read.document };
  const { text, failure } = read;
  const { code, message, at } = failure;
  const hint = code === "syntax" ? syntaxHint(message, text, at) : undefined;
  const problem: Problem = { code, path, ...positionAt(text, at), message };
  return { ok: false, problems: [hint === undefined ? problem : { ...problem, hint }] };
}
