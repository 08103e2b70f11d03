/**
 * From an edit of the ConfigMap to the rules, with --config-map and a real API server: etcd and kube-apiserver run in a network
 * namespace of a lab, with the Role of the component api-watch, and an agent for each backend follows them. The time begins when the
 * PATCH is sent, and ends with the agent's line that the rules are programmed.
 *
 *   node scripts/run-ts.mjs bench/cluster/edit.ts [EDITS]
 *
 * ETCD, KUBE_APISERVER and KUBECTL name the programs; by default they are looked for in PATH.
 */
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../../test/lab/command.ts";
import { createLab, eventually, type Lab } from "../../test/lab/network/lab.ts";
import type { Agent } from "../../test/lab/network/processes.ts";
import { machine, table } from "../report.ts";
import { quantile } from "../statistics.ts";

const { ETCD = "etcd", KUBE_APISERVER = "kube-apiserver", KUBECTL = "kubectl" } = process.env;
const EDITS = Number(process.argv[2] ?? "30");
const COMPONENT = "deploy/kustomize/components/api-watch";
const ACCOUNT = "/api/v1/namespaces/kube-system/serviceaccounts/ip-masq-agent/token";

/** Sends the edits, 400 ms apart, over one connection; prints when each was sent, in milliseconds since 1970. */
const EDITOR = `
const { readFileSync } = require("node:fs");
const https = require("node:https");
const [, directory, edits] = process.argv;
const file = (name) => readFileSync(directory + "/" + name);
const agent = new https.Agent({ keepAlive: true, ca: file("ca.crt"), cert: file("admin.crt"), key: file("admin.key") });
const path = "/api/v1/namespaces/kube-system/configmaps/ip-masq-agent";
const headers = { "content-type": "application/merge-patch+json" };
const patch = (config) => new Promise((done, failed) => {
  const request = https.request({ host: "127.0.0.1", port: 6443, method: "PATCH", path, agent, headers }, (answer) => {
    answer.resume().on("end", () => answer.statusCode === 200 ? done() : failed(new Error(String(answer.statusCode))));
  });
  request.on("error", failed);
  request.end(JSON.stringify({ data: { config } }));
});
(async () => {
  for (let edit = 0; edit <= Number(edits); edit++) {
    const sent = performance.timeOrigin + performance.now();
    await patch("nonMasqueradeCIDRs:\\n  - 10." + edit + ".0.0/16\\n  - 192.168.0.0/16\\n");
    // The first one opens the connection.
    if (edit > 0) console.log(sent);
    await new Promise((done) => setTimeout(done, 400));
  }
})();
`;

/** A CA, and what it signs: the API server's certificate and an administrator's. */
async function makeKeys(directory: string): Promise<void> {
  const openssl = (...args: readonly string[]) => command("openssl", args);
  const at = (name: string) => join(directory, name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl(
    "req",
    "-x509",
    ...key,
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.crt"),
    "-days",
    "9",
    "-subj",
    "/CN=ca",
  );
  for (const [name, subject] of [
    ["server", "/CN=kube-apiserver"],
    ["admin", "/O=system:masters/CN=admin"],
  ] as const) {
    await openssl("req", ...key, "-keyout", at(`${name}.key`), "-out", at(`${name}.csr`), "-subj", subject);
    writeFileSync(at("extensions"), "subjectAltName=IP:127.0.0.1\n");
    const signed = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "9"];
    await openssl(
      "x509",
      "-req",
      "-in",
      at(`${name}.csr`),
      "-out",
      at(`${name}.crt`),
      ...signed,
      "-extfile",
      at("extensions"),
    );
  }
  await openssl("genrsa", "-out", at("account.key"), "2048");
}

