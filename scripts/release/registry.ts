/** The little of a registry's API that a rehearsal needs beside skopeo (https://github.com/opencontainers/distribution-spec). */
import { createHash } from "node:crypto";
import { isLoopback } from "./names.ts";
import { ReleaseError } from "./run.ts";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";

export function digestOf(bytes: string | Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Splits `registry/path/name` and gives the address of its API. */
function apiOf(name: string): string {
  const [host = "", ...path] = name.split("/");
  return `${isLoopback(name) ? "http" : "https"}://${host}/v2/${path.join("/")}`;
}

/** Whether a registry answers there at all; without a right to read, it does too. */
export async function refuseNoRegistry(name: string): Promise<void> {
  const [host] = name.split("/");
  const url = `${isLoopback(name) ? "http" : "https"}://${host}/v2/`;
  const answer = await fetch(url).catch((error: Error) => String(error.cause ?? error));
  if (typeof answer === "string") throw new ReleaseError(`no registry answers at ${host}: ${answer}`);
  if (![200, 401].includes(answer.status))
    throw new ReleaseError(`${host} is no registry: ${url} answers ${answer.status}`);
}

/** The manifest that a tag or digest of `name` has; undefined if there is none. */
export async function manifestOf(name: string, reference: string): Promise<string | undefined> {
  const headers = { accept: `${MANIFEST}, ${INDEX}` };
  const answer = await fetch(`${apiOf(name)}/manifests/${reference}`, { headers });
  return answer.ok ? await answer.text() : undefined;
}

export async function putBlob(name: string, mediaType: string, text: string): Promise<Descriptor> {
  const digest = digestOf(text);
  const begun = await fetch(`${apiOf(name)}/blobs/uploads/`, { method: "POST" });
  const location = new URL(begun.headers.get("location") ?? "", apiOf(name));
  location.searchParams.set("digest", digest);
  const put = await fetch(location, {
    method: "PUT",
    body: text,
    headers: { "content-type": "application/octet-stream" },
  });
  if (!put.ok) throw new ReleaseError(`${name} takes no blob: ${put.status}`);
  return { mediaType, digest, size: Buffer.byteLength(text) };
}

export async function putManifest(name: string, reference: string, manifest: object): Promise<void> {
  const body = JSON.stringify(manifest);
  const url = `${apiOf(name)}/manifests/${reference}`;
  const put = await fetch(url, { method: "PUT", body, headers: { "content-type": MANIFEST } });
  if (!put.ok) throw new ReleaseError(`${name} takes no manifest ${reference}: ${put.status}`);
}
