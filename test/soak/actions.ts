/** What happens to an agent in a soak. What fails of it does not matter: what it would have broken may not be there. */
import { foreignRules } from "../lab/network/foreign.ts";
import { CHAIN } from "../lab/network/iptables.ts";
import { type Backend, type Dice, pause, type World } from "./world.ts";

const T = "inet ip-masq-agent";
const STORM_RULES = 5_000;
/** Longer than --ipset-threshold allows in a chain. */
const LONG = 1_500;

/** Kinds of actions, each as often as it occurs here. */
export const ACTIONS: readonly ((world: World) => Promise<unknown>)[] = [
  async ({ config, dice }) => config.swap(goodText(dice)),
  async ({ config, dice }) => config.swap(goodText(dice)),
  async ({ config, dice }) => config.swap(badText(dice)),
  async ({ config }) => config.clear(),
  async ({ config }) => config.remove(),
  async ({ config, dice }) => config.replace(goodText(dice)),
  async ({ config, dice }) => config.link(goodText(dice)),
  async ({ config, dice }) => config.half(goodText(dice)),
  async ({ config, dice }) => {
    for (let i = dice.below(20); i >= 0; i--) config.swap(dice.one([goodText, badText])(dice));
  },
  drift,
  drift,
  drift,
  drift,
  twice,
  twice,
  storm,
  toolsFail,
];

async function drift({ lab, backend, dice }: World): Promise<void> {
  const [file, ...args] = dice.one(DRIFTS[backend]).split(" ");
  await lab.inNode(file ?? "", args);
}

/** The second comes while the agent undoes the first. */
async function twice(world: World): Promise<void> {
  await drift(world);
  await pause(world.dice.below(100));
  await drift(world);
}

const DRIFTS: Readonly<Record<Backend, readonly string[]>> = {
  iptables: [
    ...["iptables-nft", "ip6tables-nft"].flatMap((tool) => [
      `${tool} -w 5 -t nat -F ${CHAIN}`,
      `${tool} -w 5 -t nat -D ${CHAIN} 1`,
      `${tool} -w 5 -t nat -I ${CHAIN} 1 -j ACCEPT`,
      `${tool} -w 5 -t nat -R ${CHAIN} 2 -j RETURN`,
      `${tool} -w 5 -t nat -F POSTROUTING`,
    ]),
    "nft delete table ip nat",
    "nft delete table ip6 nat",
    "nft flush ruleset",
  ],
  nftables: [
    `nft flush chain ${T} postrouting`,
    `nft insert rule ${T} postrouting accept`,
    `nft flush set ${T} keep-ipv4`,
    `nft add element ${T} keep-ipv6 { 2001:db8::/32 }`,
    `nft add set ${T} foreign { type ipv4_addr; }`,
    `nft add chain ${T} foreign`,
    `nft add table ${T} { flags dormant; }`,
    `nft delete table ${T}`,
    "nft flush ruleset",
  ],
};

/** Another process restores thousands of rules, a few times; or commits again and again. */
async function storm({ lab, dice }: World): Promise<void> {
  if (dice.below(2) === 0) {
    const text = foreignRules(STORM_RULES);
    for (let i = dice.below(4); i >= 0; i--) await lab.inNode("iptables-nft-restore", ["--noflush"], text);
    return;
  }
  const commits =
    "while [ $i -lt 50 ]; do nft add table ip other; nft delete table ip other; i=$((i+1)); done";
  await lab.inNode("sh", ["-c", `i=0; ${commits}`]);
}

async function toolsFail({ tools, dice }: World): Promise<void> {
  tools.fail(
    dice.one(["echo trouble >&2; exit 1", "exit 4", "kill -KILL $$", "sleep 0.5", "echo nonsense; exit 0"]),
  );
  await pause(dice.below(1_500));
  tools.mend();
}

/** A configuration, sometimes a long one. */
function goodText(dice: Dice): string {
  const count = dice.below(10) === 0 ? LONG : dice.below(20);
  const start = dice.below(200);
  const cidrs = Array.from({ length: count }, (_, i) => `10.${(start + (i >> 8)) & 255}.${i & 255}.0/24`);
  return JSON.stringify({
    resyncInterval: dice.one(["1s", "5s", "60s"]),
    cidrLimit: 2 * LONG,
    nonMasqueradeCIDRs: [...cidrs, "fd00::/8"],
    masqLinkLocal: dice.below(2) === 0,
  });
}

function badText(dice: Dice): string {
  return dice.one([
    "{",
    "nonMasqueradeCIDRs: [10.0.0.0/99]",
    "\u0000\u0001",
    "resyncInterval: soon",
    "- a\n- b: [",
  ]);
}
