/** The image, built from this tree, and containers of it with what the manifest allows them, in a network namespace. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { at, readManifest } from "../lab/manifest.ts";

const ENV = { ...process.env, REGISTRY: "localhost", CONTAINER_TOOL: "buildah" };
/** runc, as for builds (scripts/image.sh). */
const PODMAN = ["--runtime", "runc", "--cgroup-manager", "cgroupfs"];

/** Which of the tools are missing that these tests need, and of those that only some need. */
export function missingTools(more: readonly string[] = []): readonly string[] {
  const all = ["buildah", "podman", "runc", "skopeo", "mmdebstrap", "docker-registry", "ip", "nft"];
  const needed = [...all, ...more];
  const missing = needed.filter((name) => !succeeds("sh", ["-c", `command -v ${name}`]));
  return process.getuid?.() === 0 ? missing : [...missing, "root"];
}

function succeeds(file: string, args: readonly string[]): boolean {
  try {
    execFileSync(file, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Runs a program and gives its standard output; throws with all that it said. */
export function sh(file: string, ...args: readonly string[]): string {
  return execFileSync(file, args, { env: ENV, encoding: "utf8", maxBuffer: 1 << 28, stdio: "pipe" });
}

/** What `make` with these arguments prints. */
export function make(...args: readonly string[]): string {
  return sh("make", "--silent", "--no-print-directory", ...args);
}

/** Builds the image of this tree, on a base that needs no registry; returns its name. */
export function buildImage(): string {
  sh("test/image/base.sh");
  make("container");
  return `localhost/ip-masq-agent:${make("version").trim()}`;
}

export interface NodeNamespace {
  readonly in: (file: string, ...args: readonly string[]) => string;
  /** Starts the agent in a container with the manifest's security context, less the capabilities in `without`. */
  readonly start: (args: readonly string[], options?: { readonly without?: readonly string[] }) => Container;
  readonly close: () => void;
}

export interface Container {
  readonly log: () => string;
  readonly exec: (...argv: readonly string[]) => string;
  readonly stop: () => void;
}

/** A network namespace that plays a node's; `image` runs in it. */
export function createNamespace(image: string): NodeNamespace {
  const name = `image-test-${process.pid}`;
  const work = mkdtempSync(join(tmpdir(), "image-test-"));
  const lock = join(work, "xtables.lock");
  writeFileSync(lock, "");
  sh("ip", "netns", "add", name);
  sh("ip", "-n", name, "link", "set", "lo", "up");
  const running = new Set<Container>();
  return {
    in: (file, ...args) => sh("ip", "netns", "exec", name, file, ...args),
    start: (args, { without = [] } = {}) => {
      const options = [`--network=ns:/run/netns/${name}`, `--volume=${lock}:/run/xtables.lock`];
      const container = start([...options, ...securityOptions(without)], image, args);
      running.add(container);
      return container;
    },
    close: () => {
      for (const container of running) container.stop();
      sh("ip", "netns", "delete", name);
      rmSync(work, { recursive: true });
    },
  };
}

/** The manifest's security context in podman's words; podman's seccomp profile is its default, as RuntimeDefault says. */
function securityOptions(without: readonly string[]): readonly string[] {
  const context = at(readManifest("ip-masq-agent.yaml"), "spec.template.spec.containers.0.securityContext");
  const added = at(context, "capabilities.add") as readonly string[];
  return [
    ...(at(context, "readOnlyRootFilesystem") === true ? ["--read-only", "--read-only-tmpfs=false"] : []),
    ...(at(context, "allowPrivilegeEscalation") === false ? ["--security-opt=no-new-privileges"] : []),
    ...(at(context, "capabilities.drop") as readonly string[]).map((name) => `--cap-drop=${name}`),
    ...added.filter((name) => !without.includes(name)).map((name) => `--cap-add=${name}`),
  ];
}

let started = 0;

function start(options: readonly string[], image: string, args: readonly string[]): Container {
  const name = `image-test-${process.pid}-${started++}`;
  // podman's own limits are higher than those of a test in a sandbox may be.
  const limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"];
  const argv = [
    ...PODMAN,
    "run",
    "--rm",
    "--pull=never",
    "--name",
    name,
    ...limits,
    ...options,
    image,
    ...args,
  ];
  const child: ChildProcess = spawn("podman", argv, { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (log += chunk));
  return {
    log: () => log,
    exec: (...command) => sh("podman", ...PODMAN, "exec", name, ...command),
    stop: () => {
      succeeds("podman", [...PODMAN, "rm", "--force", "--time=5", name]);
    },
  };
}
