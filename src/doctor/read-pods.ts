/** Where a node says what its pods' networks are: links and routes, flannel's file, the CNI's configuration, command lines. */
import { attempt } from "../backend/attempt.ts";
import { FAMILY_NAMES, isCidr, parseCidr } from "../core/cidr.ts";
import * as rtnetlink from "../route/rtnetlink.ts";
import { derive, type Fact, isKnown, readText } from "../system/fact.ts";
import type { CniFile } from "./facts.ts";
import { learnPods, type Network, networkCidr, type PodFacts, type PodNetwork } from "./pod-networks.ts";

/** Where flannel says what it gives to nodes and pods. */
const FLANNEL = "/run/flannel/subnet.env";

/** The variables of that file with the whole cluster's networks. */
const FLANNEL_NAMES = ["FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"];

/** The networks that links, addresses and routes name. */
export function readLinks(): Promise<Fact<PodFacts>> {
  return attempt("links and routes, by which pods' networks are known", async () =>
    learnPods(named(await rtnetlink.readNetwork())),
  );
}

function named({ links, addresses, routes }: rtnetlink.Network): Network {
  return {
    links,
    addresses: addresses.map(({ family, link, address, network, bits }) => ({
      link,
      address,
      network: networkCidr(FAMILY_NAMES[family], network, bits),
    })),
    routes: routes.map(({ family, destination, bits, ...rest }) => ({
      ...rest,
      cidr: networkCidr(FAMILY_NAMES[family], destination, bits),
    })),
  };
}

/** A cluster's network on a command line. */
export interface ClusterCidr {
  readonly from: string;
  readonly text: string;
}

/** The networks that files and command lines name, source by source. */
export function readPodNetworks(
  cni: Fact<readonly CniFile[] | undefined>,
  clusterCidrs: readonly ClusterCidr[],
): readonly Fact<readonly PodNetwork[]>[] {
  return [
    readFlannel(FLANNEL),
    ...(isKnown(cni) ? [{ value: cniNetworks(cni.value ?? []) }] : []),
    { value: clusterCidrs.flatMap(({ from, text }) => parseNetworks(text, from, false)) },
  ];
}

/** A runtime takes the first file in name order that it can read; one that hands on to others says nothing itself. */
function cniNetworks(files: readonly CniFile[]): readonly PodNetwork[] {
  const usable = files.filter(({ fault }) => fault === undefined);
  const first = usable.findIndex(({ isMeta }) => !isMeta);
  return usable
    .slice(0, first < 0 ? usable.length : first + 1)
    .flatMap(({ path, ranges }) =>
      ranges.flatMap((text) => parseNetworks(text, `host-local in ${path}`, true)),
    );
}

/** The networks of flannel's file, if there is one. */
export function readFlannel(path: string): Fact<readonly PodNetwork[]> {
  return derive(readText(path, path), (text = "") =>
    FLANNEL_NAMES.flatMap((name) => {
      const value = new RegExp(`^${name}=(.*)$`, "m").exec(text)?.[1] ?? "";
      return parseNetworks(value, `${name} of ${path}`, false);
    }),
  );
}

/** Networks with commas between them, each by itself or by an address in it. Other texts are left out. */
function parseNetworks(text: string, from: string, isLocal: boolean): PodNetwork[] {
  return text.split(",").flatMap((part) => {
    const found = parseCidr(part.trim().replaceAll(/^["']|["']$/g, ""));
    if (isCidr(found)) return { cidr: found, from, isLocal };
    const network = found.reason === "unaligned" ? parseCidr(found.network) : found;
    return isCidr(network) ? { cidr: network, from, isLocal } : [];
  });
}
