import { readFileSync } from "node:fs";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { make } from "./container.ts";

interface Component {
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly licenses: readonly { readonly license: { readonly id: string } }[];
}

/** The npm packages whose files are in the bundle. */
async function bundled(): Promise<readonly string[]> {
  const { metafile } = await build({
    entryPoints: ["src/main.ts"],
    bundle: true,
    write: false,
    metafile: true,
    platform: "node",
    format: "cjs",
    external: ["*.node"],
  });
  const names = Object.keys(metafile.inputs).flatMap((path) => {
    return /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [];
  });
  return [...new Set(names)].sort();
}

test("`make sbom` names each package in the bundle, with versions and licences", async () => {
  make("sbom");
  const bill = JSON.parse(readFileSync("dist/ip-masq-agent.cdx.json", "utf8"));
  expect(bill).toMatchObject({ bomFormat: "CycloneDX", metadata: { component: { type: "application" } } });
  const components: readonly Component[] = bill.components;
  const shipped = await bundled();
  expect(shipped).not.toEqual([]);
  expect(components.map(({ name }) => name)).toEqual(expect.arrayContaining([...shipped]));
  const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
  for (const { name, version, purl, licenses } of components) {
    const locked = packages[`node_modules/${name}`];
    expect({ version, licenses }).toEqual({
      version: locked.version,
      licenses: [{ license: { id: locked.license } }],
    });
    expect(purl).toBe(`pkg:npm/${name}@${version}`);
  }
});
