/**
 * Whether iptables-nft's rules are still what they were, asked over netlink: no child process, and the cost of our own
 * rules only, however many others there are. What they mean, only iptables can tell: an image of rules that it called
 * right is remembered, and compared with what stands there later.
 */
import { jumpComment } from "../backend/iptables.ts";
import type { Family } from "../core/cidr.ts";
import { ruleImages } from "../nftables/query.ts";
import type { Nftables } from "../nftables/transport.ts";
import { isFailure } from "./driver.ts";

/** What was seen of a family's rules, as of one generation of the ruleset. */
export interface Sighting {
  readonly generation: number;
  /** The same as long as our chain and our jump are. Where in POSTROUTING the jump stands is not part of it. */
  readonly image: string;
}

/** What cannot be seen is undefined: without netlink, or if others commit so fast that it is of no one generation. */
export interface Sight {
  readonly generation: () => Promise<number | undefined>;
  readonly see: (family: Family) => Promise<Sighting | undefined>;
  readonly close: () => void;
}

const ATTEMPTS = 3;

/** The sight of a chain and the jump to it, on a socket that is opened when first needed, and anew after a failure. */
export function createSight(chain: string, open: () => Promise<Nftables>, signal: AbortSignal): Sight {
  let connection: Promise<Nftables> | undefined;
  const using = async <T>(look: (nftables: Nftables) => Promise<T>): Promise<T | undefined> => {
    try {
      connection ??= open();
      return await look(await connection);
    } catch (error) {
      if (!isFailure(error)) throw error;
      // Whoever asks has the tools to fall back on, which say what is wrong.
      close();
      return undefined;
    }
  };
  const close = () => {
    connection?.then((nftables) => nftables.close()).catch(() => {});
    connection = undefined;
  };
  return {
    generation: () => using((nftables) => nftables.generation(signal)),
    see: (family) =>
      using(async (nftables) => {
        for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
          const generation = await nftables.generation(signal);
          const image = await imageOf(nftables, family, chain, signal);
          if (generation === (await nftables.generation(signal))) return { generation, image };
        }
        return undefined;
      }),
    close,
  };
}

async function imageOf(
  nftables: Nftables,
  family: Family,
  chain: string,
  signal: AbortSignal,
): Promise<string> {
  const nat = { family: family === "IPv4" ? "ip" : "ip6", table: "nat" } as const;
  const own = await nftables.read(ruleImages({ ...nat, chain }), signal);
  const jumps = await nftables.read(ruleImages({ ...nat, chain: "POSTROUTING" }), signal);
  const ours = jumps.filter(({ contains }) => contains(jumpComment(chain)));
  return [String(own.length), ...[...own, ...ours].map(({ digest }) => digest)].join(" ");
}
