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

/** The address of a registry's API. */
function apiOf(name: string): string {
  const [host = ""] = name.split("/");
  return `${isLoopback(name) ? "http" : "https"}://${host}/v2/`;
}

/** The address of a name's part of it, as in `registry/path/name`. */
function placeOf(name: string): string {
  return `${apiOf(name)}${name.split("/").slice(1).join("/")}`;
}

/** A request's answer, whatever its status. */
async function ask(name: string, url: string | URL, init: RequestInit = {}): Promise<Response> {
  const answer = await fetch(url, init).catch((error: Error) => String(error.cause ?? error));
  if (typeof answer !== "string") return answer;
  throw new ReleaseError(`no registry answers at ${name.split("/")[0]}: ${answer}`);
}

/** Whether a registry answers there at all; without a right to read, it does too. */
export async function refuseNoRegistry(name: string): Promise<void> {
  const url = apiOf(name);
  const { status } = await ask(name, url);
  if (![200, 401].includes(status))
    throw new ReleaseError(`${name.split("/")[0]} is no registry: ${url} answers ${status}`);
}

/** The manifest that a tag or digest of `name` has; undefined if there is none, which only 404 says. */
export async function manifestOf(name: string, reference: string): Promise<string | undefined> {
  const headers = { accept: `${MANIFEST}, ${INDEX}` };
  const answer = await ask(name, `${placeOf(name)}/manifests/${reference}`, { headers });
  if (answer.ok) return await answer.text();
  if (answer.status === 404) return undefined;
  throw new ReleaseError(
    `the registry does not say whether ${name} has ${reference}: it answers ${answer.status}`,
  );
}

/**
 * Whether skopeo failed since the registry has no such name: all other failures do not say so, although their words may be
 * "not found". The last form is Harbor's.
 */
export function isAbsent(said: string): boolean {
  return /: reading manifest \S+ in \S+: (?:manifest unknown|name unknown|StatusCode: 404\b|unknown: (?:artifact|repository) \S+ not found)/.test(
    said,
  );
}

export async function putBlob(name: string, mediaType: string, text: string): Promise<Descriptor> {
  const digest = digestOf(text);
  const begun = await ask(name, `${placeOf(name)}/blobs/uploads/`, { method: "POST" });
  refuse(begun, `${name} takes no blob`);
  const location = new URL(begun.headers.get("location") ?? "", apiOf(name));
  location.searchParams.set("digest", digest);
  const headers = { "content-type": "application/octet-stream" };
  refuse(await ask(name, location, { method: "PUT", body: text, headers }), `${name} takes no blob`);
  return { mediaType, digest, size: Buffer.byteLength(text) };
}

export async function putManifest(name: string, reference: string, manifest: object): Promise<void> {
  const headers = { "content-type": MANIFEST };
  const body = JSON.stringify(manifest);
  const put = await ask(name, `${placeOf(name)}/manifests/${reference}`, { method: "PUT", body, headers });
  refuse(put, `${name} takes no manifest ${reference}`);
}

function refuse({ ok, status }: Response, what: string): void {
  if (!ok) throw new ReleaseError(`${what}: ${status}`);
}
