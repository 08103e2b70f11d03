import { expect, test } from "vitest";
import { billOf } from "../../scripts/sbom-model.ts";

const LOCK = {
  packages: {
    "": { version: "0.1.0", license: "Apache-2.0" },
    "node_modules/vitest": { version: "4.1.12", dev: true, license: "MIT" },
    "node_modules/@opentelemetry/api": { version: "1.9.0", license: "Apache-2.0" },
    "node_modules/netlink": { version: "0.3.0" },
    "node_modules/netlink/node_modules/@types/node": { version: "14.0.0", license: "MIT" },
  },
};
const RECORDS = `Package: libstdc++6
Architecture: arm64
Version: 12.2.0-14
Description: a library
 Package: not a field

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
      "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14?arch=arm64",
      "pkg:deb/debian/nftables@1%3A1.0.6-2%2Bdeb12u2?arch=arm64",
      "pkg:generic/node@24.21.0",
      "pkg:npm/%40opentelemetry/api@1.9.0",
      "pkg:npm/%40types/node@14.0.0",
      "pkg:npm/netlink@0.3.0",
    ]
  `);
});

test("licences are npm's own words, and left out where there are none", () => {
  const { components } = billOf("v1.2.3", LOCK, "");
  expect(components.find(({ name }) => name === "@opentelemetry/api")?.licenses).toEqual([
    { license: { id: "Apache-2.0" } },
  ]);
  expect(components.find(({ name }) => name === "netlink")).not.toHaveProperty("licenses");
});

test("a record without a name or a version is nothing", () => {
  expect(billOf("v1", { packages: {} }, "Package: x\n\nVersion: 1\n\n\n").components).toEqual([]);
});
