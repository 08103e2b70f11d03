/**
 * The image itself: built by the make targets, run with exactly the manifest's security context in a network namespace,
 * pushed to a registry on the loopback. It takes minutes, so it waits to be asked: `make image-test`, `make prove`.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../lab/network/lab.ts";
import { buildImage, createNamespace, make, missingTools, type NodeNamespace, sh } from "./container.ts";
import { layersOf, lookInto, startRegistry } from "./registry.ts";

const { IMAGE_TEST } = process.env;
const asked = IMAGE_TEST === "1";
const missing = asked ? missingTools() : [];
if (!asked) console.warn("SKIPPED: the image is tried by `make image-test` (IMAGE_TEST=1)");
else if (missing.length > 0) console.warn(`SKIPPED: the image is not tried without ${missing.join(", ")}`);
const able = test.skipIf(!asked || missing.length > 0);
const LONG = { timeout: 600_000 };

let image = "";
let node: NodeNamespace | undefined;

beforeAll(() => {
  if (asked && missing.length === 0) image = buildImage();
}, 600_000);

afterAll(() => node?.close());

function fresh(): NodeNamespace {
  node?.close();
  node = createNamespace(image);
  return node;
}

able("has no shell and no npm, and the bundle is the one that is built here", LONG, () => {
  make("build", `VERSION=${make("version").trim()}`);
  lookInto(image, (root, config) => {
    for (const name of ["bin/sh", "usr/bin/dash", "usr/bin/bash", "usr/local/bin/npm", "usr/bin/apt-get"])
      expect(existsSync(join(root, name)), name).toBe(false);
    for (const name of [
      "libc6",
      "iptables",
      "nftables",
      "ipset",
      "conntrack",
      "node",
      "npm",
      "ip-masq-agent",
    ])
      expect(readdirSync(join(root, "usr/share/doc", name)), name).not.toEqual([]);
    const bundle = readFileSync(join(root, "usr/local/lib/ip-masq-agent/ip-masq-agent.cjs"));
    expect(bundle.equals(readFileSync("dist/ip-masq-agent.cjs"))).toBe(true);
    expect(config).toMatchObject({ User: "0:0", Entrypoint: ["/usr/local/bin/ip-masq-agent"] });
  });
});

able(
  "programs a node's rules with either backend and all variants, with the manifest's security context",
  LONG,
  async () => {
    const kinds = [
      { args: ["--backend=iptables", "--iptables-mode=nft"], shown: ["iptables-nft-save", "-t", "nat"] },
      {
        args: ["--backend=iptables", "--iptables-mode=legacy"],
        shown: ["iptables-legacy-save", "-t", "nat"],
      },
      { args: ["--backend=nftables"], shown: ["nft", "list", "ruleset"] },
    ];
    for (const { args, shown } of kinds) {
      const namespace = fresh();
      const agent = namespace.start(args);
      const [file = "", ...rest] = shown;
      await eventually(() => expect(namespace.in(file, ...rest), agent.log()).toMatch(/masquerade/i));
      expect(namespace.in(file, ...rest)).toContain("172.16.0.0/12");
      expect(agent.exec("ip-masq-agent", "version")).toContain(make("version").trim());
      expect(agent.log()).not.toMatch(/^[EW]\d{4}/m);
    }
  },
);

able("without a capability the log names that one alone, and where to add it", LONG, async () => {
  const kinds = [
    { without: ["NET_ADMIN"], args: ["--backend=nftables"] },
    { without: ["NET_ADMIN"], args: ["--backend=iptables", "--iptables-mode=nft"] },
    { without: ["NET_RAW"], args: ["--backend=iptables", "--iptables-mode=legacy"] },
  ];
  for (const { without, args } of kinds) {
    const agent = fresh().start(args, { without });
    await eventually(() => expect(agent.log()).toMatch(/^E\d{4}/m));
    const error = /^E\d{4}.*$/m.exec(agent.log())?.[0] ?? "";
    for (const name of ["NET_ADMIN", "NET_RAW"]) {
      if (without.includes(name)) expect(error).toContain(name);
      else expect(error).not.toContain(name);
    }
    expect(error).toMatch(/capabilities/);
  }
});

able("scanners find Debian's release, and each package with its version and licence", LONG, () => {
  lookInto(image, (root) => {
    expect(readFileSync(join(root, "etc/os-release"), "utf8")).toMatch(/^VERSION_ID="13"$/m);
    const packages = readdirSync(join(root, "var/lib/dpkg/status.d"));
    expect(packages).toEqual(expect.arrayContaining(["base-files", "iptables", "libc6", "nftables"]));
    for (const name of packages) {
      const record = readFileSync(join(root, "var/lib/dpkg/status.d", name), "utf8");
      expect(record).toContain(`Package: ${name}\n`);
      expect(record).toMatch(/^Version: .+$/m);
      expect(existsSync(join(root, "usr/share/doc", name, "copyright")), name).toBe(true);
    }
  });
});

able("the same commit makes the same layers, and they get through a registry", LONG, async () => {
  // What the tool remembers may be of a build with other arguments: neither is made from that.
  const built = ["once", "and again"].map(() => {
    make("container", "BUILD_FLAGS=--no-cache");
    return layersOf(image);
  });
  expect(built[0]).toHaveLength(4);
  // All but the last, which V8 compiles.
  expect(built[1]?.slice(0, 3)).toEqual(built[0]?.slice(0, 3));
  for (const [flags, layer] of [
    ["", "application/vnd.oci.image.layer.v1.tar+gzip"],
    ["--compression-format=zstd", "application/vnd.oci.image.layer.v1.tar+zstd"],
  ]) {
    const registry = await startRegistry();
    try {
      const name = `${registry.address}/network`;
      make("all-push", `REGISTRY=${name}`, "PUSH_FLAGS=--tls-verify=false", `COMPRESS_FLAGS=${flags}`);
      const manifest = (reference: string) =>
        JSON.parse(sh("skopeo", "inspect", "--raw", "--tls-verify=false", `docker://${name}/${reference}`));
      const { manifests } = manifest(`ip-masq-agent:${make("version").trim()}`);
      const platforms: string[] = [];
      for (const { platform, digest } of manifests) {
        platforms.push(platform.architecture);
        // As everyone pulls it: by the list's name.
        const { layers } = manifest(`ip-masq-agent@${digest}`);
        expect(layers.map(({ mediaType }: { mediaType: string }) => mediaType)).toEqual(Array(4).fill(layer));
      }
      expect(platforms.sort()).toEqual(["amd64", "arm64"]);
    } finally {
      registry.close();
    }
  }
});
