/**
 * Whether iptables-nft's rules are still what they were, asked over netlink: no child process, and the cost of our own
 * rules only, however many others there are. What they mean, only iptables can tell: an image of rules that it called
 * right is remembered, and compared with what stands there later.
 */

import { isFailure } from "../backend/driver.ts";
import type { VerdictCount } from "../backend/verdict-counters.ts";
import { type Family, NFT_FAMILIES } from "../core/cidr.ts";
import { digest } from "../core/digest.ts";
import { ruleImages } from "../netlink/query.ts";
import { imageParts, imageText, type RuleImage } from "../netlink/rule-image.ts";
import type { Nftables } from "../netlink/socket/transport.ts";
import { countChain } from "./counters.ts";
import { jumpComment } from "./plan.ts";

/**
 * A jump with our comment. `ours`: it matches what we write and nothing else. `alike`: there is something with our comment,
 * but what it does only a tool can tell.
 */
export type SeenJump = "none" | "alike" | "ours";

/** What was seen of a family's rules, as of one generation of the ruleset. */
export interface Snapshot {
  readonly generation: number;
  /** The same as long as our chain and our jump are. Where in POSTROUTING the jump stands is not part of it. */
  readonly image: string;
  /** How many rules our chain has: what a tool lists must agree. */
  readonly rules: number;
  readonly jump: SeenJump;
}

/** What cannot be seen is undefined: without netlink, or if others commit so fast that it is of no one generation. */
export interface NetlinkView {
  readonly generation: () => Promise<number | undefined>;
  /** One look is enough if it shows the image that is expected; another image has to be seen twice. */
  readonly see: (family: Family, expected?: string) => Promise<Snapshot | undefined>;
  /** What the chain's rules have counted. */
  readonly count: (family: Family) => Promise<readonly VerdictCount[] | undefined>;
  readonly close: () => void;
}

/**
 * How often it is looked at most. A listing that is read in several pieces can be cut short by a commit to the same
 * chain, and yet the generation be the same before and after it (3 of 1,748 listings of 602 rules that were restored 40
 * times a second, Linux 6.18): the kernel counts it up a moment before the commit shows. Packets see no such thing.
 */
const ATTEMPTS = 4;

/** The sight of a chain and the jump to it, on a socket that is opened when first needed, and anew after a failure. */
export function createNetlinkView(
  chain: string,
  open: () => Promise<Nftables>,
  signal: AbortSignal,
): NetlinkView {
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
    see: (family, expected) =>
      using(async (nftables) => {
        let before: string | undefined = expected;
        for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
          const generation = await nftables.generation(signal);
          const seen = await look(nftables, family, chain, signal);
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

async function look(
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

/** Whether a rule with our comment is the jump that iptables-nft makes of ours: every part of it is known. */
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

/** Images of so many rules are worth the time that a digest takes, and no more memory. */
const LONG = 4_096;

/** A long list's digest, made piece by piece, so that there is no second copy of it. For a short list its loop would only wake V8's optimizing compiler, for 4 MB. */
function shortened(images: readonly string[]): string {
  if (images.length < LONG) return images.join("\n");
  const digests: string[] = [];
  for (let at = 0; at < images.length; at += LONG)
    digests.push(digest(Buffer.from(images.slice(at, at + LONG).join("\n"), "latin1")));
  return digests.join();
}
