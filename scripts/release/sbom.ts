/** The bill of materials of an image: npm's list of the bundle's packages, and those of Debian, from their records in it. */

interface Component {
  readonly type: "library";
  readonly name: string;
  readonly version: string;
  readonly purl: string;
}

/** Records in the form of dpkg's status file, an empty line between them. */
export function debianComponents(records: string): readonly Component[] {
  return records.split(/\n\s*\n/).flatMap((record) => {
    const field = (name: string) => new RegExp(`^${name}: (.+)$`, "m").exec(record)?.[1];
    const [name, version, arch] = [field("Package"), field("Version"), field("Architecture")];
    if (name === undefined || version === undefined) return [];
    const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${arch ?? "all"}`;
    return [{ type: "library" as const, name, version, purl }];
  });
}

/** `npm` is a CycloneDX document; returns it with Debian's packages, and the image as its subject. */
export function imageBill(
  npm: { readonly components?: readonly object[]; readonly metadata?: object },
  debian: readonly Component[],
  image: { readonly name: string; readonly digest: string; readonly version: string },
): object {
  const hex = image.digest.replace("sha256:", "");
  return {
    ...npm,
    metadata: {
      ...npm.metadata,
      component: {
        type: "container",
        name: image.name,
        version: image.version,
        hashes: [{ alg: "SHA-256", content: hex }],
      },
    },
    components: [...(npm.components ?? []), ...debian],
  };
}
