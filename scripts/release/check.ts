/** The reasons why a tree cannot be released, each in one sentence. */
import { type Names, NOBODY } from "./names.ts";
import { changesOf } from "./notes.ts";

/** A tree, as git and its files show it. */
export interface Tree {
  /** Tags of the commit. */
  readonly tags: readonly string[];
  /** Files that differ from the commit. */
  readonly changed: readonly string[];
  /** Versions by the file that names them. */
  readonly versions: Readonly<Record<string, string>>;
  readonly changelog: string;
}

const TAG = /^v(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)$/;

/** The tag that is released; a rehearsal (`dry`) of an untagged commit takes the version of package.json. */
export function tagOf({ tags, versions }: Tree, dry: boolean): string | undefined {
  const tag = tags.find((one) => TAG.test(one));
  return tag ?? (dry ? `v${versions["package.json"]}` : undefined);
}

export function problemsOf(tree: Tree, names: Names, dry: boolean): readonly string[] {
  const tag = tagOf(tree, dry);
  const example = `v${tree.versions["package.json"]}`;
  return [
    ...(tag === undefined
      ? [`the commit has no tag: give it one, as in git tag -a ${example} -m ${example}, and push that`]
      : versionProblems(tree, tag.slice(1), dry)),
    ...(tree.changed.length === 0
      ? []
      : [`the tree differs from its commit (${shorten(tree.changed)}): commit the changes, or undo them`]),
    ...(dry || !names.repository.startsWith(`${NOBODY}/`)
      ? []
      : [
          `package.json's repository has no owner: write it there, or set GITHUB_REPOSITORY=owner/ip-masq-agent`,
        ]),
  ];
}

function versionProblems({ versions, changelog }: Tree, version: string, dry: boolean): readonly string[] {
  const others = Object.entries(versions).filter(([, one]) => one !== version);
  const wrong = others.map(
    ([file, one]) => `${file} has version ${one}, not ${version} as the tag: make them equal`,
  );
  const changes = changesOf(changelog, version);
  if (changes === undefined)
    return [...wrong, `CHANGELOG.md has no heading "## ${version} - DATE": write what has changed`];
  return dry ? wrong : [...wrong, ...unfinished(changelog, changes, version)];
}

/** Sentences of a changelog that nobody has finished. */
function unfinished(
  changelog: string,
  { text, date = "" }: NonNullable<ReturnType<typeof changesOf>>,
  version: string,
): readonly string[] {
  const isDated = /^\d{4}-\d{2}-\d{2}$/.test(date);
  const later = changesOf(changelog, "Unreleased")?.text ?? "";
  return [
    ...(isDated ? [] : [`CHANGELOG.md has no date behind "## ${version}": add it, as in " - 2026-01-31"`]),
    ...(later === "" ? [] : [`CHANGELOG.md has changes under "Unreleased": move them to "## ${version}"`]),
    ...(/^Not (?:published|released) yet/.test(text)
      ? [`CHANGELOG.md says that ${version} is not published yet`]
      : []),
  ];
}

function shorten(files: readonly string[]): string {
  const more = files.length - 3;
  return [...files.slice(0, 3), ...(more > 0 ? [`${more} more`] : [])].join(", ");
}

/** The first version of Helm that pushes charts to registries without a switch. */
const HELM = [3, 8];

/** `said` is what `helm version --short` printed. */
export function helmProblem(said: string): string | undefined {
  const [, major = "", minor = ""] = /v(\d+)\.(\d+)\./.exec(said) ?? [];
  const [wanted = 0, least = 0] = HELM;
  const isNew = Number(major) > wanted || (Number(major) === wanted && Number(minor) >= least);
  return isNew
    ? undefined
    : `helm is ${said.trim() || "of no known version"}: pushing a chart needs ${HELM.join(".")} or newer`;
}
