#!/usr/bin/env node
// A stand-in for kubectl, for the plugin's tests: a cluster in the file that CLUSTER names. It knows the calls that the plugin
// makes and refuses all others. `exec` runs the command that the pod has in the file: an answer, the real program on the given
// configuration, or nothing at all.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const file = process.env.CLUSTER;
const cluster = JSON.parse(readFileSync(file, "utf8"));
// Other calls read it at any moment.
const save = () => {
  writeFileSync(`${file}.${process.pid}`, JSON.stringify(cluster));
  renameSync(`${file}.${process.pid}`, file);
};
const argv = process.argv.slice(2);
appendFileSync(`${file}.calls`, `${argv.join(" ")}\n`);

const refuse = (message) => {
  console.error(message);
  process.exit(1);
};

/** The value of an option, taken out of the arguments. */
function take(...names) {
  for (const name of names) {
    const at = argv.findIndex((one) => one === name || one.startsWith(`${name}=`));
    if (at < 0) continue;
    const [word] = argv.splice(at, 1);
    return word.includes("=") && word.startsWith("--") ? word.slice(name.length + 1) : argv.splice(at, 1)[0];
  }
  return undefined;
}

const rest = argv.includes("--") ? argv.splice(argv.indexOf("--")).slice(1) : [];
const connection = [take("--context"), take("--kubeconfig")].filter(Boolean);
if (connection.length > 0) {
  cluster.connection = connection;
  save();
}
const namespace = take("-n") ?? "default";
take("-l");
const template = take("-o")?.replace(/^jsonpath=/, "");
const flag = (name) => {
  const at = argv.indexOf(name);
  if (at >= 0) argv.splice(at, 1);
  return at >= 0;
};
const withInput = flag("-i");
if (flag("--show-managed-fields") && cluster.isOld)
  refuse("Error: unknown flag: --show-managed-fields\nSee 'kubectl get --help' for usage.");
const [verb, kind, name] = argv;
const denied = (cluster.denied ?? []).find((one) => `${verb} ${kind}`.startsWith(one));
if (denied) refuse(`Error from server (Forbidden): ${kind} is forbidden: User "me" cannot ${denied}`);

/** kubectl's JSONPath, as far as the plugin uses it. */
function expand(text, value) {
  const pieces = [...text.matchAll(/\{range ([^}]*)\}|\{end\}|\{"((?:[^"\\]|\\.)*)"\}|\{([^}]*)\}|([^{]+)/g)];
  const walk = (at, current, out) => {
    for (let i = at; i < pieces.length; i++) {
      const [whole, range, quoted, path, plain] = pieces[i];
      if (whole === "{end}") return i;
      if (range !== undefined) {
        let end = i;
        const items = look(range, current);
        for (const item of items) end = walk(i + 1, item, out);
        i = items.length > 0 ? end : skip(i + 1);
      } else if (quoted !== undefined) out.push(JSON.parse(`"${quoted}"`));
      else if (path !== undefined)
        out.push(
          look(path, current)
            .map((one) => (typeof one === "object" ? JSON.stringify(one) : String(one)))
            .join(" "),
        );
      else out.push(plain);
    }
    return pieces.length;
  };
  const skip = (at) => {
    let depth = 1;
    for (let i = at; i < pieces.length; i++) {
      if (pieces[i][1] !== undefined) depth++;
      if (pieces[i][0] === "{end}" && --depth === 0) return i;
    }
    return pieces.length;
  };
  const out = [];
  walk(0, value, out);
  return out.join("");
}

