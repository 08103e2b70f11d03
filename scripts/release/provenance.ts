/** SLSA's statement of how an image came to be (https://slsa.dev/spec/v1.0/provenance), without its subject. */

export interface Origin {
  /** As in `https://github.com/owner/ip-masq-agent`. */
  readonly home: string;
  readonly tag: string;
  readonly commit: string;
  /** The base image, with its digest where it is known. */
  readonly base: { readonly name: string; readonly digest: string };
  /** GitHub's variables of the run; absent in a rehearsal. */
  readonly runId?: string | undefined;
  readonly runAttempt?: string | undefined;
}

export function provenanceOf({ home, tag, commit, base, runId, runAttempt }: Origin): object {
  const isHosted = runId !== undefined;
  const git = `git+${home}@refs/tags/${tag}`;
  const from = base.digest === "" ? {} : { digest: { sha256: base.digest.replace(/^@?sha256:/, "") } };
  return {
    buildDefinition: {
      buildType: isHosted ? "https://actions.github.io/buildtypes/workflow/v1" : `${home}/make/release-dry`,
      externalParameters: {
        workflow: { ref: `refs/tags/${tag}`, repository: home, path: ".github/workflows/release.yaml" },
      },
      resolvedDependencies: [
        { uri: git, digest: { gitCommit: commit } },
        { uri: `docker://${base.name}`, ...from },
      ],
    },
    runDetails: {
      builder: {
        id: isHosted ? "https://github.com/actions/runner/github-hosted" : `${home}/make/release-dry`,
      },
      metadata: isHosted
        ? { invocationId: `${home}/actions/runs/${runId}/attempts/${runAttempt ?? "1"}` }
        : {},
    },
  };
}
