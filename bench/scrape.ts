/**
 * What one scrape of /metrics costs the agent, with few and with 100,000 CIDRs and connections: processor time, as the
 * scheduler counts it, and the answer's size.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentBundle } from "../test/lab/network/lab.ts";
import { type Agent, createProcesses } from "../test/lab/network/processes.ts";
import { memoryOf, processorMs } from "../test/lab/network/usage.ts";
import { createVolume } from "../test/lab/network/volume.ts";
import { cidrList } from "./lists.ts";
import { createStand, type Stand } from "./namespaces.ts";
import { machine, table } from "./report.ts";

const SIZES = [10, 100_000];
const SCRAPES = 100;
const ADDRESS = "127.0.0.1:10279";

/** Scrapes one after the other; says how long each answer was. */
const CLIENT = `
const { get, Agent } = require("node:http");
let left = ${SCRAPES};
let size = 0;
const next = () => get("http://${ADDRESS}/metrics", { agent: new Agent() }, (answer) => {
  size = 0;
  answer.on("data", (chunk) => { size += chunk.length; });
  answer.on("end", () => (--left > 0 ? next() : console.log(size)));
});
next();`;

/** Prints what a scrape costs with each backend. */
export async function measureScrapes(nodePath: string): Promise<void> {
  console.log(`\n${machine()}`);
  const stand = await createStand();
  try {
    const rows: string[][] = [];
    for (const backend of ["iptables", "nftables"])
      for (const size of SIZES) rows.push(await measure(stand, nodePath, backend, size));
    const head = [
      "backend",
      "CIDRs and connections",
      "CPU ms a scrape",
      "answer KB",
      "RSS MB",
      "anonymous MB",
    ];
    console.log(`\n${SCRAPES} scrapes of /metrics:\n${table(head, rows)}`);
  } finally {
    stand.close();
  }
}

async function measure(stand: Stand, nodePath: string, backend: string, size: number): Promise<string[]> {
  const processes = createProcesses();
  try {
    const node = await stand.addNode();
    await node.run("ip", ["link", "set", "lo", "up"]);
    const volume = createVolume(join(stand.directory, `scrape-${node.namespace}`));
    volume.write(JSON.stringify({ cidrLimit: size, nonMasqueradeCIDRs: cidrList(size) }));
    const command = [...node.prefix, nodePath, agentBundle(), "run", `--config=${volume.path}`];
    const agent = processes.startAgent([...command, `--backend=${backend}`], stand.env);
    await served(agent);
    const connections = join(stand.directory, `connections-${node.namespace}`);
    writeFileSync(connections, Array.from({ length: size }, (_, i) => connection(i)).join("\n"));
    await node.run("conntrack", ["-R", connections]);
    const [file = "", ...args] = [...node.prefix, nodePath, "-e", CLIENT];
    const scrape = () => spawnSync(file, args, { encoding: "utf8" }).stdout.trim();
    // What is compiled just in time is compiled by then.
    scrape();
    const before = processorMs(agent.pid);
    const bytes = Number(scrape());
    const each = (processorMs(agent.pid) - before) / SCRAPES;
    const { residentMb, anonymousMb } = memoryOf(agent.pid);
    const memory = [residentMb.toFixed(1), anonymousMb.toFixed(1)];
    return [backend, String(size), each.toFixed(2), (bytes / 1024).toFixed(1), ...memory];
  } finally {
    await processes.end();
  }
}

async function served(agent: Agent): Promise<void> {
  const isThere = () => agent.log().includes(": programmed ") && agent.log().includes("serving at");
  for (
    const deadline = performance.now() + 60_000;
    !isThere();
    await new Promise((done) => setTimeout(done, 20))
  )
    if (performance.now() > deadline) throw new Error(`nothing is served: ${agent.log().slice(-1_000)}`);
}

/** A line of conntrack's own language for one connection of many, which leaves with another address. */
function connection(i: number): string {
  const [block, port] = [Math.floor(i / 60_000), (i % 60_000) + 1];
  const reply = `-r 8.8.${block}.8 -q 192.0.2.1 --reply-port-src 53 --reply-port-dst ${port}`;
  return `-I -p udp -s 10.0.${block}.1 -d 8.8.${block}.8 --sport ${port} --dport 53 ${reply} -t 600`;
}
