/** What holds for every document: links lead somewhere, and commands that are shown exist. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { expect, test } from "vitest";
import { allFlags } from "../src/cli/command.ts";
import { COMMANDS } from "../src/cli/commands.ts";
import { allManuals } from "../src/cli/help.ts";
import { parseAgentFlags } from "../src/cli/options.ts";
import { parseFlags } from "../src/go/flags.ts";
import { decodeText } from "./lab/config.ts";
import { anchors, calls, documents, links, passages, runnableCalls } from "./lab/documents.ts";

const pages = documents();
const manuals = await allManuals(COMMANDS);

/** The fault of a link from this page, if any. */
function brokenLink(from: string, target: string): string | undefined {
  if (/^[a-z]+:/.test(target)) return undefined;
  const [file = "", anchor] = target.split("#");
  const path = file === "" ? from : normalize(join(dirname(from), file));
  if (!existsSync(path)) return `${target}: no such file`;
  if (anchor === undefined || anchors(readFileSync(path, "utf8")).has(anchor)) return undefined;
  return `${target}: no such heading`;
}

/** What the program would say of these arguments, if anything. */
function refused(args: string): string | undefined {
  const [name = "", ...rest] = args.split(/\s+/);
  const isRun = name.startsWith("-") || name === "run";
  const manual = manuals.find((one) => one.name === name);
  if (manual === undefined && !isRun) return `${name} is no command`;
  const parsed =
    manual === undefined || isRun
      ? parseAgentFlags(name === "run" ? rest : [name, ...rest])
      : parseFlags(allFlags(manual), rest, "anywhere");
  return parsed.kind === "error" ? parsed.message : undefined;
}

test.each(pages.map(({ path, text }) => [path, text]))("the links in %s lead somewhere", (path, text) => {
  expect(links(text).flatMap((target) => brokenLink(path, target) ?? [])).toEqual([]);
});

test.each(pages.map(({ path, text }) => [path, text]))(
  "the commands in %s exist, with their flags",
  (_, text) => {
    const wrong = calls(text).flatMap((args) => {
      const why = refused(args);
      return why === undefined ? [] : [`ip-masq-agent ${args}: ${why}`];
    });
    expect(wrong).toEqual([]);
  },
);

/** What else an operator reads: manifests with their comments, and what the chart prints. */
function notes(): readonly string[] {
  const deployed = readdirSync("deploy", { recursive: true, encoding: "utf8" })
    .filter((path) => /\.(ya?ml|tpl|txt|json)$/.test(path))
    .map((path) => join("deploy", path));
  return ["ip-masq-agent.yaml", "agent-config/config", ...deployed].map((path) => readFileSync(path, "utf8"));
}

/** Passages that name the kubelet's flag, but not the versions: from 1.24 on a kubelet with it does not start. */
function timeless(text: string): readonly string[] {
  return passages(text).filter((one) => one.includes("non-masquerade-cidr") && !/1\.2[34]/.test(one));
}

test("every mention of the kubelet's flag names the versions that have it", () => {
  const texts = [...pages.map(({ text }) => text), ...notes()];
  expect(texts.filter((text) => text.includes("non-masquerade-cidr")).length).toBeGreaterThan(3);
  expect(texts.flatMap(timeless)).toEqual([]);
  const page = "Set `--non-masquerade-cidr`.\n\nUp to 1.23.\n- 1.24\n- `--non-masquerade-cidr`\n\n";
  expect(timeless(`${page}| 1.23: \`--non-masquerade-cidr\` |\n`)).toEqual([
    "Set `--non-masquerade-cidr`.",
    "- `--non-masquerade-cidr`",
  ]);
});

test("the configurations that docs/configure.md shows are accepted without a warning", () => {
  const page = readFileSync("docs/configure.md", "utf8");
  const blocks = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block = ""]) => block);
  expect(blocks.length).toBeGreaterThan(4);
  for (const block of blocks) {
    const decoded = decodeText(block, { enableIPv6: block.includes("::") });
    expect([block, decoded.ok ? decoded.value.warnings : decoded.problems]).toEqual([block, []]);
  }
});

test("the README is short enough to be read, and begins with the words that people search for", () => {
  const lines = readFileSync("README.md", "utf8").split("\n");
  expect(lines.length - 1).toBeLessThanOrEqual(180);
  const head = lines.slice(0, 6).join("\n");
  for (const word of ["masquerade", "SNAT", "egress", "pod IP", "sync"]) expect(head).toContain(word);
});

test("what would be found is found", () => {
  const page = [
    "# One `two`\n## A [b](README.md) C?\n[x](#gone) [y](https://example.com) `[z](w)`",
    "`ip-masq-agent explain --lives 1` and `ip-masq-agent`",
    "   ```sh\n   kubectl exec POD -- ip-masq-agent nothing\n   ip-masq-agent status\n   ```",
  ].join("\n\n");
  expect([...anchors(page)]).toEqual(["one-two", "a-b-c"]);
  expect(links(page).flatMap((target) => brokenLink("SECURITY.md", target) ?? [])).toEqual([
    "#gone: no such heading",
  ]);
  expect(calls(page).map(refused)).toEqual([
    "nothing is no command",
    undefined,
    "flag provided but not defined: -lives",
  ]);
  expect(runnableCalls(page)).toEqual(["status"]);
});

test("every page of docs is in its index", () => {
  const index = readFileSync("docs/README.md", "utf8");
  const missing = pages
    .map(({ path }) => path)
    .filter((path) => /^docs\//.test(path) && path !== "docs/README.md")
    .filter((path) => !index.includes(`](${path.slice("docs/".length)})`));
  expect(missing).toEqual([]);
});

test("the changelog has this version", () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  expect(readFileSync("CHANGELOG.md", "utf8")).toContain(`\n## ${version}\n`);
});

test("the workflow calls make targets that exist", () => {
  const makefile = readFileSync("Makefile", "utf8");
  const workflow = readFileSync(".github/workflows/ci.yaml", "utf8");
  const targets = [...workflow.matchAll(/run: make ([\w-]+)$/gm)].map(([, target = ""]) => target);
  expect(targets).toContain("test");
  for (const target of targets) expect(makefile).toMatch(new RegExp(`^${target}:`, "m"));
});
