/** Kubernetes' own published schemas, as the packages kubernetes-models (1.27) and prometheus-operator carry them. */
import { PodMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ValidatingAdmissionPolicy } from "kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy";
import { ValidatingAdmissionPolicyBinding } from "kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding";
import { DaemonSet } from "kubernetes-models/apps/v1/DaemonSet";
import { ConfigMap } from "kubernetes-models/v1/ConfigMap";
import { at, type Plain } from "../lab/manifest.ts";

const MODELS = {
  ConfigMap,
  DaemonSet,
  PodMonitor,
  PrometheusRule,
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
