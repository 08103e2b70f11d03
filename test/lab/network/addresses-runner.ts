/**
 * What runs in a network namespace of its own, for the tests of the node's addresses: gives links addresses with `ip`, and tells what the
 * library says of them. One scenario in each process; prints its answer as a line of JSON.
 */
import { setTimeout } from "node:timers/promises";
import { FAMILIES, formatAddress } from "../../../src/core/cidr.ts";
import { listenToAddresses } from "../../../src/route/address-events.ts";
import { readLinkNames, readNodeAddresses } from "../../../src/system/node-addresses.ts";
import { command } from "../command.ts";

async function ip(...lines: readonly string[]): Promise<void> {
  await command("ip", ["-batch", "-"], { stdin: lines.join("\n") });
}

async function sysctl(...settings: readonly string[]): Promise<void> {
  await command("sysctl", ["-q", "-w", ...settings]);
}

/** Tries until `check` is true. */
async function until(check: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = performance.now() + 60_000; performance.now() < end; ) {
    if (await check()) return;
    await setTimeout(25);
  }
  throw new Error(`not within a minute: ${what}`);
}

/** `192.0.2.1 eth0` for each address that packets may leave with, in numeric order. */
async function usable(): Promise<readonly string[]> {
  const [{ usable }, names] = [await readNodeAddresses(), await readLinkNames()];
  return FAMILIES.flatMap((family) =>
    [...usable[family]]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([address, link]) => `${formatAddress(family, address)} ${names.get(link)}`),
  );
}

/** Addresses in every state that `ip` can bring about, on links of every kind. */
async function states() {
  await ip(
    "link set lo up",
    "link add d0 type veth peer name d1",
    "link add down0 type veth peer name down1",
    "link add v0 type veth peer name v1",
    "link set d1 up",
    "link set d0 up",
    "addr add 192.0.2.10/24 dev d0",
    // The second of a network, and one that is for its link only.
    "addr add 192.0.2.11/24 dev d0",
    "addr add 198.51.100.129/25 dev d0 scope link",
    "addr add 192.0.2.9/32 dev lo",
    "addr add 198.51.100.1/24 dev down0",
    "addr add 203.0.113.1 peer 203.0.113.2/32 dev d0",
    "addr add 2001:db8::1/64 dev d0 nodad",
    "addr add 2001:db8::2/64 dev d0 nodad preferred_lft 0",
    "addr add fd00:1::5/64 dev d0 nodad",
    "addr add 2001:db8:9::1/128 dev lo",
  );
  await sysctl("net.ipv6.conf.v0.dad_transmits=100", "net.ipv6.conf.v0.use_tempaddr=2");
  await ip(
    "addr add 2001:db8:1::5/64 dev v1 nodad",
    "link set v1 up",
    "link set v0 up",
    "addr add 2001:db8:1::6/64 dev v0",
    "addr add 2001:db8:2::1/64 dev v0 mngtmpaddr nodad valid_lft 9000 preferred_lft 9000",
  );
  const flagged = async (flag: string) =>
    (await command("ip", ["-6", "addr", "show", "dev", "v0"])).includes(flag);
  await until(() => flagged("temporary"), "a temporary address");
  await until(() => flagged("tentative"), "a tentative address");
  await sysctl("net.ipv6.conf.v0.dad_transmits=1");
  await ip("addr add 2001:db8:1::5/64 dev v0");
  await until(() => flagged("dadfailed"), "a duplicate address");
  const { all, isWhole } = await readNodeAddresses();
  const isNodes = (address: bigint) => all.IPv6.has(address);
  return {
    isWhole,
    usable: await usable(),
    // Deprecated, tentative and duplicate: the node's all the same.
    unusable: [0x20010db8000000000000000000000002n, 0x20010db8000100000000000000000006n].map(isNodes),
  };
}

/** Events by what happened; links of pods, with their link-local addresses, should cause none. */
async function events(pods: number) {
  let heard = 0;
  await ip("link add d0 type veth peer name d1", "link set d1 up", "link set d0 up");
  const listening = await listenToAddresses({
    changed: () => void heard++,
    lost: (error) => {
      throw error;
    },
  });
  const count = async (work: () => Promise<unknown>, isOver: () => boolean | Promise<boolean>) => {
    heard = 0;
    await work();
    await until(isOver, `events, of which ${heard} came`);
    return heard;
  };
  /** Of what should cause none: what had come before it that certainly causes one. */
  const countBefore = async (address: string, work: () => Promise<unknown>) => {
    const all = await count(
      async () => {
        await work();
        await ip(`addr add ${address}/32 dev d0`);
      },
      () => heard > 0,
    );
    return all - 1;
  };
  const names = Array.from({ length: pods }, (_, i) => `pod${i}`);
  const add = names.flatMap((name) => [
    `link add ${name} type veth peer name x${name}`,
    `link set ${name} up`,
    `link set x${name} up`,
  ]);
  const linkLocal = async (count: number) => {
    const shown = await command("ip", ["-6", "addr", "show", "scope", "link"]);
    return (
      shown.split("\n").filter((line) => line.includes("fe80") && !line.includes("tentative")).length >= count
    );
  };
  const links = await countBefore("198.51.100.1", async () => {
    await ip(...add);
    await until(() => linkLocal(2 * pods + 2), "link-local addresses");
  });
  const removed = await countBefore("198.51.100.2", () => ip(...names.map((name) => `link del ${name}`)));
  const ipv4 = await count(
    () => ip("addr add 192.0.2.10/24 dev d0", "addr add 192.0.2.11/24 dev d0"),
    () => heard >= 2,
  );
  // It is tentative at first; a second event tells that it may be used.
  const ipv6 = await count(
    () => ip("addr add 2001:db8::1/64 dev d0"),
    async () => (await usable()).length === 5 && heard >= 2,
  );
  // The first takes the second with it.
  const gone = await count(
    () => ip("addr del 192.0.2.10/24 dev d0"),
    () => heard >= 2,
  );
  const down = await count(
    () => ip("link set d0 down"),
    async () => (await usable()).length === 2 && heard >= 1,
  );
  listening.close();
  return { links, removed, ipv4, ipv6, gone, down };
}

/** The processor time that reading takes, in milliseconds, the least of several rounds. */
async function cost(addresses: number) {
  await ip(
    "link add d0 type veth peer name d1",
    ...Array.from({ length: addresses }, (_, i) => `addr add 10.${i >> 8}.${i & 255}.1/24 dev d0`),
  );
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 20; i++) {
    const since = process.cpuUsage();
    await readNodeAddresses();
    const { user, system } = process.cpuUsage(since);
    least = Math.min(least, (user + system) / 1_000);
  }
  return { least };
}

const SCENARIOS: Readonly<Record<string, (number: number) => Promise<unknown>>> = { states, events, cost };

async function main(): Promise<void> {
  const [scenario = "", number] = process.argv.slice(2);
  process.stdout.write(`${JSON.stringify(await SCENARIOS[scenario]?.(Number(number)))}\n`);
  process.exit(0);
}

void main();
