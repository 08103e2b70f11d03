/**
 * The image for arm64, run: all of it in an emulated machine with Debian's kernel, its answers compared with those of the
 * image for amd64. What this does not say is how fast a real machine is, and how other kernels for arm64 are configured.
 */
import { spawnSync } from "node:child_process";
import { beforeAll, expect, test } from "vitest";
import { make, missingTools, sh } from "./container.ts";
import { addFiles, runInMachine, type Section } from "./machine.ts";
import { lookInto } from "./registry.ts";

const { IMAGE_TEST } = process.env;
const asked = IMAGE_TEST === "1";
const missing = asked ? missingTools(["qemu-system-aarch64", "cpio", "apt-get"]) : [];
if (missing.length > 0) console.warn(`SKIPPED: the image for arm64 is not run without ${missing.join(", ")}`);
const able = test.skipIf(!asked || missing.length > 0);

/** None of these needs the kernel's packet filter, so that both images have to say the same. */
const ANSWERS = [
  "render --config=/config.yaml --enable-ipv6 --backend=iptables",
  "render --config=/config.yaml --enable-ipv6 --backend=iptables --ipset-threshold=1",
  "render --config=/config.yaml --enable-ipv6 --backend=nftables",
  "render --config=/config.yaml --enable-ipv6 --to-ports=1024-29999,32768-65535",
  "explain --config=/config.yaml --enable-ipv6 10.1.2.3 10.20.0.1 8.8.8.8 fe80::1",
  "validate /config.yaml",
  "validate /bad.yaml",
  "help",
];
const FILES = {
  "config.yaml":
    "nonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12, 'fd00::/8']\nmasqueradeCIDRs: [10.20.0.0/16]\n",
  "bad.yaml": "nonMasqueradeCIDRs: [10.1.0.0/8]\nresyncInterval: soon\n",
};
const TOOLS = ["iptables", "iptables-legacy", "ip6tables", "ip6tables-legacy", "nft", "ipset", "conntrack"];

const NF_TABLES = { show: "nft list ruleset", spoil: "nft flush ruleset" };
const AGENTS: readonly { readonly args: string; readonly show: string; readonly spoil?: string }[] = [
  { args: "--backend=nftables", ...NF_TABLES },
  { args: "--backend=iptables", ...NF_TABLES },
  { args: "--backend=iptables --ipset-threshold=1", show: "nft list ruleset; ipset list -name" },
  { args: "--backend=iptables --iptables-mode=legacy", show: "iptables-legacy-save; ip6tables-legacy-save" },
];

/** What the machine runs: each section is a heading, what was said, and an exit code. */
const SCRIPT = `
export NO_COLOR=1
section() { echo "=== $1"; shift; "$@" 2>&1; echo "--- $?"; }
logged() { n=0; until grep -q "$1" /tmp/log; do n=$((n + 1)); [ $n -lt 1000 ] || return 1; sleep 0.3; done; }
agent() {
  : >/tmp/log
  ip-masq-agent $1 --config=/config.yaml --enable-ipv6 >/tmp/log 2>&1 &
  pid=$!
  logged "IPv6: programmed" && logged "serving at"
  [ -z "$3" ] || { eval "$3"; logged "IPv6: healed"; }
  section "$1: rules" eval "$2"
  kill $pid
  wait $pid
  section "$1: log" grep -v FLAG: /tmp/log
  ip-masq-agent cleanup >/dev/null 2>&1
  section "$1: left" eval "$2"
}
section machine uname -m
section version ip-masq-agent version
${TOOLS.map((tool) => `section ${tool} ${tool} --version`).join("\n")}
${ANSWERS.map((answer) => `section "${answer}" ip-masq-agent ${answer}`).join("\n")}
${AGENTS.map(({ args, show, spoil = "" }) => `agent "${args}" "${show}" "${spoil}"`).join("\n")}
`;

let said: ReadonlyMap<string, Section> = new Map();

function section(name: string): Section {
  const found = said.get(name);
  if (found === undefined) throw new Error(`the machine said nothing of ${name}: ${[...said.keys()]}`);
  return found;
}

beforeAll(() => {
  if (!asked || missing.length > 0) return;
  sh("test/image/base.sh");
  sh("scripts/image.sh", "build", "arm64", "amd64");
  said = lookInto(imageFor("arm64"), (root) =>
    runInMachine(root, { arch: "arm64", suite: "bookworm", files: FILES, script: SCRIPT }),
  );
}, 900_000);

function imageFor(arch: string): string {
  return `localhost/ip-masq-agent-${arch}:${make("version").trim()}`;
}

able("is for that machine, and all its tools run", () => {
  expect(section("machine").text).toBe("aarch64\n");
  expect(section("version").text).toMatch(/^ip-masq-agent v\S+ \(node v24\.\S+, linux\/arm64\)$/m);
  for (const tool of TOOLS) {
    expect(section(tool), tool).toMatchObject({ code: 0, text: expect.stringMatching(/v\d+\.\d+/) });
  }
});

able("answers as the image for amd64 does", () => {
  lookInto(imageFor("amd64"), (root) => {
    addFiles(root, FILES);
    for (const answer of ANSWERS) {
      // As in the machine, its processes are all that /proc has.
      const proc = 'mkdir -p "$0/proc" && mount -t proc proc "$0/proc"';
      const inside = `${proc} && exec chroot "$0" /usr/local/bin/ip-masq-agent "$@" 2>&1`;
      const command = ["-c", `exec unshare --mount --pid --fork sh -c '${inside}' "$0" "$@"`, root];
      const { stdout, status } = spawnSync("sh", [...command, ...answer.split(" ")], { encoding: "utf8" });
      expect(stdout, answer).not.toBe("");
      expect(section(answer), answer).toEqual({ text: stdout, code: status });
    }
  });
});

able.each(AGENTS)(
  "programs the kernel's rules, both families, and removes them: $args",
  ({ args, spoil }) => {
    const rules = section(`${args}: rules`).text;
    expect(rules).toMatch(/172\.16\.0\.0\/12|IP-MASQ-AGENT-4/);
    expect(rules).toMatch(/fe80::\/10|IP-MASQ-AGENT-6/);
    expect(rules.match(/masquerade/gi)?.length).toBeGreaterThanOrEqual(2);
    const log = section(`${args}: log`).text;
    // The addon is not missing, and nothing fails.
    const odd = log.split("\n").filter((line) => /^[EW]\d{4}/.test(line) && !line.includes(": healed: "));
    expect(odd).toEqual([]);
    // Only the addon hears of a commit and who made it; the next resync is a minute away.
    if (spoil !== undefined) expect(log).toMatch(/IPv6: healed: .*, changed by .*\bnft \(host pid \d+\)/);
    expect(section(`${args}: left`).text).not.toMatch(/masq-agent/i);
  },
);
