/** The policy about reports in deploy/admission: an agent's token writes its own node's Lease, and one kind of Event. */
import { expect, test } from "vitest";
import { eventOf, leaseOf } from "../../src/agent/fleet/objects.ts";
import { validateObject } from "../chart/kubernetes.ts";
import { typeErrors } from "../chart/strict.ts";
import { at, readManifest } from "../lab/manifest.ts";
import { readPolicy, refusalsOf } from "./cel.ts";

const policy = readPolicy("deploy/admission/report-policy.yaml");
const AGENT = "system:serviceaccount:kube-system:ip-masq-agent";
const NODE = "authentication.kubernetes.io/node-name";
const MAP = { namespace: "kube-system", name: "ip-masq-agent", uid: "u", version: "4711" };
const REPORT = {
  ...({ state: "refused", config: "3f2a91c0d4e5b617", why: "f:2:5: no" } as const),
  ...{ at: "2026-11-26T22:18:21.000000Z", backend: "nftables", resourceVersion: "4711" },
};

const leaseFor = (node: string) =>
  leaseOf({ node, pod: { name: "a", uid: "b" }, namespace: "kube-system", version: "v" }, REPORT);
const named = (name: string) => ({ kind: "Lease", metadata: { name } });
const event = eventOf(MAP, "f:2:5: no", { since: 0, now: 0, count: 1 });
/** With this node in the token; undefined: tokens do not name it. */
const agentOn = (node?: string) => ({ username: AGENT, ...(node && { extra: { [NODE]: [node] } }) });

function refused(userInfo: object, object: object, operation = "CREATE"): readonly string[] {
  const resource = (object as { kind: string }).kind === "Event" ? "events" : "leases";
  return refusalsOf(policy, {
    object,
    oldObject: null,
    request: { operation, userInfo, resource: { resource } },
  });
}

const ONLY = "an agent may write the Lease ip-masq-agent-node-17 only";
const NO_EVENT = "an agent may write no Event but that the ConfigMap ip-masq-agent is refused";
const NO_NODE = "an agent may report for its own node only, and this token does not name one";

test.each<[string, object, object, readonly string[]]>([
  ["its own node's Lease", agentOn("node-17"), leaseFor("node-17"), []],
  ["another node's Lease", agentOn("node-17"), leaseFor("node-18"), [ONLY]],
  ["a Lease whose name begins like its own", agentOn("node-17"), named("ip-masq-agent-node-170"), [ONLY]],
  ["the scheduler's Lease", agentOn("node-17"), named("kube-scheduler"), [ONLY]],
  ["its node's Lease, if it names no node", agentOn(), leaseFor("node-17"), [NO_NODE]],
  [
    "its node's Lease, if it names other things",
    { username: AGENT, extra: { "a/b": ["node-17"] } },
    leaseFor("node-17"),
    [NO_NODE],
  ],
  ["the Event about the ConfigMap", agentOn("node-17"), event, []],
  ["that Event, if it names no node", agentOn(), event, []],
  [
    "an Event about a Pod",
    agentOn("node-17"),
    { ...event, involvedObject: { kind: "Pod", name: "ip-masq-agent" } },
    [NO_EVENT],
  ],
  [
    "an Event about another ConfigMap",
    agentOn("node-17"),
    { ...event, involvedObject: { kind: "ConfigMap", name: "x" } },
    [NO_EVENT],
  ],
  ["an Event for another reason", agentOn("node-17"), { ...event, reason: "Killed" }, [NO_EVENT]],
  ["the scheduler, whose it is", { username: "system:kube-scheduler" }, named("kube-scheduler"), []],
  [
    "another account, whom it is not about",
    { username: "system:serviceaccount:kube-system:x" },
    { ...event, reason: "x" },
    [],
  ],
])("a token, and %s", (_name, userInfo, object, reasons) => {
  expect(refused(userInfo, object)).toEqual(reasons);
  // An Event is made once.
  const changed = object === event ? [NO_EVENT] : reasons;
  expect(refused(userInfo, object, "UPDATE")).toEqual(changed);
});

test("the manifests are valid, and it is about the account and the kinds that the component gives", async () => {
  const documents = ["report-policy", "report-binding"].map((name) =>
    readManifest(`deploy/admission/${name}.yaml`),
  );
  for (const document of documents) validateObject(document);
  expect(await typeErrors(documents)).toBe("");
  const role = readManifest("deploy/kustomize/components/lease-report/role.yaml");
  const rules = at(role, "rules") as unknown as readonly { apiGroups: string[]; resources: string[] }[];
  const covered = at(documents[0] ?? null, "spec.matchConstraints.resourceRules") as unknown as typeof rules;
  for (const { apiGroups, resources } of rules)
    expect(
      covered.some(
        (one) => one.resources.includes(resources[0] ?? "") && one.apiGroups.includes(apiGroups[0] ?? "-"),
      ),
    ).toBe(true);
});
