/** The likely meaning of a text that `outputAddresses` does not take. */
import { isCidr, parseAddress, parseCidr } from "../core/cidr.ts";
import { cidrHint } from "./hints-cidr.ts";

/** The replacement for an entry of a list of addresses; undefined if there is none. */
export function addressHint(text: string): string | undefined {
  if (text.trim() === "")
    return "an entry without a value: was a variable not set? Remove it, or write an address";
  const cidr = parseCidr(text);
  if (isCidr(cidr)) return cidr.bits === 0 ? "leave the key out: then the kernel chooses" : undefined;
  // Both are usual: the link's own address as `ip address` shows it, and a network written carelessly.
  if (cidr.reason === "unaligned")
    return `did you mean ${text.replace(/\/.*$/, "")}, or all of ${cidr.network}?`;
  if (parseAddress(text) !== undefined) return undefined;
  if (/^!/.test(text)) return "list the addresses to use: none can be excluded";
  if (/^[a-z][a-z.-]{0,9}\d{1,4}$/i.test(text))
    return "addresses are listed here; interfaces are listed in outputInterfaces";
  const trimmed = text.replace(/["'`\s[\]]|[,;]$/g, "");
  if (trimmed !== text && parseAddress(trimmed) !== undefined) return `did you mean ${trimmed}?`;
  return cidrHint(text, "outputAddresses");
}
