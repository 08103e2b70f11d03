/**
 * The image on the oldest kernel that is supported and on newer ones: Debian's, each booted in a machine of its own, with real
 * packets through it. A pod asks two servers outside which address they see: one that is masqueraded, one that is not.
 */
import { beforeAll, expect, test } from "vitest";
import { buildImage, missingTools } from "./container.ts";
import { runInMachine } from "./machine.ts";
import { lookInto } from "./registry.ts";

const { IMAGE_TEST } = process.env;
const asked = IMAGE_TEST === "1";
const missing = asked ? missingTools(["qemu-system-x86_64", "cpio", "apt-get"]) : [];
if (missing.length > 0)
  console.warn(`SKIPPED: the image is not tried on other kernels without ${missing.join(", ")}`);
const able = test.skipIf(!asked || missing.length > 0);

/** Debian's releases, with the kernels that they have. */
const KERNELS = [
  { suite: "bookworm", version: /^6\.1\./ },
  { suite: "trixie", version: /^6\.12\./ },
  { suite: "sid", version: /^(?:6\.(?:1[3-9]|[2-9]\d)|[7-9]\.)/ },
];

const CONFIG = "nonMasqueradeCIDRs: [10.0.0.0/8, 'fd00::/8']\n";

const AGENTS = [
  "--backend=nftables",
  "--backend=iptables",
  "--backend=iptables --ipset-threshold=1",
  "--backend=iptables --iptables-mode=legacy",
];

/** Destinations, and the sources that they see. */
const SEEN = {
  "203.0.113.2": "203.0.113.1",
  "10.99.0.2": "10.64.0.2",
  "2001:db8::2": "2001:db8::1",
  "fd99::2": "fd64::2",
};

/** Answers each packet with its source. */
const SERVER = `
for (const type of ["udp4", "udp6"]) {
  const socket = require("dgram").createSocket({ type, ipv6Only: type === "udp6" });
  socket.on("message", (_, { address, port }) => socket.send(address, port, address));
  socket.bind(7);
}
`;

/** Asks each destination for the source, again until it answers, and prints both. */
const CLIENT = `
const waiting = new Set(process.argv.slice(2));
for (const destination of waiting) {
  const socket = require("dgram").createSocket(destination.includes(":") ? "udp6" : "udp4");
  const ask = () => socket.send("?", 7, destination);
  socket.on("message", (seen) => {
    if (!waiting.delete(destination)) return;
    console.log(destination, String(seen));
    if (waiting.size === 0) process.exit(0);
  });
  socket.on("error", () => {});
  setInterval(ask, 200);
  ask();
}
setTimeout(() => process.exit(1), 60_000);
`;

/** The machine is the node, with a pod and an outside in namespaces. */
const SCRIPT = `
export NO_COLOR=1
section() { echo "=== $1"; shift; "$@" 2>&1; echo "--- $?"; }
end() { # NAME PROCESS NODE4 HERE4 NODE6 HERE6
  ip link add $1 type veth peer name peer
  ip link show peer >/dev/null 2>&1 || ip link set veth0 name peer
  ip link set peer netns $2
  ip addr add $3/24 dev $1
  ip -6 addr add $5/64 dev $1
  ip link set $1 up
  nsenter -t $2 -n sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.peer.accept_dad=0
  nsenter -t $2 -n ip link set lo up
  nsenter -t $2 -n ip addr add $4/24 dev peer
  nsenter -t $2 -n ip -6 addr add $6/64 dev peer
  nsenter -t $2 -n ip link set peer up
  nsenter -t $2 -n ip route add default via $3
  nsenter -t $2 -n ip -6 route add default via $5
}
modprobe veth
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
apart() { until [ "$(readlink /proc/$1/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done; }
unshare -n sleep 1000000 &
pod=$!
unshare -n sleep 1000000 &
outside=$!
apart $pod
apart $outside
end pod0 $pod 10.64.0.1 10.64.0.2 fd64::1 fd64::2
end out0 $outside 203.0.113.1 203.0.113.2 2001:db8::1 2001:db8::2
nsenter -t $outside -n ip addr add 10.99.0.2/32 dev lo
nsenter -t $outside -n ip -6 addr add fd99::2/128 dev lo
ip route add 10.99.0.2 via 203.0.113.2
ip -6 route add fd99::2 via 2001:db8::2
nsenter -t $outside -n node /server.cjs &
section kernel uname -r
section "without an agent" nsenter -t $pod -n node /client.cjs ${Object.keys(SEEN).join(" ")}
for flags in ${AGENTS.map((flags) => `"${flags}"`).join(" ")}; do
  : >/tmp/log
  ip-masq-agent $flags --config=/config.yaml --enable-ipv6 >/tmp/log 2>&1 &
  pid=$!
  n=0
  until grep -q "IPv6: programmed" /tmp/log || [ $n = 1200 ]; do n=$((n + 1)); sleep 0.1; done
  section "$flags: seen" nsenter -t $pod -n node /client.cjs ${Object.keys(SEEN).join(" ")}
  kill $pid
  wait $pid
  section "$flags: log" grep -v FLAG: /tmp/log
  ip-masq-agent cleanup >/dev/null 2>&1
done
`;

const FILES = { "config.yaml": CONFIG, "server.cjs": SERVER, "client.cjs": CLIENT };

let image = "";

beforeAll(() => {
  if (asked && missing.length === 0) image = buildImage();
}, 600_000);

able.each(KERNELS)(
  "masquerades on the kernel of Debian $suite",
  { timeout: 600_000 },
  ({ suite, version }) => {
    const said = lookInto(image, (root) =>
      runInMachine(root, { arch: "amd64", suite, files: FILES, script: SCRIPT }),
    );
    const section = (name: string) => said.get(name) ?? { text: `nothing was said of ${name}`, code: -1 };
    expect(section("kernel").text).toMatch(version);
    expect(section("without an agent").text).toContain("203.0.113.2 10.64.0.2\n");
    for (const flags of AGENTS) {
      const { text, code } = section(`${flags}: seen`);
      const { text: log } = section(`${flags}: log`);
      expect({ code, seen: Object.fromEntries(pairs(text)) }, log).toEqual({ code: 0, seen: SEEN });
      expect(log).not.toMatch(/^[EW]\d{4}/m);
    }
    console.log(`${suite}: Linux ${section("kernel").text.trim()}, ${AGENTS.length} agents, both families`);
  },
);

function pairs(text: string): [string, string][] {
  return [...text.matchAll(/^(\S+) (\S+)$/gm)].map(([, destination = "", seen = ""]) => [destination, seen]);
}
