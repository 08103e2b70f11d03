/** A registry on the loopback, and the content of an image. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../lab/network/lab.ts";
import { sh } from "./container.ts";

/** Debian's docker-registry on a free port, empty, with its storage in a directory that `close` removes. */
export async function startRegistry(): Promise<{ readonly address: string; readonly close: () => void }> {
  const directory = mkdtempSync(join(tmpdir(), "registry-"));
  const address = `127.0.0.1:${await freePort()}`;
  const config = {
    version: "0.1",
    log: { level: "error" },
    storage: { filesystem: { rootdirectory: join(directory, "data") } },
    http: { addr: address },
  };
  writeFileSync(join(directory, "config.yml"), JSON.stringify(config));
  const child = spawn("docker-registry", ["serve", join(directory, "config.yml")], { stdio: "ignore" });
  const close = () => {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  };
  await eventually(async () => {
    const answer = await fetch(`http://${address}/v2/`);
    if (!answer.ok) throw new Error(`the registry answers ${answer.status}`);
  });
  return { address, close };
}

/** A port of the loopback that nobody uses at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        address !== null && typeof address === "object" ? resolve(address.port) : reject(),
      );
    });
  });
}

/** The digests of an image's layers, uncompressed. */
export function layersOf(image: string): readonly string[] {
  return inspect(image).OCIv1.rootfs.diff_ids;
}

function inspect(image: string): {
  readonly OCIv1: { readonly rootfs: { readonly diff_ids: string[] }; readonly config: object };
} {
  return JSON.parse(sh("buildah", "inspect", "--type", "image", image));
}

/** Calls `look` with the directory of an image's file system, and an image's settings. */
export function lookInto<T>(image: string, look: (root: string, config: object) => T): T {
  const container = sh("buildah", "from", "--pull-never", image).trim();
  try {
    return look(sh("buildah", "mount", container).trim(), inspect(image).OCIv1.config);
  } finally {
    sh("buildah", "rm", container);
  }
}
