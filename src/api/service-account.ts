/** Where the API server is, as the kubelet tells each container, and the namespace of its service account. */
import { readFileSync } from "node:fs";
import type { ConfigMapFlag, ConfigMapName } from "../core/configmap/flag.ts";
import type { ApiServer } from "./connection.ts";

/** The API server, the service account's namespace, and the ConfigMaps with theirs; or why that is not known. */
export type Located =
  | {
      readonly ok: true;
      readonly server: ApiServer;
      readonly namespace: string;
      readonly maps: readonly ConfigMapName[];
    }
  | { readonly ok: false; readonly why: string };

/** Where the kubelet mounts the token, the CA and the namespace. */
const CREDENTIALS = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Looks in the environment and in the service account's directory; a test passes its own. */
export function locate(
  { maps }: Pick<ConfigMapFlag, "maps">,
  env: Readonly<Record<string, string | undefined>>,
  credentials = CREDENTIALS,
): Located {
  const { KUBERNETES_SERVICE_HOST: host = "", KUBERNETES_SERVICE_PORT: port = "443" } = env;
  if (host === "") return { ok: false, why: "KUBERNETES_SERVICE_HOST is not set, so this is not a pod" };
  const server = { host, port, credentials };
  try {
    // Also where each ConfigMap has a namespace: without a service account there is no token.
    const own = readFileSync(`${credentials}/namespace`, "utf8").trim();
    const named = maps.map(({ namespace = own, name }) => ({ namespace, name }));
    return { ok: true, server, namespace: own, maps: named };
  } catch (error) {
    const { message } = error as Error;
    return {
      ok: false,
      why: `the pod has no token of a service account (automountServiceAccountToken): ${message}`,
    };
  }
}
