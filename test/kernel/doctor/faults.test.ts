/** doctor on nodes with a fault outside of the rules: the kernel's settings, other programs, the configuration, privileges. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  background,
  IPV6,
  left,
  NFTABLES,
  problems,
  runDoctor,
  sharedNode,
  succeed,
  unexpected,
  visit,
  withLock,
} from "../../lab/network/doctor-node.ts";
import { describeKernel, labTest } from "../../lab/network/fixture.ts";
import { eventually } from "../../lab/network/lab.ts";
import { pause } from "../../lab/network/nftables-agent-table.ts";

describeKernel("doctor finds a fault of the node", () => {
  labTest("forwarding that is off", async ({ lab }) => {
    await left(lab, [IPV6]);
    await succeed(lab, "sysctl", "-w", "net.ipv6.conf.all.forwarding=0");
    expect(problems(await visit(lab, { flags: [IPV6] }))).toEqual(["error forwarding"]);
    await succeed(lab, "sysctl", "-w", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=1");
    expect(problems(await visit(lab, { flags: [IPV6] }))).toEqual(["error forwarding"]);
  });

  labTest("ports that others use", async ({ lab }) => {
    await left(lab, [IPV6]);
    await succeed(
      lab,
      "sysctl",
      "-w",
      "net.ipv4.ip_local_port_range=40000 50000",
      "net.ipv4.ip_local_reserved_ports=20000-20010",
    );
    const ports = async (text: string) => {
      const { findings } = await visit(lab, { flags: [IPV6, `--to-ports=${text}`] });
      return findings.filter(({ check }) => check === "ports").map(({ severity }) => severity);
    };
    expect(await ports("1024-19999")).toEqual([]);
    expect(await ports("32000-33000")).toEqual(["warning"]);
    expect(await ports("45000-46000")).toEqual(["info"]);
    expect(await ports("20005")).toEqual(["info"]);
  });

  labTest("a kubelet that masquerades", async ({ lab }) => {
    await left(lab, [IPV6]);
    const run = async (cidr: string) => {
      const script = `exec -a kubelet bash -c 'echo ready; read -r' kubelet --non-masquerade-cidr=${cidr}`;
      await ready(await background(lab, "bash", "-c", script));
    };
    await run("0.0.0.0/0");
    expect(problems(await visit(lab, { flags: [IPV6] }))).toEqual([]);
    await run("10.0.0.0/8");
    expect(problems(await visit(lab, { flags: [IPV6] }))).toEqual(["error kubelet-flag"]);
  });

  labTest("a CNI that masquerades, and a file that is broken", async ({ lab }) => {
    await left(lab, [IPV6]);
    const directory = join(lab.directory, "cni");
    mkdirSync(directory);
    const flags = [IPV6, `--cni-dir=${directory}`];
    writeFileSync(join(directory, "10-a.conflist"), '{"plugins": [{"type": "bridge", "ipMasq": false}]}');
    expect(problems(await visit(lab, { flags }))).toEqual([]);
    writeFileSync(join(directory, "20-b.conf"), '{"type": "ptp", "ipMasq": true}');
    writeFileSync(join(directory, "30-c.conf"), '{"type": ');
    const { findings } = await visit(lab, { flags });
    const about = findings.filter(({ check }) => check === "cni-masquerade").map(({ message }) => message);
    expect(about).toHaveLength(2);
    expect(about[0]).toMatch(/20-b.conf: "ipMasq": true of plugin ptp/);
    expect(about[1]).toMatch(/30-c.conf cannot be read as JSON/);
  });

  labTest("a lock that is not the host's", async ({ lab }) => {
    const flags = ["--iptables-mode=legacy", IPV6];
    await left(lab, flags);
    const inPod = ["env", "KUBERNETES_SERVICE_HOST=10.96.0.1"];
    expect(problems(await visit(lab, { flags, wrapper: inPod }))).toEqual(["warning lock"]);
    expect(problems(await visit(lab, { flags, wrapper: [...withLock(lab), ...inPod] }))).toEqual([]);
  });

  labTest("a conntrack table that is nearly full", async ({ lab }) => {
    await left(lab, [IPV6]);
    const max = Number(readFileSync("/proc/sys/net/netfilter/nf_conntrack_max", "utf8"));
    const fill = async (from: number, to: number) => {
      const script = join(lab.directory, "flows");
      writeFileSync(script, Array.from({ length: to - from }, (_, i) => flow(from + i)).join("\n"));
      await succeed(lab, "conntrack", "-R", script);
    };
    await fill(0, Math.ceil(max * 0.7));
    expect(problems(await visit(lab, { flags: [IPV6] }))).toEqual([]);
    await fill(Math.ceil(max * 0.7), Math.ceil(max * 0.78));
    expect(problems(await visit(lab, { flags: [IPV6] }))).toEqual(["warning conntrack-table"]);
    await fill(Math.ceil(max * 0.78), Math.ceil(max * 0.91));
    expect(problems(await visit(lab, { flags: [IPV6] }))).toEqual(["error conntrack-table"]);
  });

  labTest("connections that find no port: insert_failed and drop", async ({ lab }) => {
    await left(lab, [IPV6]);
    const rule = ["-p", "udp", "-d", "8.8.8.8", "-j", "MASQUERADE", "--to-ports", "5000-5000"];
    await lab.iptables("nft").run("-I", "POSTROUTING", ...rule);
    // Before the counters are read, what makes the flows is at work.
    await lab.flow("udp", "8.8.8.8");
    let done = false;
    const looking = visit(lab, { flags: [IPV6, "--interval=2s"] }).finally(() => {
      done = true;
    });
    const flows: Promise<unknown>[] = [];
    // Of flows at the same time only one can have the port.
    while (!done) {
      flows.push(lab.flow("udp", "8.8.8.8", 4_000).catch(() => undefined));
      await pause(50);
    }
    const found = await looking;
    await Promise.all(flows);
    const about = found.findings
      .filter(({ check }) => check === "conntrack-counters")
      .map(({ message }) => message);
    expect(about.some((message) => message.includes("insert_failed grew by"))).toBe(true);
    expect(about.some((message) => message.includes("conntrack's drop grew by"))).toBe(true);
  });

  labTest("inotify instances that are nearly used up", async ({ lab }) => {
    await left(lab, [IPV6]);
    // The limit is per user: take one without other processes, and none of another run of the tests.
    const user = 61_000 + (process.pid % 4_000);
    const wrapper = ["setpriv", `--reuid=${user}`, "--clear-groups"];
    const max = Number(readFileSync("/proc/sys/fs/inotify/max_user_instances", "utf8"));
    // PR_SET_DUMPABLE: otherwise a process that has changed its user is hidden from that user.
    const open = [
      "import ctypes, os, resource, sys",
      "libc = ctypes.CDLL(None)",
      `resource.setrlimit(resource.RLIMIT_NOFILE, (${max + 64}, ${max + 64}))`,
      `os.setuid(${user})`,
      "libc.prctl(4, 1)",
      `opened = [libc.inotify_init() for _ in range(${max - 2})]`,
      'print("ready", flush=True)',
      "sys.stdin.read()",
    ].join("\n");
    const about = async () =>
      (await visit(lab, { flags: [IPV6], wrapper })).findings
        .filter(({ check }) => check === "inotify")
        .map(({ message }) => message);
    expect(await about()).toEqual([]);
    await ready(await background(lab, "python3", "-c", open));
    expect(await about()).toEqual([
      expect.stringContaining(`of ${max} of fs.inotify.max_user_instances are used`),
    ]);
  });
});

/** A list that has the pods' networks of both families. */
const COVERED = '"nonMasqueradeCIDRs": ["10.0.0.0/8", "fd00::/8"]';

