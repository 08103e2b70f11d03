/** Release notes: the part of CHANGELOG.md about one version, and how to get and verify it. */

/** The text under a version's heading; undefined if there is none. `date` is the word behind the version. */
export function changesOf(
  changelog: string,
  version: string,
): { readonly text: string; readonly date: string | undefined } | undefined {
  const heading = new RegExp(`^## \\[?${version.replaceAll(".", "\\.")}\\]?(?: - (\\S+))?$`);
  const parts = changelog.split(/^(?=## )/m);
  for (const part of parts) {
    const [first = "", ...rest] = part.split("\n");
    const found = heading.exec(first);
    if (found !== null) return { text: rest.join("\n").trim(), date: found[1] };
  }
  return undefined;
}

/** Links to files of the repository, which lead nowhere on the page of a release, as addresses at the tag. */
export function absoluteLinks(markdown: string, home: string, tag: string): string {
  return markdown.replaceAll(
    /\]\((?![a-z]+:|#)([^()\s]+)\)/g,
    (_all, target) => `](${home}/blob/${tag}/${target})`,
  );
}

export interface Published {
  readonly tag: string;
  readonly home: string;
  /** With its digest. */
  readonly image: string;
  readonly chart: string;
  readonly installUrl: string;
}

/** The page of the release. */
export function renderNotes(changes: string, { tag, home, image, chart, installUrl }: Published): string {
  const version = tag.slice(1);
  return `${absoluteLinks(changes, home, tag)}

## Get it

\`\`\`sh
kubectl apply -f ${installUrl}
helm install ip-masq-agent oci://${chart} --version ${version} --namespace kube-system
npx ip-masq-agent@${version} validate FILE
\`\`\`

The image is \`${image}\`. Verify who built it:

\`\`\`sh
cosign verify ${image} \\
  --certificate-identity-regexp '^${home}/\\.github/workflows/release\\.yaml@refs/tags/v' \\
  --certificate-oidc-issuer https://token.actions.githubusercontent.com
\`\`\`
`;
}
