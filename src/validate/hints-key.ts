/**
 * The likely meaning of an unknown key: other agents' and proposals' keys, flags, and misspelt ones. A hint never leads
 * to the opposite: first it tells apart keys that keep the pods' address from keys that masquerade.
 */
import { CONFIG_KEYS, knownKey, ROWS } from "../core/keys.ts";
import { commentHint, escapeHint, lookalikeHint, pageHint, withoutLookalikes } from "../core/text-hints.ts";
import { editDistance, nearest } from "../text/near.ts";

/** The agent's flags that people look for in the file. */
export const FLAGS_SOUGHT: readonly string[] = [
  "masq-chain",
  "nomasq-all-reserved-ranges",
  "enable-ipv6",
  "random-fully",
  "to-ports",
  "backend",
  "iptables-mode",
  "ipset-threshold",
  "watch",
  "http-address",
  "logging-format",
];

/** Longer ones are not misspelt keys. */
const LONGEST = 64;

/** Unknown keys by pattern, in lower case without separators; the first that matches counts. */
const MEANINGS: readonly (readonly [RegExp, string | ((stem: string) => string)])[] = [
  [
    /^(?:apiversion|kind|metadata|data|spec)$/,
    "this belongs to a manifest: the agent reads the text below its data.config",
  ],
  [
    /^(?:ipmasqagent|enabled|ipmasqagentconfig)$/,
    "this belongs to a Helm chart's values, not in the agent's file",
  ],
  [
    /^(?:force|always)?(?:masq|masquerade|snat)?all(?:traffic)?$/,
    "not supported: an empty nonMasqueradeCIDRs masquerades everything but link-local",
  ],
  [/ports?$/, "the file sets no ports: the flag --to-ports sets the source ports of masqueraded packets"],
  [
    /^(?:podselector|namespaceselector|labelselector|pods?|namespaces?)$/,
    "pods are told by their addresses, not by labels: list their networks in masqueradeSourceCIDRs",
  ],
  [/snat(?:target|to|ip|addr|pool)|tosource|outputaddr|egressip|outputip|externalip|natip/, addressKey],
  [/interface|iface|device|^nics?$/, linkKey],
  [/(?<!re)(?:src|source)|^(?:from|pods?(?:cidr|net|range|subnet))/, sourceKey],
  [/^enableipv?6$|^ipv?6(?:enabled?)?$/, "it is the agent's flag --enable-ipv6, not a key of the file"],
  [
    /masquerade(?:bit|mark)$/,
    "this belongs to kube-proxy's or the kubelet's configuration, not to the agent's",
  ],
  [/random/, "it is the agent's flag --random-fully, not a key of the file"],
  [/reserved/, "it is the agent's flag --nomasq-all-reserved-ranges, not a key of the file"],
  [/^(?:iptables)?chain(?:name)?$/, "it is the agent's flag --masq-chain, not a key of the file"],
  [
    /^(?:except|exceptions?|exceptcidrs)$/,
    "exceptions from nonMasqueradeCIDRs are listed in masqueradeCIDRs",
  ],
];

/** The replacement for an unknown key; undefined if there is none. */
export function keyHint(key: string): string | undefined {
  const other = pageHint(key) ?? escapeHint(key) ?? commentHint(key);
  if (other !== undefined) return other;
  if (key.length > LONGEST) return undefined;
  if (/^[45]\d\d$/.test(key)) return "this looks like a server's error message, not like the file";
  const plain = withoutLookalikes(key).trim();
  const known = knownKey(plain);
  if (known !== undefined) {
    const odd = lookalikeHint(key)?.replace(/: write .*$/, "") ?? "it contains spaces";
    return `${odd}: did you mean ${known}?`;
  }
  const stem = plain.toLowerCase().replace(/[^a-z0-9]/g, "");
  const flag = FLAGS_SOUGHT.find((name) => name.replaceAll("-", "") === stem);
  if (flag !== undefined) return `it is the agent's flag --${flag}, not a key of the file`;
  const meaning = MEANINGS.find(([pattern]) => pattern.test(stem))?.[1] ?? meantKey;
  return typeof meaning === "string" ? meaning : meaning(stem);
}

/** Words before "masquerade" that turn it round, words that do not, and words after it that do. */
const NEGATIONS =
  /^(?:no|nons?|not|nomore|un|don?t|donot|never|skip|excluded?|without|disabled?|exempt|bypass|ignored?)$|(?:non|not|never)$/;
const AFFIRMATIONS = /^(?:|force|always|to|do|must|enabled?|included?|allow|with|also)$/;
const EXCEPTING = /except|exclu|exempt|skip|bypass/;