describeKernel("doctor finds a fault of the configuration", () => {
  const node = sharedNode([IPV6]);
  test.each<[string, string, readonly string[]]>([
    ["no CIDR", '{"nonMasqueradeCIDRs": ["10.0.0.0/33"]}', ["error config"]],
    ["everything", '{"nonMasqueradeCIDRs": ["0.0.0.0/0", "::/0"]}', ["warning config", "warning config"]],
    ["an unknown key", `{"nonMasqueradeCidr": [], ${COVERED}}`, ["warning config"]],
    ["a resync interval that is too short", `{"resyncInterval": "200ms", ${COVERED}}`, ["warning config"]],
    ["one that is too long", `{"resyncInterval": "24h", ${COVERED}}`, ["warning config"]],
    ["the pods' own network left out", '{"nonMasqueradeCIDRs": ["10.0.0.0/8"]}', ["warning pod-networks"]],
  ])("%s is reported", async (_name, text, expected) => {
    node().volume.write(text);
    expect(problems(await visit(node(), { flags: [IPV6] }))).toEqual(expected);
  });

  labTest("a list that is too long for the socket's buffers", async ({ lab }) => {
    await left(lab, NFTABLES);
    const bytes = Number(readFileSync("/proc/sys/net/core/wmem_max", "utf8"));
    const list = Array.from(
      { length: Math.ceil(bytes / 20) + 1 },
      (_, i) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}/32`,
    );
    list.push("10.244.0.0/16");
    lab.volume.write(JSON.stringify({ cidrLimit: list.length, nonMasqueradeCIDRs: list }));
    const found = await visit(lab, { flags: NFTABLES });
    expect(problems(found)).toEqual([]);
    expect(found.findings.map(({ message }) => message).join("\n")).toContain(
      `net.core.wmem_max is ${bytes}`,
    );
  });
});

describeKernel("doctor without privileges", () => {
  labTest("says which checks could not be made, and is no false comfort", async ({ lab }) => {
    await left(lab, [IPV6]);
    const wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const found = await visit(lab, { flags: [IPV6], wrapper });
    expect(found.code).toBe(1);
    expect(problems(found)[0]).toBe("error capabilities");
    const unknown = found.findings
      .filter(({ check }) => check === "could-not-check")
      .map(({ message }) => message);
    for (const what of ["IPv4 rules of iptables-nft", "IPv6 rules of iptables-legacy", "rules of nftables"])
      expect(unknown.join("\n")).toContain(
        `could not check ${what.startsWith("IPv") ? "the " : ""}${what}: `,
      );
    const { stdout, stderr, code } = await runDoctor(lab, { wrapper });
    expect({ code, stderr: unexpected(stderr) }).toEqual({ code: 1, stderr: "" });
    expect(stdout).not.toMatch(/^\s+at /m);
  });
});

/** Waits until a process in the background says so. */
async function ready(output: string): Promise<void> {
  await eventually(() => expect(readFileSync(output, "utf8")).toBe("ready\n"));
}

/** A line of conntrack's own language for one connection of many. */
function flow(i: number): string {
  const [source, port] = [`10.0.${Math.floor(i / 60_000)}.1`, (i % 60_000) + 1];
  const reply = `-r 10.9.9.9 -q ${source} --reply-port-src 53 --reply-port-dst ${port}`;
  return `-I -p udp -s ${source} -d 10.9.9.9 --sport ${port} --dport 53 ${reply} -t 600`;
}
