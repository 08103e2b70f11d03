/** Helm's own words: what it says of values that are wrong, and that it takes the chart for each version of Kubernetes. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { publishedMetadata } from "../../scripts/release/chart.ts";
import { withDefaultImage } from "../../scripts/release/manifests.ts";
import { command } from "../lab/command.ts";
import { wholeBlocks } from "../lab/documents.ts";
import { cells } from "../lab/length.ts";
import { parseManifest } from "../lab/manifest.ts";
import { CHART, findHelm, inChart, template, useChart } from "./chart.ts";

const IMAGE = { image: { repository: "r.example/x" } };

describe.each(cells([3, 3.8, 4] as const, (version) => version === 3))("Helm %s", (version) => {
  const { path: helm = "", missing } = findHelm(version);
  const { refusal } = useChart(version);

  test.skipIf(missing !== undefined)("finds nothing in the chart that it would not do", async () => {
    await command(helm, ["lint", "--strict", CHART]);
  });

  test.skipIf(missing !== undefined)(
    "takes it from Kubernetes 1.25 on, as it is written by vendors, too",
    async () => {
      const versions = ["1.25.0", "1.31.9-gke.1127000", "1.33.4-eks-3cfe0ce", "1.36.2", "1.37.0-rc.1"];
      for (const kube of versions) {
        const { code, stderr } = await template(helm, CHART, IMAGE, { args: ["--kube-version", kube] });
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      }
      const old = await template(helm, CHART, IMAGE, { args: ["--kube-version", "1.24.9"] });
      expect(old.stderr).toContain(
        "chart requires kubeVersion: >=1.25.0-0 which is incompatible with Kubernetes v1.24.9",
      );
    },
  );

  // Each of them is one sentence, and names the value.
  test.skipIf(missing !== undefined).each<[object, RegExp]>([
    [{}, /image\.repository is empty, and no image is published: set image\.repository to yours/],
    [{ env: [] }, /[Aa]dditional propert.*env.* not allowed/],
    [{ flags: { "enable-ipv6": true } }, /flags.*enable-ipv6.* not allowed/],
    [
      { ...IMAGE, httpAddress: "localhost:9000" },
      /httpAddress: "localhost:9000" is not an IP address with a port/,
    ],
    [{ ...IMAGE, httpAddress: "127.0.0.1:65536" }, /httpAddress: "127\.0\.0\.1:65536" is not an IP address/],
    [
      { ...IMAGE, config: { inline: { nonMasqueradeCIDRs: ["10.0.0.0"] } } },
      /config\.inline\.nonMasqueradeCIDRs: "10\.0\.0\.0" is not a CIDR such as 10\.0\.0\.0\/8/,
    ],
    [
      { ...IMAGE, extraArgs: ["-http-address=:1"] },
      /extraArgs: what this flag sets is the value httpAddress/,
    ],
    [{ ...IMAGE, extraArgs: ["--enable-ipv6"] }, /extraArgs: what this flag sets is the value enableIPv6/],
    [
      { ...IMAGE, config: { watch: true }, serviceAccount: { create: false } },
      /serviceAccount\.create is false and serviceAccount\.name is empty: config\.watch and report need a ServiceAccount/,
    ],
    [
      { ...IMAGE, monitoring: { podMonitor: { enabled: true } } },
      /monitoring\.podMonitor\.enabled: Prometheus cannot reach httpAddress\. Set httpAddress to \$\(HOST_IP\):10279/,
    ],
    [
      { ...IMAGE, monitoring: { prometheusRule: { enabled: true, disabled: { IpMasqAgentDwn: true } } } },
      /prometheusRule\.disabled: there is no alert IpMasqAgentDwn, but IpMasqAgentDown, /,
    ],
    [
      { ...IMAGE, updateStrategy: { rollingUpdate: { maxSurge: 1 } } },
      /updateStrategy.*rollingUpdate.*maxSurge.* not allowed/,
    ],
  ])("refuses %j", async (values, why) => {
    expect(await refusal(values)).toMatch(why);
  });
});

describe("the README", () => {
  const { path: helm = "", missing } = findHelm();

  test.skipIf(missing !== undefined)("has examples that the chart takes", async () => {
    const examples = wholeBlocks(readFileSync(inChart("README.md"), "utf8"), "yaml");
    expect(examples.length).toBeGreaterThan(5);
    for (const text of examples) {
      const values = parseManifest(Buffer.from(text), "README.md") as object;
      const { code, stderr } = await template(helm, CHART, { ...IMAGE, ...values });
      expect({ code, stderr }, text).toEqual({ code: 0, stderr: "" });
    }
  });
});

describe("of a changed copy", () => {
  const { path: helm = "", missing } = findHelm();

  /** Does something with a copy of the chart. */
  async function withCopy(act: (copy: string) => Promise<void>): Promise<void> {
    const copy = mkdtempSync("build/chart-copy-");
    try {
      cpSync(CHART, copy, { recursive: true });
      await act(copy);
    } finally {
      rmSync(copy, { recursive: true });
    }
  }

  function change(path: string, made: (text: string) => string): void {
    const text = readFileSync(path, "utf8");
    expect(made(text)).not.toBe(text);
    writeFileSync(path, made(text));
  }

  test.skipIf(missing !== undefined)("an older Helm is named, with the one that is needed", async () => {
    await withCopy(async (copy) => {
      change(join(copy, "templates/_helpers.tpl"), (text) => text.replace(">=3.8.0-0", ">=9.0.0-0"));
      const { stderr } = await template(helm, copy, IMAGE);
      expect(stderr).toMatch(/this chart needs Helm 3\.8 or newer, and this is v\d/);
    });
  });

  test.skipIf(missing !== undefined)("a released chart has its image, by digest", async () => {
    await withCopy(async (copy) => {
      const digest = `sha256:${"a".repeat(64)}`;
      const names = { home: "https://git.example.com/network/masq" };
      const published = { names, tag: "v1.2.3", image: `r.example/masq@${digest}`, changes: "- One.\n" };
      change(join(copy, "values.yaml"), (text) => withDefaultImage(text, "r.example/masq", digest));
      change(join(copy, "Chart.yaml"), (text) => publishedMetadata(text, published));
      await command(helm, ["lint", "--strict", copy]);
      const { code, stdout } = await template(helm, copy, {});
      expect(code).toBe(0);
      expect(stdout).toContain(`image: "r.example/masq@${digest}"\n`);
    });
  });
});
