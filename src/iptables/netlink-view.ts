/**
 * Checks over netlink whether iptables-nft's rules are unchanged: without a child process, and at the cost of our own
 * rules only, however many others there are. Only iptables can tell their meaning: we remember an image of rules that it
 * listed correctly, and compare later rules with it.
 */

import { isFailure } from "../backend/driver.ts";
import { type Family, NFT_FAMILIES } from "../core/cidr.ts";
import { digest } from "../core/digest.ts";
import { ruleImages } from "../netlink/query.ts";
import { imageParts, imageText, type RuleImage } from "../netlink/rule-image.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { type ChainCounts, countChain } from "./counters.ts";
import { jumpComment } from "./plan.ts";

/**
 * A jump with our comment. `ours`: every part of it is one that we write. `alike`: a rule with our comment exists, but only a
 * tool can tell its meaning.
 */
export type SeenJump = "none" | "alike" | "ours";

/** A family's rules as of one generation of the ruleset. */
export interface Snapshot {
  readonly generation: number;
  /** The same as long as our chain and our jump are. The jump's position in POSTROUTING is not part of it. */
  readonly image: string;
  /** The number of rules in our chain: a tool's listing must agree. */
  readonly rules: number;
  readonly jump: SeenJump;
}

/** Results are undefined without netlink, or if other processes commit so fast that no reading is of one generation. */
export interface NetlinkView {
  readonly generation: () => Promise<number | undefined>;
  /** One reading is enough if it has the expected image; a different image needs two readings. */
  readonly see: (family: Family, expected?: string) => Promise<Snapshot | undefined>;
  /** The counters of the chain's rules. */
  readonly count: (family: Family) => Promise<ChainCounts | undefined>;
  readonly close: () => void;
}

/**
 * The largest number of readings. A commit to the same chain can cut short a listing that takes several pieces, although the
 * generation is the same before and after it (3 of 1,748 listings of 602 rules that were restored 40 times a second,
 * Linux 6.18): the kernel increases it a moment before the commit shows. Packets never see that.
 */
const ATTEMPTS = 4;

/** A view of a chain and the jump to it, on a socket that it opens when first needed, and again after a failure. */
export function createNetlinkView(
  chain: string,
  open: () => Promise<Nftables>,
  signal: AbortSignal,
): NetlinkView {
  let connection: Promise<Nftables> | undefined;
  const using = async <T>(use: (nftables: Nftables) => Promise<T>): Promise<T | undefined> => {
    try {
      connection ??= open();
      return await use(await connection);
    } catch (error) {
      if (!isFailure(error)) throw error;
      // Callers fall back on the tools, which report the fault.
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
    see: (family, expected) =>
      using(async (nftables) => {
        let before: string | undefined = expected;
        for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
          const generation = await nftables.generation(signal);
          const seen = await readImages(nftables, family, chain, signal);
          if (seen.image === before && generation === (await nftables.generation(signal)))
            return { generation, ...seen };
          before = seen.image;
        }
        return undefined;
      }),
    count: (family) => using((nftables) => countChain(nftables, family, chain, signal)),
    close,
  };
}

async function readImages(
  nftables: Nftables,
  family: Family,
  chain: string,
  signal: AbortSignal,
): Promise<Omit<Snapshot, "generation">> {
  const nat = { family: NFT_FAMILIES[family], table: "nat" };
  const own = await nftables.read(ruleImages({ ...nat, chain }), signal);
  const jumps = await nftables.read(ruleImages({ ...nat, chain: "POSTROUTING" }), signal);
  const comment = imageText(jumpComment(chain));
  const alike = jumps.filter((image) => image.includes(comment));
  const jump = alike.some((image) => isJump(image, chain)) ? "ours" : alike.length > 0 ? "alike" : "none";
  const image = shortened([String(own.length), ...own, ...alike]);
  return { image, rules: own.length, jump };
}

/** `xt_addrtype_info_v1` for `! --dst-type LOCAL`, as a little-endian machine keeps it. */
const NOT_LOCAL = "\0\0\x04\0\x02\0\0\0";
/** NFT_JUMP, before the attribute with the chain's name. */
const JUMP = "\xff\xff\xff\xfd";

/** Whether a rule with our comment is the jump that iptables-nft makes of our arguments: every part of it is known. */
export function isJump(image: RuleImage, chain: string): boolean {
  const comment = imageText(jumpComment(chain));
  const target = `${imageText(chain)}\0`;
  const kinds: readonly string[] = imageParts(image).map((part) => {
    if (part.includes(comment)) return "comment";
    if (part.startsWith("counter")) return "counter";
    if (part.includes("addrtype\0") && part.includes(NOT_LOCAL)) return "addrtype";
    return part.includes("immediate\0") && part.includes(JUMP) && part.includes(target) ? "jump" : "other";
  });
  return !kinds.includes("other") && ["comment", "addrtype", "jump"].every((kind) => kinds.includes(kind));
}

/** From this number of rules on, a digest is worth its time, since it saves memory. */
const LONG = 4_096;

/** A long list's digest, made piece by piece to avoid a second copy of the list. For a short list its loop would only wake V8's optimizing compiler, for 4 MB. */
function shortened(images: readonly string[]): string {
  if (images.length < LONG) return images.join("\n");
  const digests: string[] = [];
  for (let at = 0; at < images.length; at += LONG)
    digests.push(digest(Buffer.from(images.slice(at, at + LONG).join("\n"), "latin1")));
  return digests.join();
}