/** Starts etcd and the API server; they end with the lab. */
async function startServer(
  lab: Lab,
  directory: string,
): Promise<(...args: readonly string[]) => Promise<string>> {
  const at = (name: string) => join(directory, name);
  const start = (...argv: readonly string[]) => {
    const [file = "", ...args] = lab.inside("node", ...argv);
    spawn(file, args, { stdio: "ignore" });
  };
  start(ETCD, `--data-dir=${at("etcd")}`);
  start(
    KUBE_APISERVER,
    ...["--etcd-servers=http://127.0.0.1:2379", "--bind-address=127.0.0.1", "--secure-port=6443"],
    ...[`--tls-cert-file=${at("server.crt")}`, `--tls-private-key-file=${at("server.key")}`],
    ...[
      `--client-ca-file=${at("ca.crt")}`,
      "--authorization-mode=RBAC",
      "--service-cluster-ip-range=10.96.0.0/16",
    ],
    ...[
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${at("account.key")}`,
    ],
    `--service-account-signing-key-file=${at("account.key")}`,
  );
  const kubectl = async (...args: readonly string[]) => {
    const keys = [
      `--certificate-authority=${at("ca.crt")}`,
      `--client-certificate=${at("admin.crt")}`,
      `--client-key=${at("admin.key")}`,
    ];
    const { code, stdout, stderr } = await lab.inNode(KUBECTL, [
      "--server=https://127.0.0.1:6443",
      ...keys,
      ...args,
    ]);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  };
  await eventually(() => kubectl("get", "--raw", "/readyz"), 120_000);
  await eventually(() => kubectl("get", "namespace", "kube-system"), 30_000);
  return kubectl;
}

/** The service account's directory, as the kubelet mounts it. */
async function makeAccount(
  kubectl: (...args: readonly string[]) => Promise<string>,
  directory: string,
): Promise<string> {
  for (const name of ["service-account", "role", "role-binding"])
    await kubectl("apply", "-f", `${COMPONENT}/${name}.yaml`);
  await kubectl(
    "-n",
    "kube-system",
    "create",
    "configmap",
    "ip-masq-agent",
    "--from-literal=config=nonMasqueradeCIDRs: []",
  );
  const request = join(directory, "token.json");
  writeFileSync(
    request,
    JSON.stringify({ apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} }),
  );
  const { status } = JSON.parse(await kubectl("create", "--raw", ACCOUNT, "-f", request)) as {
    status: { token: string };
  };
  const account = join(directory, "account");
  mkdirSync(account);
  await command("cp", [join(directory, "ca.crt"), account]);
  writeFileSync(join(account, "token"), status.token);
  writeFileSync(join(account, "namespace"), "kube-system");
  return account;
}

/** When each line said that rules are programmed, in milliseconds since 1970; klog's times have no year. */
function programmedAt(agent: Agent): number[] {
  const lines = agent.log().matchAll(/^I(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)(\.\d{6}).*: programmed /gm);
  const year = new Date().getFullYear();
  return [...lines].map(([, month, day, hours, minutes, seconds, rest]) => {
    const whole = new Date(
      year,
      Number(month) - 1,
      Number(day),
      Number(hours),
      Number(minutes),
      Number(seconds),
    );
    return whole.getTime() + Number(rest) * 1_000;
  });
}

/** The milliseconds of each edit; one that has no line within 5 s is not a number. */
async function measure(
  lab: Lab,
  directory: string,
  account: string,
  flags: readonly string[],
): Promise<number[]> {
  const mounts =
    'mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io && ln -s "$0" /run/secrets/kubernetes.io/serviceaccount && exec "$@"';
  const agent = lab.startAgent({
    wrapper: ["sh", "-c", mounts, account],
    flags: ["--config-map=ip-masq-agent", "--http-address=", ...flags],
    env: { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: "6443" },
  });
  await eventually(() => {
    if (!agent.log().includes("following configmap")) throw new Error(agent.log());
  }, 60_000);
  const { stdout, stderr } = await lab.inNode(process.execPath, ["-e", EDITOR, directory, String(EDITS)]);
  if (stderr !== "") throw new Error(stderr);
  const done = programmedAt(agent);
  await agent.end();
  await lab.inNode("nft", ["flush", "ruleset"]);
  return stdout
    .trim()
    .split("\n")
    .map((sent) => (done.find((at) => at > Number(sent)) ?? Number.NaN) - Number(sent));
}

/** Measures both backends, one after the other, with one API server. */
async function main(): Promise<void> {
  const lab = await createLab();
  try {
    const directory = join(lab.directory, "api");
    mkdirSync(directory);
    await makeKeys(directory);
    const kubectl = await startServer(lab, directory);
    const account = await makeAccount(kubectl, directory);
    const { gitVersion } = (JSON.parse(await kubectl("get", "--raw", "/version")) ?? {}) as {
      gitVersion: string;
    };
    console.log(
      `${machine()}\nAPI server ${gitVersion}, ${EDITS} edits each: PATCH sent to rules programmed, milliseconds\n`,
    );
    const rows = [];
    for (const [name, flags] of [
      ["nftables", ["--backend=nftables"]],
      ["iptables (nft)", ["--iptables-mode=nft"]],
    ] as const) {
      const times = await measure(lab, directory, account, flags);
      rows.push([name, ...[0, 0.5, 0.95, 1].map((part) => quantile(times, part).toFixed(0))]);
    }
    console.log(table(["backend", "least", "p50", "p95", "most"], rows));
  } finally {
    await lab.close();
  }
}

void main();
