/** Keys that Kubernetes would drop: its published schemas allow them, the types made of the same schemas do not. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { attempt } from "../lab/command.ts";
import { at, type Plain } from "../lab/manifest.ts";

const MODULES: Readonly<Record<string, string>> = {
  ConfigMap: "kubernetes-models/v1/ConfigMap",
  DaemonSet: "kubernetes-models/apps/v1/DaemonSet",
  FlowSchema: "kubernetes-models/flowcontrol.apiserver.k8s.io/v1/FlowSchema",
  Role: "kubernetes-models/rbac.authorization.k8s.io/v1/Role",
  RoleBinding: "kubernetes-models/rbac.authorization.k8s.io/v1/RoleBinding",
  ServiceAccount: "kubernetes-models/v1/ServiceAccount",
  PodMonitor: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor",
  ValidatingAdmissionPolicy: "kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
  ValidatingAdmissionPolicyBinding:
    "kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding",
  PrometheusRule: "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
};
const TSC = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext"];

/** What the compiler says of the documents as literals of their types; empty if it finds nothing. */
export async function typeErrors(documents: readonly Plain[]): Promise<string> {
  mkdirSync("build", { recursive: true });
  const directory = mkdtempSync("build/strict-");
  try {
    const file = join(directory, "documents.ts");
    writeFileSync(file, documents.map(asLiteral).join("\n"));
    const { stdout, stderr } = await attempt("node_modules/.bin/tsc", [...TSC, file], { env: process.env });
    return `${stdout}${stderr}`;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function asLiteral(document: Plain, index: number): string {
  const kind = String(at(document, "kind"));
  const from = MODULES[kind];
  if (from === undefined) throw new Error(`no types for ${kind}`);
  return `import type { I${kind} as T${index} } from "${from}";
export const d${index}: T${index} = ${JSON.stringify(document)};`;
}
