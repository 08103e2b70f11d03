/** The files of a release that are made from files of the tree: the image's name goes into them. */
import { ReleaseError } from "./run.ts";

/** The placeholder, with the comment right before it, which says that it is one. */
const IMAGE = /(?:^ *#[^\n]*\n)*^( *(?:- )?image: )ip-masq-agent:v\S+$/gm;

/** A manifest with the image in place of each placeholder. */
export function withImage(manifest: string, image: string, head: string): string {
  if (manifest.match(IMAGE) === null)
    throw new ReleaseError("the manifest has no image: ip-masq-agent:vVERSION");
  const body = manifest.replaceAll(IMAGE, `$1${image}`).replace(/^(?:#[^\n]*\n)+/, "");
  return `${head}\n${body}`;
}

/** The chart's values with the image as their default. */
export function withDefaultImage(values: string, repository: string, digest: string): string {
  const block = /^image:\n(?:[ #][^\n]*\n)+/m.exec(values)?.[0];
  if (block === undefined) throw new ReleaseError("values.yaml has no block image:");
  const head =
    "  # -- This release's. To pull from another registry, copy the image there, and name it here.";
  const lines: readonly (readonly [RegExp, string])[] = [
    [/(?:^ *#[^\n]*\n)*^ {2}repository: .*$/m, `${head}\n  repository: ${repository}`],
    [/^ {2}digest: .*$/m, `  digest: ${digest}`],
  ];
  const filled = lines.reduce((text, [pattern, line]) => {
    if (!pattern.test(text)) throw new ReleaseError(`values.yaml has no ${line.trim()}`);
    return text.replace(pattern, line);
  }, block);
  return values.replace(block, filled);
}

/** krew's manifest of the plugin, with the archive's address and digest. */
export function withArchive(krew: string, version: string, uri: string, sha256: string): string {
  return krew
    .replace(/^#[^\n]*\n/, "")
    .replace(/^ {2}version: .*$/m, `  version: v${version}`)
    .replace(/uri: ""/, `uri: ${uri}`)
    .replace(/sha256: ""/, `sha256: ${sha256}`);
}

/** Keys of package.json that matter to people who install the package; the others are for contributors. */
const PUBLISHED = [
  "name",
  "version",
  "description",
  "keywords",
  "homepage",
  "bugs",
  "repository",
  "license",
] as const;
const RUNNING = ["type", "bin", "files", "engines"] as const;

/** The package that is published: the bundle has all that it needs, so it depends on nothing. */
export function publishedPackage(
  source: Readonly<Record<string, unknown>>,
  version: string,
  home: string,
): Readonly<Record<string, unknown>> {
  const kept = Object.fromEntries([...PUBLISHED, ...RUNNING].map((key) => [key, source[key]]));
  const repository = { type: "git", url: `git+${home}.git` };
  return { ...kept, version, homepage: `${home}#readme`, bugs: `${home}/issues`, repository };
}