/** A word that differs by more letters is another word. */
const MISSPELT = 3;

const LIST_LIKE = /cidr|subnet|network|range|dest|prefix|ips?$|masq/;

/** A word for "masquerade", and the words around it. */
const VERB =
  /^(.*?)(?:masquerad(?:e|ing|ed)?|masq|(?:snat|nat)(?=$|cidr|ips?$|range|net|subnet|dest|link|src|source))(.*)$/;

function meantKey(stem: string): string | undefined {
  const named = CONFIG_KEYS.find((name) => ROWS.get(name)?.alias?.test(stem));
  if (named !== undefined) return suggest(named);
  const [, before, behind = ""] = VERB.exec(stem) ?? [];
  const near = nearestKey(stem);
  if (near?.includes("Source") && editDistance(stem, near.toLowerCase()) <= MISSPELT) return sourceKey(stem);
  if (before === undefined)
    return near === undefined ? (LIST_LIKE.test(stem) ? BOTH_LISTS : undefined) : suggest(near);
  const isTurned = isNegative(before);
  if (/link|local/.test(behind) || near?.startsWith("masqLink")) return linkLocal(behind, isTurned);
  if (isTurned === undefined) return BOTH_LISTS;
  return suggest(isTurned === EXCEPTING.test(behind) ? "masqueradeCIDRs" : "nonMasqueradeCIDRs");
}

const BOTH_LISTS =
  "nonMasqueradeCIDRs are destinations that see the pods' own address, masqueradeCIDRs are exceptions that see the node's";

const BOTH_SOURCE_LISTS =
  "packets from masqueradeSourceCIDRs are masqueraded, packets from nonMasqueradeSourceCIDRs are not";

/** A key that is about sources. */
function sourceKey(stem: string): string {
  const [, before, behind = ""] = VERB.exec(stem) ?? [];
  const isTurned = before === undefined ? undefined : isNegative(before);
  if (isTurned === undefined) return BOTH_SOURCE_LISTS;
  return suggest(isTurned === EXCEPTING.test(behind) ? "masqueradeSourceCIDRs" : "nonMasqueradeSourceCIDRs");
}

/** A key that is about the address that packets leave with. */
function addressKey(stem: string): string {
  const near = stem.endsWith("by") ? "outputAddressBy" : nearestKey(stem);
  return near?.startsWith("outputAddress")
    ? suggest(near)
    : "outputAddresses lists those of the nodes' own addresses that masqueraded packets leave with";
}

/** A key that is about links: those that packets come from, or that are excluded, cannot be said. */
function linkKey(stem: string): string {
  if (/^in(?:put|bound|coming|gress)?(?:interface|iface|device)|src|source|from|ingress/.test(stem))
    return "not supported: packets are told by their source, in masqueradeSourceCIDRs, and by outputInterfaces";
  const [, before = ""] = VERB.exec(stem) ?? [];
  return EXCEPTING.test(stem) ||
    isNegative(before) !== false ||
    /^(?:non?|not|un|ignored?|without)(?:out|egress|int|iface)/.test(stem)
    ? "not supported: outputInterfaces lists the interfaces that packets leave through to be masqueraded, and none can be excluded"
    : suggest("outputInterfaces");
}

/** Whether the words before "masquerade" turn it round; undefined if that is not sure. */
function isNegative(before: string): boolean | undefined {
  if (EXCEPTING.test(before) && /non|not/.test(before)) return undefined;
  if (AFFIRMATIONS.test(before)) return false;
  if (NEGATIONS.test(before)) return true;
  return /^n|^on$/.test(before) && editDistance(before, "non") <= 1 ? true : undefined;
}

function linkLocal(behind: string, isTurned: boolean | undefined): string {
  const key = /6/.test(behind) ? "masqLinkLocalIPv6" : "masqLinkLocal";
  return isTurned === false
    ? `did you mean ${key}?`
    : `link-local is masqueraded only with ${key}: true, which is not the default`;
}

function suggest(key: string): string {
  return `did you mean ${key}?`;
}

/** The most similar key, if it differs by little, and not at its beginning where that would turn the meaning round. */
function nearestKey(stem: string): string | undefined {
  // A distance is at least the difference of lengths; most keys need not be compared letter by letter.
  const alike = CONFIG_KEYS.filter((known) => Math.abs(known.length - stem.length) <= known.length / 3);
  const best = nearest(stem, alike);
  return best?.endsWith("CIDRs") && best[0] !== stem[0] ? undefined : best;
}
