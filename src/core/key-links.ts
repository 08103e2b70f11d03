/**
 * Names of links, as rules compare them with the name of the link that a packet leaves through. `+` at the end matches
 * any rest, as iptables has it; nftables' `*` is the same.
 */
import { goQuote } from "../go/quote.ts";
import { cut, VALUE_CHARACTERS } from "../text/cut.ts";
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
    warn("suspicious", item, `${text} is compared letter by letter: only + at its end stands for any rest`);
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
