/** The inputs of redaction from this machine: a secret of this run, its names, and the program's own text. */

import { createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { flagValue } from "../go/flags.ts";
import { known, readText } from "../system/fact.ts";
import type { KeyedBits } from "./pseudonyms.ts";
import type { NodeNames } from "./redact.ts";
import { vocabularyOf } from "./words.ts";

/** A fresh secret, which is lost with the run, so that the mapping cannot be repeated. */
export function createKeyedBits(): KeyedBits {
  const secret = randomBytes(32);
  return (text) => createHmac("sha256", secret).update(text).digest();
}

/** The words of this program. Without its file there are none, and all words are taken for names. */
export function readVocabulary(file = process.argv[1]): ReadonlySet<string> {
  try {
    // The bundle writes line ends as escapes.
    return vocabularyOf(readFileSync(file ?? "", "utf8").replaceAll("\\n", "\n"));
  } catch {
    return new Set();
  }
}

/** Variables in which manifests hand a node's or a pod's name to a container. */
const NAME_VARIABLES = ["HOSTNAME", "NODE_NAME", "MY_NODE_NAME", "KUBERNETES_NODE_NAME", "POD_NAME"];

/** The names of this machine, also as its kubelets are given it, and of its links. */
export function readNodeNames(kubelets: readonly (readonly string[])[]): NodeNames {
  const hosts = [
    hostname(),
    ...NAME_VARIABLES.map((name) => process.env[name] ?? ""),
    ...kubelets.map((words) => flagValue(words, "hostname-override") ?? ""),
  ];
  const devices = known(readText("/proc/net/dev", "links")) ?? "";
  const links = [...devices.matchAll(/^\s*([^\s:]+):/gm)].map(([, name = ""]) => name);
  return {
    hosts: distinct(hosts.flatMap((name) => [name, name.split(".")[0] ?? ""])),
    links: distinct(links).filter((name) => name !== "lo"),
  };
}

function distinct(names: readonly string[]): readonly string[] {
  return [...new Set(names)].filter((name) => name !== "");
}
