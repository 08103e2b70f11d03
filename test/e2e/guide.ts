/** The commands that the documents tell an operator to type: runs each line that begins with kubectl unchanged. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attempt } from "../lab/command.ts";
import { blockLines, documents, wholeBlocks } from "../lab/documents.ts";
import { kustomizeTool } from "../lab/tool.ts";
import type { Cluster } from "./cluster.ts";

/** The placeholders in the documents for values that the operator fills in. */
type Blanks = Readonly<Record<"POD" | "NODE" | "REGISTRY/ip-masq-agent:VERSION", string>>;

export interface Guide {
  /** A copy of the files that lines name, with an image in place of the manifests' placeholder. */
  readonly directory: string;
  /** Puts another image there. */
  readonly useImage: (image: string) => void;
  /** Runs the lines of a page, or of the part under one of its headings, in their order; each must succeed. */
  readonly follow: (page: string, heading?: string) => Promise<void>;
  /** Lines that no test has followed yet, with their page. */
  readonly remaining: () => readonly { readonly page: string; readonly line: string }[];
  /** Counts a line as followed that this cluster cannot follow. */
  readonly leaveOut: (line: string) => void;
  /** Follows one line. */
  readonly type: (line: string) => Promise<string>;
  readonly close: () => void;
}

/** The placeholder, or the value that has replaced it already. */
const IMAGE = /(?<=image: )\S*ip-masq-agent:\S+/g;
const FILES = ["ip-masq-agent.yaml", "agent-config", "deploy"];

/** Calls `fill` again for each line: pods come and go. */
export function openGuide(cluster: Cluster, image: string, fill: () => Promise<Blanks>): Guide {
  const directory = mkdtempSync(join(tmpdir(), "ip-masq-agent-guide-"));
  for (const name of FILES) cpSync(name, join(directory, name), { recursive: true });
  cpSync("ip-masq-agent.yaml", join(directory, "install.yaml"));
  writeFileSync(join(directory, "kubectl"), `#!/bin/sh\nexec ${cluster.prefix.join(" ")} "$@"\n`, {
    mode: 0o755,
  });
  let current = image;
  const useImage = (name: string) => {
    current = name;
    for (const path of filesIn(directory).filter((path) => path.endsWith(".yaml")))
      writeFileSync(path, readFileSync(path, "utf8").replaceAll(IMAGE, name));
  };
  useImage(image);
  const followed = new Set<string>();
  const type: Guide["type"] = async (line) => {
    followed.add(line);
    const blanks = Object.entries(await fill());
    const filled = blanks.reduce(
      (text, [blank, value]) => text.replaceAll(new RegExp(`\\b${blank}\\b`, "g"), value),
      line,
    );
    const script = `${shellFunction(cluster)}\n${namesOf(current)}\ncd '${directory}' && ${filled}`;
    const { code, stdout, stderr } = await attempt("bash", ["-c", script]);
    if (code !== 0) throw new Error(`${filled}: ${code}: ${stderr}${stdout}`);
    return stdout;
  };
  return {
    directory,
    useImage,
    type,
    leaveOut: (line) => followed.add(line),
    follow: async (page, heading) => {
      for (const line of kubectlLines(page, heading)) await type(line);
    },
    remaining: () =>
      documents()
        .flatMap(({ path }) => kubectlLines(path).map((line) => ({ page: path, line })))
        .filter(({ line }) => !followed.has(line)),
    close: () => rmSync(directory, { recursive: true }),
  };
}

function filesIn(directory: string): readonly string[] {
  const paths = readdirSync(directory, { recursive: true, encoding: "utf8" });
  return paths.map((path) => join(directory, path)).filter((path) => statSync(path).isFile());
}

/** kubectl of the cluster. Overlays are built by this machine's: a cluster's own may be too old for components. */
function shellFunction({ prefix }: Cluster): string {
  const kubectl = prefix.join(" ");
  const kustomize = (kustomizeTool() ?? [kubectl, "kustomize"])
    .join(" ")
    .replace(/^kubectl/, "command kubectl");
  const apply = `if [ "$1 $2" = "apply -k" ]; then ${kustomize} "$3" | kubectl apply --filename=-; return; fi`;
  const build = `if [ "$1" = kustomize ]; then ${kustomize} "$2"; return; fi`;
  // A plugin finds the cluster by kubectl's own means, which this kubectl may not have.
  const plugin = `if [ "$1" = ip-masq ]; then KUBECTL=./kubectl ./deploy/kubectl/kubectl-ip_masq "\${@:2}"; return; fi`;
  return `set -o pipefail\nkubectl() { ${apply}; ${build}; ${plugin}; command ${kubectl} "$@"; }`;
}

/** The names that the README lets a reader set once, and the version that `make` says: those of the image that is loaded. */
function namesOf(image: string): string {
  const [, registry = "", tag = ""] = /^(.*)\/ip-masq-agent:(.*)$/.exec(image) ?? [];
  return `URL=.\nREGISTRY='${registry}'\nmake() { echo '${tag}'; }`;
}

/** The lines that begin with kubectl in the blocks of a page, or of the part under one of its headings. */
export function kubectlLines(page: string, heading?: string): readonly string[] {
  const text = readFileSync(page, "utf8");
  const lines = blockLines(heading === undefined ? text : partUnder(text, heading), "sh");
  const kubectl = lines.filter((line) => line.startsWith("kubectl "));
  if (heading !== undefined && kubectl.length === 0) throw new Error(`${page}: no kubectl under ${heading}`);
  return kubectl;
}

/** The ways to install that a page has under "Install", each as its lines, and the lines that check whether one has worked. */
export function installWays(page: string): {
  readonly ways: readonly (readonly string[])[];
  readonly check: readonly string[];
} {
  const part = partUnder(readFileSync(page, "utf8"), "Install");
  // The first block sets the names, in place of which `namesOf` has its own.
  const [, ...blocks] = wholeBlocks(part, "sh").map((block) => block.trimEnd().split("\n"));
  return { ways: blocks.slice(0, -1), check: blocks.at(-1) ?? [] };
}

/** From a heading to the next of its level or above. */
function partUnder(text: string, heading: string): string {
  const [, marks, rest = ""] = new RegExp(`^(#+) ${heading}\n(.*)`, "ms").exec(text) ?? [];
  const next = marks === undefined ? undefined : new RegExp(`^#{1,${marks.length}} `, "m").exec(rest);
  return rest.slice(0, next?.index);
}
