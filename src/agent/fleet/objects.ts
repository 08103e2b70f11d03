/** The objects by which an agent reports: its node's Lease, and one Event for all nodes on the ConfigMap that they refuse. */

import type { Identity } from "../../api/identity.ts";
import { digest } from "../../core/digest.ts";
import type { KnownConfigMap } from "../config/heard-maps.ts";
import type { NodeState } from "./node-state.ts";

/** Whose report it is. */
export interface Reporter extends Pick<Identity, "pod"> {
  readonly node: string;
  /** The agent's. */
  readonly namespace: string;
  readonly version: string;
}

/** A state, since when it holds (RFC 3339 with microseconds), and what else is known by then. */
export interface NodeReport extends NodeState {
  readonly at: string;
  readonly backend: string;
  /** The version of the ConfigMap, where it is followed. */
  readonly resourceVersion: string | undefined;
}

const COMPONENT = "ip-masq-agent";
const REASON = "ConfigRefused";

export function leaseName(node: string): string {
  return `${COMPONENT}-${node}`;
}

/** The Lease for server-side apply: what is left out of it goes. It goes with the pod, if that is known. */
export function leaseOf({ node, namespace, pod, version }: Reporter, report: NodeReport): object {
  const { state, config, why, at, backend, resourceVersion } = report;
  const annotations = { version, backend, "resource-version": resourceVersion, why: why || undefined };
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: {
      name: leaseName(node),
      namespace,
      labels: { "k8s-app": COMPONENT, [`${COMPONENT}/state`]: state, [`${COMPONENT}/config`]: config },
      // JSON leaves out what is undefined.
      annotations: Object.fromEntries(
        Object.entries(annotations).map(([name, value]) => [`${COMPONENT}/${name}`, value]),
      ),
      ...(pod && { ownerReferences: [{ apiVersion: "v1", kind: "Pod", ...pod }] }),
    },
    spec: { holderIdentity: node, renewTime: at },
  };
}

export type FleetEvent = ReturnType<typeof eventOf>;

/** Since when a version is refused, until when, in milliseconds since 1970; and how often its Event is written by then. */
export interface Refusal {
  readonly since: number;
  readonly now: number;
  readonly count: number;
}

/** An Event, which all nodes that refuse the same version of the same object give the same name. */
export function eventOf(map: KnownConfigMap, why: string, { since, now, count }: Refusal) {
  const { namespace, name, uid, version } = map;
  const parts = [uid, version, REASON].map((part) => new TextEncoder().encode(part));
  const seconds = (time: number) => new Date(time).toISOString().replace(/\.\d+Z$/, "Z");
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `${name}.${digest(...parts)}`, namespace },
    involvedObject: { apiVersion: "v1", kind: "ConfigMap", namespace, name, uid, resourceVersion: version },
    type: "Warning",
    reason: REASON,
    message: `refused by some nodes: ${why}`,
    source: { component: COMPONENT },
    reportingComponent: COMPONENT,
    reportingInstance: COMPONENT,
    firstTimestamp: seconds(since),
    lastTimestamp: seconds(now),
    count,
  };
}
