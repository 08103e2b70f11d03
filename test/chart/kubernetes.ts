/** Kubernetes' own published schemas, as the packages kubernetes-models (1.36) and prometheus-operator carry them. */
import { PodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ValidatingAdmissionPolicy } from "kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy";
import { ValidatingAdmissionPolicyBinding } from "kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding";
import { DaemonSet } from "kubernetes-models/apps/v1/DaemonSet";
import { Job } from "kubernetes-models/batch/v1/Job";
import { FlowSchema } from "kubernetes-models/flowcontrol.apiserver.k8s.io/v1/FlowSchema";
import { Role } from "kubernetes-models/rbac.authorization.k8s.io/v1/Role";
import { RoleBinding } from "kubernetes-models/rbac.authorization.k8s.io/v1/RoleBinding";
import { ConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Pod } from "kubernetes-models/v1/Pod";
import { ServiceAccount } from "kubernetes-models/v1/ServiceAccount";
import { at, type Plain } from "../lab/manifest.ts";

const MODELS = {
  ConfigMap,
  DaemonSet,
  FlowSchema,
  Job,
  Pod,
  PodMonitor,
  PrometheusRule,
  Role,
  RoleBinding,
  ServiceAccount,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
};

/** Throws what the schema of the document's kind finds wrong. Keys that it does not know are none of its business. */
export function validateObject(document: Plain): void {
  const kind = String(at(document, "kind"));
  const Model = MODELS[kind as keyof typeof MODELS];
  if (Model === undefined) throw new Error(`no schema for ${kind}`);
  new Model(document as never).validate();
}
