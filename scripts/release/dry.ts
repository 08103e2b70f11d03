/**
 * The rehearsal: the same steps against a registry of Debian's docker-registry on the loopback, with a key that is thrown
 * away. Its storage stays in dist/release/registry, for tests to install from.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DIRECTORY } from "./build.ts";
import { keySigner } from "./key-signer.ts";
import { refuseNoRegistry } from "./registry.ts";
import { isInstalled, ReleaseError, run } from "./run.ts";
import { cosignSigner, type Signer } from "./signer.ts";

const STORAGE = join(DIRECTORY, "registry");
const PRIVATE_KEY = join(DIRECTORY, "throw-away.key");
/** Verifies what the rehearsal signed. */
export const PUBLIC_KEY = join(DIRECTORY, "throw-away.pub");

export interface Registry {
  readonly close: () => void;
}

/** A registry at this address, as in `127.0.0.1:5000`, until it is closed. */
export async function serveRegistry(address: string): Promise<Registry> {
  mkdirSync(STORAGE, { recursive: true });
  const config = join(DIRECTORY, "registry.json");
  const storage = { filesystem: { rootdirectory: join(process.cwd(), STORAGE) } };
  writeFileSync(
    config,
    JSON.stringify({ version: "0.1", log: { level: "error" }, storage, http: { addr: address } }),
  );
  const child = spawn("docker-registry", ["serve", config], { stdio: ["ignore", "ignore", "pipe"] });
  const said: string[] = [];
  child.stderr.on("data", (chunk) => said.push(String(chunk)));
  child.on("error", (error) => said.push(error.message));
  await answering(address, child, said);
  return { close: () => void child.kill("SIGKILL") };
}

async function answering(address: string, child: ChildProcess, said: readonly string[]): Promise<void> {
  for (const deadline = Date.now() + 20_000; ; ) {
    // One of another program may answer there.
    await sleep(50);
    if (child.pid === undefined || child.exitCode !== null)
      throw new ReleaseError(`docker-registry does not run at ${address}: ${reasonIn(said.join(""))}`);
    const problem = await refuseNoRegistry(address).catch((error: unknown) => error);
    if (problem === undefined) return;
    if (Date.now() > deadline) throw problem;
  }
}

/** Of what the registry logs as `level=fatal msg="..."`. */
function reasonIn(log: string): string {
  return /msg="([^"]+)"/.exec(log)?.[1] ?? log.trim();
}

/** Signs with a new key; its public half stays. */
export function throwAwaySigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  writeFileSync(PUBLIC_KEY, publicKey);
  return isInstalled("cosign") ? cosignKeySigner(privateKey) : keySigner(privateKey);
}

/** cosign takes keys of its own form alone; nothing goes to the public log. */
function cosignKeySigner(pem: string): Signer {
  Object.assign(process.env, { COSIGN_PASSWORD: "" });
  writeFileSync(PRIVATE_KEY, pem, { mode: 0o600 });
  const prefix = join(DIRECTORY, "cosign");
  run("cosign", ["import-key-pair", "--yes", "--key", PRIVATE_KEY, "--output-key-prefix", prefix]);
  rmSync(PRIVATE_KEY);
  return cosignSigner(["--key", `${prefix}.key`, "--tlog-upload=false"]);
}
