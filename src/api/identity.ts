/** Who the agent is in its cluster, by its token's claims; what older API servers leave out comes from the environment (downward API). */

export interface Identity {
  readonly node: string | undefined;
  readonly pod: { readonly name: string; readonly uid: string } | undefined;
}

/** Claims are read, not checked: the API server checks the token. */
export function identityOf(token: string, env: Readonly<Record<string, string | undefined>>): Identity {
  const { node, pod } = claimsOf(token);
  const { NODE_NAME: nodeName, POD_NAME: name, POD_UID: uid } = env;
  const ofEnv = name && uid ? { name, uid } : undefined;
  return {
    node: textIn(node, "name") ?? (nodeName || undefined),
    pod: podOf(textIn(pod, "name"), textIn(pod, "uid")) ?? ofEnv,
  };
}

function podOf(name: string | undefined, uid: string | undefined): Identity["pod"] {
  return name === undefined || uid === undefined ? undefined : { name, uid };
}

/** The claims about Kubernetes' objects; none in a token that is not bound to any. */
function claimsOf(token: string): { readonly node?: unknown; readonly pod?: unknown } {
  const [, payload = ""] = token.split(".");
  try {
    const claims = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
    return claims?.["kubernetes.io"] ?? {};
  } catch {
    return {};
  }
}

function textIn(object: unknown, key: string): string | undefined {
  const value = (object as Readonly<Record<string, unknown>> | null | undefined)?.[key];
  return typeof value === "string" && value !== "" ? value : undefined;
}
