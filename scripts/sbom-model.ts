/** A bill of materials in CycloneDX's JSON from what npm and Debian write of packages. Pure: texts in, a value out. */

export interface Component {
  readonly type: "library" | "application";
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly licenses?: readonly { readonly license: { readonly id: string } }[];
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
  return records.split(/\n{2,}/).flatMap((record): readonly Component[] => {
    const field = (name: string) => new RegExp(`^${name}: *(.+)$`, "m").exec(record)?.[1];
    const [name, version, architecture] = [field("Package"), field("Version"), field("Architecture")];
    if (name === undefined || version === undefined) return [];
    if (architecture === undefined)
      return [{ type: "application", name, version, purl: `pkg:generic/${name}@${version}` }];
    const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}`;
    return [{ type: "library", name, version, purl: purl.replace("++", "%2B%2B") }];
  });
}
