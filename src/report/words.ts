/**
 * The words of a report that are safe to publish: those of this program's own text. Every other word may be a name of a host, of a
 * pod, of a person, or a secret in the wrong file, and gets a pseudonym. So we need not know where names can
 * occur.
 */

/** Programs whose chains and tables are known by their names: the rest of the name is their own. */
const OWNERS =
  /^(?:KUBE|CNI|CILIUM|OLD|DOCKER|FLANNEL|FLANNELD|LIBVIRT|WEAVE|ANTREA|AWS|AZURE|GKE|IP|cali|cilium|kube|cni)$/;

/** Words of iptables, ipset and nft that say what rules do, and that this program need not know. */
const RULE_WORDS = `
  accept addrtype admin and any anycast apr arm64 arp aug balancer bandwidth blackhole block bpf bridge broadcast by bytes cgroup check
  clamp classify cluster comment completed condition connbytes connections connlabel connlimit connmark conntrack continue correct
  counter csum ct ctdir ctexpire ctmark ctmask ctorigdst ctorigsrc ctproto ctstate ctstatus daddr day dccp dec default destination dev
  devgroup dnat dport dports drop dropped dscp dst dstnat dsttype dup dynamic ecn egress elem elements endpoint endpoints esp
  established every expires external externally family feb fib filter firewall flags flow flowtable flush forward frag fri from fully
  fwd gateway generated gid goto has hash hashlimit hashsize health helper hex hitcount hook hoplimit host icmp icmpv6 iface igmp iif
  iifgroup iifname in inc incoming inet ingress input invalid ip ipport iprange ipv4 ipv6 jan jhash jul jump jun l3proto l4proto last
  length level limit linux load loadbalance local localnet log mac mangle map mar mark mask masquerade masquerading match maxelem may
  meta metainfo mod mode mon mss multicast multiport name nat net netdev netmap new nexthdr nf nfacct nflog nfmask nfproto nfqueue
  notrack nov nth numgen oct offset oif oifgroup oifname on or original osf output owner packet packets persistent physdev pkts pkttype
  pmtu policy port portals portmap ports postrouting prefix prerouting priority probability prohibit prohibited protocol queue quota
  random rate raw rcheck realm recent redirect ref refcount reject related release reply reset restore return route rsource rst rt rule
  saddr sat save sctp seconds security sep services set setmark shift size skip snat socket source sport sports src srcnat srctype state
  static statistic string sun symhash syn synproxy tcp tcpflags tcpmss throw thu time timeout timestamp to tos tproxy trace translate
  ttl tue type udp udplite uid ulog unicast unreachable unrealm unreplied untracked update upto verdict visible vlan vmap vxlan wed with
  wscale x64 xmark xset
`
  .trim()
  .split(/\s+/);

export interface Words {
  /** Whether the whole token is safe to publish. */
  readonly isCommon: (token: string) => boolean;
  /** The prefix that names the owner, and is safe to publish: `KUBE-SVC-`, or the numbers of a version. */
  readonly head: (token: string) => string;
}

/** All words of a program's text. */
export function vocabularyOf(text: string): ReadonlySet<string> {
  const found = text.replace(/\\[nrt]/g, " ").match(/[A-Za-z][A-Za-z0-9]*/g) ?? [];
  return new Set(found.map((word) => word.toLowerCase()));
}

/** `names` are never common, whatever words they have. */
export function createWords(vocabulary: ReadonlySet<string>, names: ReadonlySet<string>): Words {
  const rules = new Set(RULE_WORDS);
  const isWord = (word: string) => {
    const lower = word.toLowerCase();
    return word.length === 1 || vocabulary.has(lower) || rules.has(lower) || isNumber(word);
  };
  // The same words occur in many rules.
  const known = new Map<string, boolean>();
  const isCommon = (token: string) => {
    const common =
      known.get(token) ??
      (!hasAddress(token) && !hasName(token, names) && token.split(SEPARATORS).every(isWord));
    known.set(token, common);
    return common;
  };
  return {
    isCommon,
    head(token) {
      if (hasAddress(token) || hasName(token, names)) return "";
      const parts = token.split(/([^\p{L}\p{N}]+)/u);
      const isVersion = /^\d+\.\d+/.test(token);
      if (!isVersion && !OWNERS.test(parts[0] ?? "")) return "";
      const end = parts.findIndex(
        (part, i) => i % 2 === 0 && !(isVersion ? /^\d+$/.test(part) : isWord(part)),
      );
      return parts.slice(0, Math.max(end, 0)).join("");
    },
  };
}

const SEPARATORS = /[^\p{L}\p{N}]+/u;

/** Decimal numbers, durations, and numbers in base 16 with so few bits that they are marks and not addresses. */
function isNumber(word: string): boolean {
  if (word === "" || /^v?\d+$/.test(word) || /^(?:\d+(?:ns|us|µs|ms|s|m|h))+$/.test(word)) return true;
  return /^0x[0-9a-f]{1,16}$/i.test(word) && isMark(BigInt(word));
}

/** Whether a number is a mark, a mask or a count, and not an address. */
export function isMark(value: bigint): boolean {
  const bits = value.toString(2).replace(/0+$/, "");
  return bits.length <= 16 || /^1+$/.test(bits);
}

/** Numbers as in `ip-10-1-2-3`, and in `fd00.244..2`, as kube-proxy and DNS write addresses in names. */
function hasAddress(token: string): boolean {
  return /[\da-f]([.\-_])[\da-f]{1,4}\1[\da-f]{1,4}\1[\da-f]|[\da-f]([.-])\2[\da-f]/i.test(token);
}

/** Whether a name is in it, from one separator to another. */
function hasName(token: string, names: ReadonlySet<string>): boolean {
  const ends = [...token.matchAll(/[^\p{L}\p{N}]|$/gu)].map(({ index }) => index);
  const starts = [0, ...ends.map((end) => end + 1)];
  return starts.some((start) => ends.some((end) => end > start && names.has(token.slice(start, end))));
}
