/**
 * Which words of a report may be shown to anybody: those of this program's own text. Every other word may be a name of a host, of a
 * pod, of a person, or a secret that somebody has put into the wrong file, and gets another name. So nothing has to be known of
 * where names can be.
 */

/** Programs whose chains and tables are known by their names: what follows is a name of their own making. */
const OWNERS =
  /^(?:KUBE|CNI|CILIUM|OLD_CILIUM|DOCKER|FLANNEL|FLANNELD|LIBVIRT|WEAVE|ANTREA|AWS|AZURE|GKE|IP|cali|cilium|kube|cni)$/;

/** Words of iptables, ipset and nft that say what rules do, and that this program need not know. */
const RULE_WORDS = `
  accept addrtype and any arp bandwidth bpf bridge bytes cgroup classify clamp cluster comment condition connbytes connlabel connlimit
  connmark conntrack continue correct counter csum ctdir ctexpire ctmark ctorigdst ctorigsrc ctproto ctstate ctstatus day dccp
  destination dev devgroup dnat dport dports drop dscp dst dup dynamic ecn egress elem elements esp established expires family fib
  filter flags flow flowtable flush forward frag from fwd gateway goto hash hashlimit hashsize helper hex hitcount hook hoplimit icmp
  icmpv6 iface igmp in ingress input inet invalid ip ipport ipv4 ipv6 iprange jhash jump l3proto l4proto last length level limit
  loadbalance local log mac mangle map mark mask masquerade masquerading match maxelem meta mode mss multiport multicast nat
  netdev netmap new nexthdr nf nflog nfqueue nfproto nth oif oifname iif iifname iifgroup oifgroup or original osf output owner packet
  packets persistent physdev pkttype pmtu policy port portmap postrouting prefix prerouting priority probability protocol queue quota
  random fully rate raw rcheck realm recent redirect ref refcount reject related reply return route rsource rt rule saddr daddr sport sports
  sctp seconds security set setmark shift size skip snat socket source srcnat dstnat src srctype dsttype state static statistic
  string syn synproxy tcp tcpmss tcpflags time timeout timestamp to tos tproxy trace translate ttl type udp udplite ulog uid gid
  unicast unreachable unrealm unreplied update upto untracked verdict vlan vmap vxlan wscale xmark xset nfmask ctmask restore save every
  notrack numgen inc mod offset symhash reset tcp rst prohibited admin with host net broadcast metainfo release_name linux x64 arm64 generated completed on blackhole prohibit throw anycast
`
  .trim()
  .split(/\s+/);

export interface Words {
  /** Whether the whole token may be shown. */
  readonly isCommon: (token: string) => boolean;
  /** How much of its beginning says whose it is, and may be shown: `KUBE-SVC-`, or the numbers of a version. */
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
  // Rules have the same words again and again.
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

/** `ip-10-1-2-3` and its like. */
function hasAddress(token: string): boolean {
  return /\d([.\-_])\d{1,3}\1\d{1,3}\1\d/.test(token);
}

/** Whether a name is in it, from one separator to another. */
function hasName(token: string, names: ReadonlySet<string>): boolean {
  const ends = [...token.matchAll(/[^\p{L}\p{N}]|$/gu)].map(({ index }) => index);
  const starts = [0, ...ends.map((end) => end + 1)];
  return starts.some((start) => ends.some((end) => end > start && names.has(token.slice(start, end))));
}
