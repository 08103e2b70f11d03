/** Where a release goes. The one place that knows is `repository` in package.json; GitHub's workflow names its own repository. */

/** Stands for the owner of the repository until it has a public home. */
export const NOBODY = "OWNER";

export interface Names {
  /** As in `owner/ip-masq-agent`. */
  readonly repository: string;
  /** The address of the repository. */
  readonly home: string;
  /** Registry and path, as in `ghcr.io/owner`. */
  readonly registry: string;
  readonly image: string;
  /** Where charts are pushed to, without `oci://`. */
  readonly charts: string;
  readonly chart: string;
}

export interface NameSource {
  /** `repository.url` of package.json. */
  readonly url: string;
  /** `owner/name`; wins over `url`. */
  readonly repository?: string | undefined;
  /** Registry and path; by default GitHub's. */
  readonly registry?: string | undefined;
}

export function namesOf({ url, repository, registry }: NameSource): Names {
  const [, host = "", path = ""] = /^git\+(https:\/\/[^/]+)\/(.+)\.git$/.exec(url) ?? [];
  const full = repository || path;
  // Registries take no capital letters.
  const where = registry || `ghcr.io/${full.split("/")[0]?.toLowerCase()}`;
  const charts = `${where}/charts`;
  return {
    ...{ repository: full, home: `${host}/${full}`, registry: where },
    ...{ image: `${where}/ip-masq-agent`, charts, chart: `${charts}/ip-masq-agent` },
  };
}

/** Whether a registry is this machine's own, which has no certificate. */
export function isLoopback(registry: string): boolean {
  return /^(?:127\.|localhost[:/]|\[::1\])/.test(registry);
}

/** The asset of a release under its own address, as in `kubectl apply -f`. */
export function assetUrl({ home }: Pick<Names, "home">, tag: string, file: string): string {
  return `${home}/releases/download/${tag}/${file}`;
}
