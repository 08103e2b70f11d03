import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { billOf } from "../../scripts/sbom-model.ts";
import { faultsOfBill } from "./cyclonedx.ts";

const LOCK = {
  packages: {
    "": { version: "0.1.0", license: "Apache-2.0" },
    "node_modules/vitest": { version: "4.1.12", dev: true, license: "MIT" },
    "node_modules/@opentelemetry/api": { version: "1.9.0", license: "Apache-2.0" },
    "node_modules/netlink": { version: "0.3.0" },
    "node_modules/netlink/node_modules/@types/node": { version: "14.0.0", license: "MIT" },
  },
};
const RECORDS = `Package: base-files
Architecture: arm64
Version: 12.4+deb12u15

Package: libstdc++6
Source: gcc-12
Architecture: arm64
Version: 12.2.0-14
Description: a library
 Package: not a field

Package: libnfnetlink0
Source: libnfnetlink (1.0.2-1)
Version: 1.0.2-2
Architecture: arm64
License: GPL-2.0+
License: public-domain

Package: nftables
Version: 1:1.0.6-2+deb12u2
Architecture: arm64

Package: node
Version: 24.21.0
`;

test("what is shipped is listed, and what only builds it is not", () => {
  const { components, metadata } = billOf("v1.2.3", LOCK, RECORDS);
  expect(metadata.component).toMatchObject({ name: "ip-masq-agent", version: "v1.2.3" });
  expect(components.map(({ purl }) => purl)).toMatchInlineSnapshot(`
    [
      "pkg:deb/debian/base-files@12.4%2Bdeb12u15?arch=arm64&distro=debian-12",
      "pkg:deb/debian/libnfnetlink0@1.0.2-2?arch=arm64&distro=debian-12&upstream=libnfnetlink",
      "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=arm64&distro=debian-12&upstream=gcc-12",
      "pkg:deb/debian/nftables@1%3A1.0.6-2%2Bdeb12u2?arch=arm64&distro=debian-12",
      "pkg:generic/node@24.21.0",
      "pkg:npm/%40opentelemetry/api@1.9.0",
      "pkg:npm/%40types/node@14.0.0",
      "pkg:npm/netlink@0.3.0",
    ]
  `);
});

test("licences are npm's identifiers and Debian's names, and left out where there are none", () => {
  const { components } = billOf("v1.2.3", LOCK, RECORDS);
  const licences = (wanted: string) => components.find(({ name }) => name === wanted)?.licenses;
  expect(licences("@opentelemetry/api")).toEqual([{ license: { id: "Apache-2.0" } }]);
  expect(licences("netlink")).toBeUndefined();
  expect(licences("libnfnetlink0")).toEqual([
    { license: { name: "GPL-2.0+" } },
    { license: { name: "public-domain" } },
  ]);
  expect(licences("nftables")).toBeUndefined();
});

test("it is what CycloneDX's schema says", () => {
  expect(faultsOfBill(billOf("v1.2.3", LOCK, RECORDS))).toEqual([]);
  expect(faultsOfBill({ ...billOf("v1.2.3", LOCK, RECORDS), components: [{ name: "x" }] })).not.toEqual([]);
});

test("of npm's packages it names those that npm calls for production, all with a licence", () => {
  const { components } = billOf("v1", JSON.parse(readFileSync("package-lock.json", "utf8")), "");
  const names = components.map(({ name, version }) => `${name}@${version}`);
  expect(names.sort()).toEqual([...new Set(installed())].sort());
  for (const { name, licenses } of components) expect(licenses, name).not.toBeUndefined();
});

interface Installed {
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, Installed>>;
}

/** What `npm ls` finds in node_modules, as NAME@VERSION. */
function installed(): readonly string[] {
  const args = ["ls", "--omit=dev", "--all", "--json"];
  const names = ({ dependencies = {} }: Installed): string[] =>
    Object.entries(dependencies).flatMap(([name, one]) => [`${name}@${one.version}`, ...names(one)]);
  return names(JSON.parse(execFileSync("npm", args, { encoding: "utf8" })));
}

test("a record without a name or a version is nothing", () => {
  expect(billOf("v1", { packages: {} }, "Package: x\n\nVersion: 1\n\n\n").components).toEqual([]);
});
