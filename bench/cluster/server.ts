/**
 * A real API server for figures: etcd and kube-apiserver in a network namespace of a lab, with the Role of the component api-watch.
 * ETCD, KUBE_APISERVER and KUBECTL name the programs; by default they are looked for in PATH.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../../test/lab/command.ts";
import { createLab, eventually, type Lab } from "../../test/lab/network/lab.ts";
import { machine } from "../report.ts";

const { ETCD = "etcd", KUBE_APISERVER = "kube-apiserver", KUBECTL = "kubectl" } = process.env;
export const COMPONENT = "deploy/kustomize/components/api-watch";
const ACCOUNT = "/api/v1/namespaces/kube-system/serviceaccounts/ip-masq-agent/token";
/** The kernel's clock ticks in /proc. */
const TICK_MS = 10;

/** A process of the server's. */
export interface Measured {
  readonly cpuMs: () => number;
  readonly residentMb: () => number;
}

export interface ApiServer {
  readonly lab: Lab;
  /** The CA, and an administrator's certificate and key: `ca.crt`, `admin.crt`, `admin.key`. */
  readonly keys: string;
  /** The agents' `token`, `ca.crt` and `namespace`, as in a pod. */
  readonly account: string;
  readonly kubectl: (...args: readonly string[]) => Promise<string>;
  readonly server: Measured;
  readonly etcd: Measured;
  /** Ends the API server at once, and starts it again. */
  readonly restart: () => Promise<void>;
}

/** Hands a server to `use`, with the machine and the version printed; it ends with that. */
export async function withApiServer(use: (server: ApiServer) => Promise<void>): Promise<void> {
  const lab = await createLab();
  try {
    const keys = join(lab.directory, "api");
    mkdirSync(keys);
    await makeKeys(keys);
    const etcd = start(lab, ETCD, `--data-dir=${join(keys, "etcd")}`, "--unsafe-no-fsync");
    let server = startServer(lab, keys);
    const kubectl = kubectlOf(lab, keys);
    await eventually(() => kubectl("get", "--raw", "/readyz"), 120_000);
    await eventually(() => kubectl("get", "namespace", "kube-system"), 30_000);
    const account = await makeAccount(kubectl, keys);
    const { gitVersion } = JSON.parse(await kubectl("get", "--raw", "/version")) as { gitVersion: string };
    console.log(`${machine()}\nAPI server ${gitVersion}\n`);
    const restart = async () => {
      await server.kill();
      server = startServer(lab, keys);
    };
    const measured = { server: { cpuMs: () => server.cpuMs(), residentMb: () => server.residentMb() }, etcd };
    await use({ lab, keys, account, kubectl, ...measured, restart });
  } finally {
    await lab.close();
  }
}

/** A CA, and what it signs: the API server's certificate and an administrator's. */
async function makeKeys(directory: string): Promise<void> {
  const openssl = (line: string) => command("sh", ["-ec", `cd "$0"; openssl ${line}`, directory]);
  const key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
  await openssl(`req -x509 ${key} -keyout ca.key -out ca.crt -days 9 -subj /CN=ca`);
  writeFileSync(join(directory, "extensions"), "subjectAltName=IP:127.0.0.1\n");
  for (const [name, subject] of [
    ["server", "/CN=kube-apiserver"],
    ["admin", "/O=system:masters/CN=admin"],
  ]) {
    await openssl(`req ${key} -keyout ${name}.key -out ${name}.csr -subj ${subject}`);
    const signing = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 9 -extfile extensions";
    await openssl(`x509 -req -in ${name}.csr -out ${name}.crt ${signing}`);
  }
  await openssl("genrsa -out account.key 2048");
}

/** For requests in the node by the administrator. */
export function adminOf(keys: string) {
  const file = (name: string) => readFileSync(join(keys, name));
  const identity = { ca: file("ca.crt"), cert: file("admin.crt"), key: file("admin.key") };
  return { host: "127.0.0.1", port: 6443, ...identity };
}

function start(lab: Lab, ...argv: readonly string[]): Measured & { readonly kill: () => Promise<void> } {
  const [file = "", ...args] = lab.inside("node", ...argv);
  const child = spawn(file, args, { stdio: "ignore" });
  const ended = new Promise<void>((done) => child.on("exit", () => done()));
  const read = (name: string) => readFileSync(`/proc/${child.pid}/${name}`, "utf8");
  return {
    cpuMs: () => {
      const fields = (read("stat").split(") ")[1] ?? "").split(" ");
      return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
    },
    residentMb: () => Number(/^VmRSS:\s+(\d+)/m.exec(read("status"))?.[1]) / 1024,
    kill: () => {
      child.kill("SIGKILL");
      return ended;
    },
  };
}

function startServer(lab: Lab, keys: string) {
  const at = (name: string) => join(keys, name);
  return start(
    lab,
    KUBE_APISERVER,
    ...["--etcd-servers=http://127.0.0.1:2379", "--bind-address=127.0.0.1", "--secure-port=6443"],
    ...[`--tls-cert-file=${at("server.crt")}`, `--tls-private-key-file=${at("server.key")}`],
    ...[`--client-ca-file=${at("ca.crt")}`, "--authorization-mode=RBAC"],
    "--service-cluster-ip-range=10.96.0.0/16",
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-account-key-file=${at("account.key")}`,
    `--service-account-signing-key-file=${at("account.key")}`,
  );
}

function kubectlOf(lab: Lab, keys: string): ApiServer["kubectl"] {
  const at = (name: string) => join(keys, name);
  return async (...args) => {
    const { code, stdout, stderr } = await lab.inNode(KUBECTL, [
      "--server=https://127.0.0.1:6443",
      `--certificate-authority=${at("ca.crt")}`,
      `--client-certificate=${at("admin.crt")}`,
      `--client-key=${at("admin.key")}`,
      ...args,
    ]);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  };
}

/** The service account's directory, as the kubelet mounts it. */
async function makeAccount(
  kubectl: (...args: readonly string[]) => Promise<string>,
  directory: string,
): Promise<string> {
  for (const name of ["service-account", "role", "role-binding"])
    await kubectl("apply", "-f", `${COMPONENT}/${name}.yaml`);
  const create = "-n kube-system create configmap ip-masq-agent --from-literal".split(" ");
  await kubectl(...create, "config=nonMasqueradeCIDRs: []");
  const request = join(directory, "token.json");
  const kind = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest" };
  writeFileSync(request, JSON.stringify({ ...kind, spec: {} }));
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
