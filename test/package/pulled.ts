/** The content of a registry on the loopback, asked for by its API alone. */
import { attached } from "../../scripts/release/key-signer.ts";
import { at, type Plain } from "../lab/manifest.ts";

export interface Attached {
  readonly blob: Uint8Array;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Pulled {
  readonly manifest: (name: string, reference: string) => Promise<Plain>;
  /** The digest that a tag leads to. */
  readonly digest: (name: string, tag: string) => Promise<string>;
  readonly tags: (name: string) => Promise<readonly string[]>;
  /** Signatures of a digest, or statements about it. */
  readonly attachedTo: (name: string, digest: string, what: "sig" | "att") => Promise<readonly Attached[]>;
}

/** `place` is registry and path, as in `127.0.0.1:5000/network`. */
export function pulledFrom(place: string): Pulled {
  const [host, ...path] = place.split("/");
  const kinds = ["index", "manifest"].map((kind) => `application/vnd.oci.image.${kind}.v1+json`);
  const ask = (name: string, what: string) =>
    fetch(`http://${host}/v2/${path.join("/")}/${name}/${what}`, { headers: { accept: kinds.join(", ") } });
  const get = async (name: string, what: string) => {
    const answer = await ask(name, what);
    if (!answer.ok) throw new Error(`${name} ${what}: ${answer.status}`);
    return answer;
  };
  const manifest: Pulled["manifest"] = async (name, reference) =>
    JSON.parse(await (await get(name, `manifests/${reference}`)).text());
  return {
    manifest,
    digest: async (name, tag) =>
      (await get(name, `manifests/${tag}`)).headers.get("docker-content-digest") ?? "",
    tags: async (name) => {
      const { tags } = (await (await ask(name, "tags/list")).json()) as { readonly tags?: string[] | null };
      return tags ?? [];
    },
    attachedTo: async (name, digest, what) => {
      const layers = at(await manifest(name, attached(digest, what)), "layers") as Plain[];
      return Promise.all(
        layers.map(async (layer) => ({
          blob: new Uint8Array(await (await get(name, `blobs/${at(layer, "digest")}`)).arrayBuffer()),
          annotations: at(layer, "annotations") as Record<string, string>,
        })),
      );
    },
  };
}