function look(path, value) {
  const steps = [...path.matchAll(/\[\*\]|\[0\]|\[\?\(@\.(\w+)=="([^"]*)"\)\]|\.((?:[^.[\\]|\\.)+)/g)];
  let found = [value];
  for (const [whole, key, wanted, field] of steps) {
    if (whole === "[*]") found = found.flatMap((one) => one ?? []);
    else if (whole === "[0]") found = found.flatMap((one) => one?.[0] ?? []);
    else if (key !== undefined)
      found = found.flatMap((one) => (one ?? []).filter((item) => item[key] === wanted));
    else found = found.map((one) => one?.[field.replaceAll("\\", "")]).filter((one) => one !== undefined);
  }
  return found;
}

const show = (object) => process.stdout.write(expand(template, object));
const map = cluster.configMap;

switch (`${verb} ${kind}`) {
  case "get pods":
    show({ items: cluster.pods });
    break;
  case "get daemonsets":
    show({ items: [{ status: { desiredNumberScheduled: cluster.wanted ?? cluster.pods.length } }] });
    break;
  case "get leases":
    show({ items: cluster.leases ?? [] });
    break;
  case "get pod":
    show(
      cluster.workloads?.[`${namespace}/${name}`] ??
        refuse(`Error from server (NotFound): pods "${name}" not found`),
    );
    break;
  case "get configmap":
    if (map === undefined || (cluster.name ?? name) !== name)
      refuse(`Error from server (NotFound): configmaps "${name}" not found`);
    show(map);
    break;
  case "create configmap": {
    const [key, path] = take("--from-file").split("=");
    cluster.configMap = {
      metadata: { resourceVersion: "1", annotations: {} },
      data: { [key]: readFileSync(path, "utf8") },
    };
    save();
    break;
  }
  case "create --dry-run=client":
    // The tests' manifests are JSON.
    show(JSON.parse(readFileSync(take("-f"), "utf8")));
    break;
  case "patch configmap": {
    const patch = JSON.parse(readFileSync(take("--patch-file"), "utf8"));
    if (cluster.rival) {
      map.metadata.resourceVersion += "0";
      save();
    }
    if (patch.metadata.resourceVersion !== map.metadata.resourceVersion)
      refuse(
        `Error from server (Conflict): the object has been modified; please apply your changes to the latest version`,
      );
    const annotations = { ...map.metadata.annotations, ...patch.metadata.annotations };
    for (const [key, value] of Object.entries(annotations)) if (value === null) delete annotations[key];
    const asked = Object.entries(cluster.policy?.annotations ?? {});
    if (asked.some(([key, value]) => annotations[key] !== value))
      refuse(
        `The configmaps "ip-masq-agent" is invalid: : ValidatingAdmissionPolicy denied request: ${cluster.policy.why}`,
      );
    map.metadata = {
      ...map.metadata,
      annotations,
      resourceVersion: `${Number(map.metadata.resourceVersion) + 1}`,
    };
    Object.assign(map.data, patch.data);
    save();
    break;
  }
  case "annotate pods":
    break;
  default:
    if (verb !== "exec") refuse(`the stand-in does not know: ${process.argv.slice(2).join(" ")}`);
    exec(cluster.pods.find(({ metadata }) => metadata.name === kind));
}

function exec(pod) {
  const [, command] = rest;
  if (pod.exec === "hangs") return setTimeout(() => {}, 600_000);
  if (pod.exec === "refused") refuse("error: unable to upgrade connection: pod does not exist");
  if (command === "status") {
    const now = pod.follows ? (map?.data.config ?? "") : pod.text;
    const hash = hashOf(now);
    const config = {
      source: "f",
      hash,
      state: pod.state ?? "accepted",
      valid: true,
      problems: pod.problems ?? [],
      loadedAt: null,
      inForce: { source: "f", hash: pod.inForce ?? hash, families: ["IPv4"] },
    };
    const rules = { IPv4: { inForce: true, cidrs: 1, lastChangeAt: null } };
    console.log(
      JSON.stringify({
        version: "v",
        startedAt: "t",
        backend: { name: "iptables", why: "w" },
        config,
        rules,
        lastPass: { at: "t", errors: pod.errors ?? [] },
      }),
    );
    return;
  }
  if (pod.echo) return console.log(rest.join(" "));
  const input = withInput ? readFileSync(0, "utf8") : "";
  // Only the digest is of interest then.
  if (command === "validate" && rest.includes("json"))
    return console.log(JSON.stringify({ files: [{ hash: hashOf(input) }] }));
  const old = command === "diff" ? [`--config=${file}.now`] : [];
  if (command === "diff") writeFileSync(`${file}.now`, map?.data.config ?? "");
  const { status, stdout, stderr } = real([command, ...old, ...rest.slice(2)], input);
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exitCode = status;
}

function hashOf(text) {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

function real(words, input) {
  return spawnSync(process.execPath, ["dist/ip-masq-agent.cjs", ...words], { input, encoding: "utf8" });
}
