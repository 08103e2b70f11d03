/**
 * The kinds of values that keys about packets take: names of links, and addresses.
 *
 * Rules compare a name with that of the link that a packet leaves through. `+` at the end matches any rest, as iptables
 * has it; nftables' `*` is the same. Addresses are listed with blocks of them: a node uses its own addresses within these, so
 * that one list serves all nodes.
 */
import { goQuote } from "../go/quote.ts";
import { cut, VALUE_CHARACTERS } from "../text/cut.ts";
import {
  ADDRESS_BITS,
  type Cidr,
  constantCidr,
  formatCidr,
  isCidr,
  isPassedOn,
  lastAddress,
  parseAddress,
  parseCidr,
} from "./cidr.ts";
import type { Reporting } from "./key-kinds.ts";
import { type Item, listKind, writtenText } from "./key-lists.ts";

/** Each name is a rule of its own. */
export const MAX_LINKS = 8;

/** The kernel's IFNAMSIZ (include/uapi/linux/if.h) has a byte for the end. */
const MAX_LINK_NAME = 15;

/** The kernel's dev_valid_name (net/core/dev.c) allows more, but not all that the tools can write and read. */
const PRINTABLE = /^[!-~]*$/;
const UNUSABLE = /[/:"'`\\*]|^\.{1,2}$/;

/** Characters that names of links usually have. */
const USUAL = /^[\w.-]*\+?$/;

export const LINK_LIST = listKind(
  { one: "an interface name", many: "interface names", example: "eth0", definition: "interface" },
  parseName,
);

function parseName(item: Item, { report, warn }: Reporting): string | undefined {
  const text = writtenText(item);
  const why = explainName(text);
  if (why !== undefined) {
    report("interface", { ...item, text }, `${goQuote(cut(text, VALUE_CHARACTERS))} ${why}`);
    return undefined;
  }
  if (!USUAL.test(text))
    warn("suspicious", item, `${text} is compared letter by letter: only + at its end matches any rest`);
  return text;
}

/** Why a text cannot be a name, as the rest of a sentence; undefined if it can. */
function explainName(text: string): string | undefined {
  if (text === "+") return "means every interface";
  if (text.startsWith("!")) return "excludes an interface: interfaces can be listed, not excluded";
  if (text === "" || !PRINTABLE.test(text) || UNUSABLE.test(text)) return "is not a valid interface name";
  if (text.length <= MAX_LINK_NAME) return undefined;
  return `is too long: the name of an interface has at most ${MAX_LINK_NAME} characters, not ${text.length}`;
}

/** Blocks with addresses that no packet can leave a node with. */
const UNFIT_BLOCKS: readonly { readonly cidr: Cidr; readonly name: string }[] = [
  { cidr: constantCidr("0.0.0.0/8"), name: "this network" },
  { cidr: constantCidr("127.0.0.0/8"), name: "loopback" },
  { cidr: constantCidr("169.254.0.0/16"), name: "link-local" },
  { cidr: constantCidr("224.0.0.0/4"), name: "multicast" },
  { cidr: constantCidr("::/128"), name: "unspecified" },
  { cidr: constantCidr("::1/128"), name: "loopback" },
  { cidr: constantCidr("fe80::/10"), name: "link-local" },
  { cidr: constantCidr("ff00::/8"), name: "multicast" },
];

export const ADDRESS_LIST = listKind(
  {
    one: "an address or a CIDR",
    many: "addresses or CIDRs",
    example: "192.0.2.10",
    definition: "addressOrCidr",
  },
  parseBlock,
);

function parseBlock(item: Item, { options, report }: Reporting): Cidr | undefined {
  const text = writtenText(item);
  const quoted = cut(text, VALUE_CHARACTERS);
  const block = blockOf(text);
  const why = typeof block === "string" ? block : explainBlock(block);
  if (typeof block === "string" || why !== undefined) {
    report("address", { ...item, text }, `${goQuote(quoted)} ${why}`);
    return undefined;
  }
  if (block.family === "IPv4" || options.enableIPv6) return block;
  report(
    "family",
    item,
    `ipv6 is not enabled, but ipv6 address ${quoted} provided. Enable ipv6 using --enable-ipv6 agent flag`,
  );
  return undefined;
}

/** The block that a text means; an address is a block of one. Otherwise why it is not one, as the rest of a sentence. */
function blockOf(text: string): Cidr | string {
  const address = parseAddress(text);
  if (address !== undefined) {
    const { family, value } = address;
    return { family, base: value, bits: ADDRESS_BITS[family], text };
  }
  const cidr = parseCidr(text);
  if (isCidr(cidr)) return cidr;
  return cidr.reason === "unaligned" ? "has host bits" : "is not an address or a CIDR";
}

/** Why no packets can leave with the addresses of a block, or why it is not taken as written. */
function explainBlock(block: Cidr): string | undefined {
  if (isPassedOn(block)) return `is read in different ways: write ${formatCidr(block)}`;
  if (block.bits === 0) return `covers every ${block.family} address`;
  const within = UNFIT_BLOCKS.find(
    ({ cidr }) =>
      cidr.family === block.family && cidr.base <= block.base && lastAddress(block) <= lastAddress(cidr),
  );
  return within && `is within ${within.cidr.text} (${within.name}): packets do not leave a node with that`;
}
