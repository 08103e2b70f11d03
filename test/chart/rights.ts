/** What a DaemonSet lets the agent do, and how much less of it is enough where only nf_tables is used. */
import { at, type Plain } from "../lab/manifest.ts";

interface Named {
  readonly name: string;
}

interface Rights {
  readonly pod: Plain;
  readonly container: Plain;
  readonly volumes: readonly Named[];
  readonly volumeMounts: readonly Named[];
}

/** The rights in a pod's `spec`. */
export function rightsOf(spec: Plain): Rights {
  return {
    pod: at(spec, "securityContext"),
    container: at(spec, "containers.0.securityContext"),
    volumes: at(spec, "volumes") as unknown as Named[],
    volumeMounts: at(spec, "containers.0.volumeMounts") as unknown as Named[],
  };
}

/** Without what iptables-legacy alone needs: NET_RAW, and the lock with which it excludes other tools. */
export function withoutLegacyRights({ pod, container, volumes, volumeMounts }: Rights): Rights {
  const isKept = ({ name }: Named) => name !== "xtables-lock";
  return {
    pod,
    container: { ...(container as object), capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] } },
    volumes: volumes.filter(isKept),
    volumeMounts: volumeMounts.filter(isKept),
  };
}
