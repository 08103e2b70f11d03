/**
 * The cluster that the test is given. What made it is none of its business: it needs kubectl, a way to load an image, and a
 * way to run a command on the node, each a command line in the environment.
 */
import { findHelm } from "../chart/chart.ts";
import { command } from "../lab/command.ts";

/** What the environment says of the cluster; words are separated by spaces. */
interface Access {
  /** `KUBECTL`, by default `kubectl`, which reads `KUBECONFIG`. */
  readonly kubectl: readonly string[];
  /** `HELM`; by default npm's, which reads `KUBECONFIG` as kubectl does. Empty: there is none that reaches the cluster. */
  readonly helm: readonly string[];
  /** `LOAD_IMAGE`: behind it comes the path of a docker archive. */
  readonly loadImage: readonly string[];
  /** `ON_NODE`: behind it comes a command, which is run as root in the node's namespaces. */
  readonly onNode: readonly string[];
  /** `HOLLOW_NODES`: behind it comes a number; makes so many nodes whose pods run nothing, with the label `hollow=true`. */
  readonly hollowNodes: readonly string[];
}

export interface Cluster {
  /** The node on which everything happens, and the others that are not hollow. */
  readonly node: string;
  readonly others: readonly string[];
  /** kubectl's command line, for processes that stay. */
  readonly prefix: readonly string[];
  /** Runs kubectl, which must succeed; returns what it printed. */
  readonly kubectl: (...args: readonly string[]) => Promise<string>;
  /** Runs Helm, which must succeed; undefined if there is none. */
  readonly helm: ((...args: readonly string[]) => Promise<string>) | undefined;
  /** `kubectl apply` (or another verb) of objects. */
  readonly send: (verb: "apply" | "create" | "replace", ...objects: readonly object[]) => Promise<string>;
  readonly loadImage: (archive: string) => Promise<string>;
  /** Runs a command on the node, which must succeed. */
  readonly onNode: (...argv: readonly string[]) => Promise<string>;
  /** Has this many hollow nodes beside the others; undefined where there is no way to make them. */
  readonly hollowNodes: ((count: number) => Promise<string>) | undefined;
}

/** The names of the variables that are missing. */
export function missingVariables(env: NodeJS.ProcessEnv = process.env): readonly string[] {
  return ["LOAD_IMAGE", "ON_NODE"].filter((name) => words(env[name]).length === 0);
}

/** Whether there is a Helm that reaches the cluster. */
export function hasHelm(env: NodeJS.ProcessEnv = process.env): boolean {
  return accessOf(env).helm.length > 0;
}

function words(text: string | undefined): readonly string[] {
  return (text ?? "").split(/\s+/).filter((word) => word !== "");
}

function accessOf({ KUBECTL, HELM, LOAD_IMAGE, ON_NODE, HOLLOW_NODES }: NodeJS.ProcessEnv): Access {
  const kubectl = words(KUBECTL);
  const npms = () => words(findHelm().path);
  return {
    kubectl: kubectl.length === 0 ? ["kubectl"] : kubectl,
    // Another kubectl than the usual one finds the cluster by means that Helm does not know.
    helm: HELM === undefined && kubectl.length === 0 ? npms() : words(HELM),
    loadImage: words(LOAD_IMAGE),
    onNode: words(ON_NODE),
    hollowNodes: words(HOLLOW_NODES),
  };
}

/** Looks which of the cluster's nodes `ON_NODE` leads to. Throws if the cluster does not answer. */
export async function openCluster(env: NodeJS.ProcessEnv = process.env): Promise<Cluster> {
  const access = accessOf(env);
  const run = (prefix: readonly string[], args: readonly string[], stdin = "") => {
    const [file = "", ...rest] = [...prefix, ...args];
    return command(file, rest, { stdin });
  };
  const kubectl: Cluster["kubectl"] = (...args) => run(access.kubectl, args);
  const onNode: Cluster["onNode"] = (...argv) => run(access.onNode, argv);
  const query = ["nodes", "--selector=hollow!=true", "--output=jsonpath={.items[*].metadata.name}"];
  const names = words(await kubectl("get", ...query));
  const hostname = (await onNode("hostname")).trim();
  const node = names.find((name) => name === hostname);
  if (node === undefined)
    throw new Error(`ON_NODE leads to ${hostname}, which is not a node of the cluster: ${names.join(" ")}`);
  return {
    node,
    others: names.filter((name) => name !== node),
    prefix: access.kubectl,
    kubectl,
    helm: access.helm.length === 0 ? undefined : (...args) => run(access.helm, args),
    send: (verb, ...objects) => {
      const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
      return run(access.kubectl, [verb, "--filename=-"], list);
    },
    loadImage: (archive) => run(access.loadImage, [archive]),
    onNode,
    hollowNodes:
      access.hollowNodes.length === 0 ? undefined : (count) => run(access.hollowNodes, [String(count)]),
  };
}
