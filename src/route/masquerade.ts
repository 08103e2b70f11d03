/**
 * Which address MASQUERADE gives a packet that leaves by a link. For IPv4 as inet_select_addr() of the kernel: not what the route
 * says, but the link's first address of the right scope, one of the next hop's network before others. For IPv6 as
 * ipv6_dev_get_saddr(), RFC 6724, as far as that needs no setting of the machine.
 */
import { IFA_F, SCOPE_UNIVERSE } from "../netlink/constants.ts";
import type { ObservedAddress } from "./rtnetlink.ts";

/** Undefined: not known. */
export function masqueradeAddress(
  addresses: readonly ObservedAddress[],
  family: "ip" | "ip6",
  link: number,
  {
    destination,
    gateway = destination,
  }: { readonly destination: bigint; readonly gateway?: bigint | undefined },
): bigint | undefined {
  const own = addresses.filter((one) => one.family === family && one.scope === SCOPE_UNIVERSE);
  if (family === "ip6") return chooseIpv6(own, link, destination);
  // IFA_F_SECONDARY.
  const primary = own.filter(({ flags }) => (flags & IFA_F.TEMPORARY) === 0);
  const onLink = primary.filter((one) => one.link === link);
  const [first] = onLink;
  if (first !== undefined) return (onLink.find((one) => isIn(one, gateway, 32)) ?? first).address;
  // Of a link without an address, the first one of any other link: it is certain only with one candidate.
  const links = new Set(primary.map((one) => one.link));
  return links.size === 1 ? primary[0]?.address : undefined;
}

function isIn({ network, bits }: ObservedAddress, address: bigint, width: number): boolean {
  const shift = BigInt(width - bits);
  return network >> shift === address >> shift;
}

function chooseIpv6(own: readonly ObservedAddress[], link: number, destination: bigint): bigint | undefined {
  const usable = own.filter(({ flags }) => (flags & (IFA_F.TENTATIVE | IFA_F.DADFAILED)) === 0);
  const fresh = usable.filter((one) => one.link === link && (one.flags & IFA_F.DEPRECATED) === 0);
  const alike = best(fresh, ({ address }) => Number(labelOf(address) === labelOf(destination)));
  // Whether temporary ones are preferred is a setting.
  const isTemporary = ({ flags }: ObservedAddress) => (flags & IFA_F.TEMPORARY) !== 0;
  if (new Set(alike.map(isTemporary)).size > 1) return undefined;
  const [address, ...others] = best(alike, (one) => commonBits(one, destination));
  return others.length > 0 ? undefined : address?.address;
}

function best(
  all: readonly ObservedAddress[],
  score: (one: ObservedAddress) => number,
): readonly ObservedAddress[] {
  const most = Math.max(...all.map(score));
  return all.filter((one) => score(one) === most);
}

/** How many bits they have in common, in the prefix of the address. */
function commonBits({ address, bits }: ObservedAddress, destination: bigint): number {
  const differing = (address ^ destination).toString(2).length;
  return Math.min(bits, address === destination ? 128 : 128 - differing);
}

/** The kernel's table of labels (net/ipv6/addrlabel.c), longest prefixes first. */
const LABELS: readonly (readonly [prefix: bigint, bits: number, label: number])[] = [
  [1n, 128, 0],
  [0n, 96, 3],
  [0xffffn << 32n, 96, 4],
  [0x20010000n << 96n, 32, 6],
  [0x20010010n << 96n, 28, 7],
  [0x3ffen << 112n, 16, 12],
  [0x2002n << 112n, 16, 2],
  [0xfec0n << 112n, 10, 11],
  [0xfc00n << 112n, 7, 5],
];

function labelOf(address: bigint): number {
  const found = LABELS.find(([prefix, bits]) => (address ^ prefix) >> BigInt(128 - bits) === 0n);
  return found?.[2] ?? 1;
}
