/** An image in an emulated machine with a kernel of Debian's. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sh } from "./container.ts";

/** What a machine's script said of one thing. */
export interface Section {
  readonly text: string;
  readonly code: number;
}

export interface Machine {
  readonly arch: "amd64" | "arm64";
  /** Debian's release, whose kernel it is. */
  readonly suite: string;
  /** By name, added to the image's root. */
  readonly files: Readonly<Record<string, string>>;
  /** For the shell: it prints `=== HEADING`, what is said, and `--- EXIT_CODE`. */
  readonly script: string;
}

/** Boots an image's root, runs the script there, and returns its sections by heading. */
export function runInMachine(
  root: string,
  { arch, suite, files, script }: Machine,
): ReadonlyMap<string, Section> {
  addFiles(root, files);
  const directory = mkdtempSync(join(tmpdir(), "image-machine-"));
  try {
    writeFileSync(join(directory, "script"), script);
    return sections(sh("test/image/machine.sh", arch, suite, root, join(directory, "script")));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Writes files into a root, by name. */
export function addFiles(root: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
}

function sections(text: string): ReadonlyMap<string, Section> {
  const found = text.matchAll(/^=== (.*)\n([\s\S]*?)^--- (\d+)$/gm);
  return new Map(
    [...found].map(([, name = "", said = "", code]) => [name, { text: said, code: Number(code) }]),
  );
}
