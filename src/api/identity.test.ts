import { expect, test } from "vitest";
import { type Identity, identityOf } from "./identity.ts";

const ENV = { NODE_NAME: "node-e", POD_NAME: "pod-e", POD_UID: "uid-e" };
const OF_ENV: Identity = { node: "node-e", pod: { name: "pod-e", uid: "uid-e" } };
const NOBODY: Identity = { node: undefined, pod: undefined };

function token(claims: unknown): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "RS256" })}.${part(claims)}.c2lnbmF0dXJl`;
}

const bound = (own: object) =>
  token({ aud: ["a?>~"], "kubernetes.io": { namespace: "kube-system", ...own } });

test.each<[string, string, Readonly<Record<string, string>>, Identity]>([
  [
    "Kubernetes 1.30 and newer",
    bound({ node: { name: "node-c", uid: "n" }, pod: { name: "pod-c", uid: "uid-c" } }),
    ENV,
    { node: "node-c", pod: { name: "pod-c", uid: "uid-c" } },
  ],
  [
    "before, tokens do not name the node",
    bound({ pod: { name: "pod-c", uid: "uid-c" } }),
    ENV,
    { node: "node-e", pod: { name: "pod-c", uid: "uid-c" } },
  ],
  ["a token of a Secret", token({ "kubernetes.io/serviceaccount/namespace": "kube-system" }), ENV, OF_ENV],
  ["half a pod", bound({ pod: { name: "pod-c" } }), {}, NOBODY],
  ["claims of other kinds", bound({ node: "x", pod: [1] }), ENV, OF_ENV],
  ["null", token(null), ENV, OF_ENV],
  ["not a JSON Web Token", "secret", ENV, OF_ENV],
  ["empty variables", "secret", { NODE_NAME: "", POD_NAME: "a", POD_UID: "" }, NOBODY],
])("%s", (_name, text, env, identity) => {
  expect(identityOf(text, env)).toEqual(identity);
});
