/** Detects the format of a saved packet filter, and reads it. */
import { type DumpResult, parseIptablesSave } from "./iptables-save.ts";
import { parseNftJson } from "./nft/json.ts";

/** Reads a dump of any machine, or returns the error with its line. */
export function parseDump(text: string): DumpResult {
  const line = oddLine(text);
  if (line !== undefined)
    return {
      ok: false,
      line,
      message: "this is binary, no text: save the rules with iptables-save or nft -j list ruleset",
    };
  const first = text.trimStart();
  if (first === "")
    return {
      ok: false,
      line: 1,
      message: "it is empty: save the rules with iptables-save or nft -j list ruleset",
    };
  if (first.startsWith("{") || first.startsWith("[")) return parseNftJson(text);
  if (/^(?:#.*\n|\s)*table \S+ \S+ \{/.test(text))
    return {
      ok: false,
      line: 1,
      message: 'this is the text of "nft list ruleset": save it as JSON, with "nft -j list ruleset"',
    };
  if (/^(?:#.*\n|\s)*-[PNA] \S+/.test(text))
    return {
      ok: false,
      line: 1,
      message: 'this is the output of "iptables -S": save the whole table, with "iptables-save -t nat"',
    };
  return parseIptablesSave(text);
}

/** The line of the first character that no text has. */
function oddLine(text: string): number | undefined {
  const at = text.search(ODD);
  return at < 0 ? undefined : text.slice(0, at).split("\n").length;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the search is for these
const ODD = /[\u0000-\u0008\u000e-\u001f\ufffd]/;
