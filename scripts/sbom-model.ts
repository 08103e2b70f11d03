/** A bill of materials in CycloneDX's JSON from what npm and Debian write of packages. Pure: texts in, a value out. */

export interface Component {
  readonly type: "library" | "application";
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  /** How vulnerability databases call what has no packages of its own. */
  readonly cpe?: string;
  readonly licenses?: readonly Licence[];
}

/** By SPDX's identifier, or by a name that is none. */
interface Licence {
  readonly license: { readonly id: string } | { readonly name: string };
}

export interface Bill {
  readonly bomFormat: "CycloneDX";
  readonly specVersion: "1.5";
  readonly version: 1;
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
}

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly dev?: boolean; readonly license?: string }>
  >;
}

/** The agent of `version`, with the packages of a lock file that are not for development alone, and the image's. */
export function billOf(version: string, lock: Lock, records: string): Bill {
  const components = [...npmComponents(lock), ...imageComponents(records)];
  const unique = new Map(components.map((one) => [one.purl, one]));
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: {
      component: {
        type: "application",
        name: "ip-masq-agent",
        version,
        purl: `pkg:generic/ip-masq-agent@${encodeURIComponent(version)}`,
        licenses: [{ license: { id: "Apache-2.0" } }],
      },
    },
    components: [...unique.values()].sort((a, b) => (a.purl < b.purl ? -1 : 1)),
  };
}

function npmComponents({ packages }: Lock): readonly Component[] {
  return Object.entries(packages).flatMap(([path, { version, dev, license }]) => {
    const name = path.split("node_modules/").at(-1);
    if (!name || version === undefined || dev === true) return [];
    const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
    const licenses = license === undefined ? {} : { licenses: [{ license: { id: license } }] };
    return [{ type: "library", name, version, purl, ...licenses }];
  });
}

/** Records as in dpkg's status, apart by empty lines; one without an architecture is not Debian's: node. */
function imageComponents(records: string): readonly Component[] {
  const all = records.split(/\n{2,}/).flatMap((text) => parseRecord(text) ?? []);
  // Debian's release, as scanners want it, is the first number of this package's version.
  const release = /^\d+/.exec(all.find(({ name }) => name === "base-files")?.version ?? "")?.[0];
  return all.map((one) =>
    one.architecture === undefined ? nodeComponent(one) : debianComponent(one, release),
  );
}

interface DebianRecord {
  readonly name: string;
  readonly version: string;
  readonly architecture: string | undefined;
  /** The source package, by which Debian's security tracker knows it. */
  readonly source: string | undefined;
  readonly licences: readonly string[];
}

function parseRecord(text: string): DebianRecord | undefined {
  const fields = (name: string) =>
    [...text.matchAll(new RegExp(`^${name}: *(.+)$`, "gm"))].map(([, value = ""]) => value);
  const [name, version] = [fields("Package")[0], fields("Version")[0]];
  if (name === undefined || version === undefined) return undefined;
  // A source of another version has that behind it, in parentheses.
  const source = fields("Source")[0]?.split(" ")[0];
  return { name, version, architecture: fields("Architecture")[0], source, licences: fields("License") };
}

function nodeComponent({ name, version }: DebianRecord): Component {
  return {
    type: "application",
    name,
    version,
    purl: `pkg:generic/${name}@${version}`,
    cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*`,
    licenses: [{ license: { id: "MIT" } }],
  };
}

function debianComponent(record: DebianRecord, release: string | undefined): Component {
  const { name, version, architecture, source, licences } = record;
  const qualifiers = Object.entries({
    arch: architecture,
    distro: release && `debian-${release}`,
    upstream: source,
  }).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${encodeURIComponent(value)}`]));
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?${qualifiers.join("&")}`;
  // Debian's names are not SPDX's, and they are those of the whole source package.
  const licenses = licences.map((licence) => ({ license: { name: licence } }));
  return { type: "library", name, version, purl, ...(licenses.length > 0 ? { licenses } : {}) };
}
