/**
 * Signatures in the form that cosign gives and verifies (`cosign verify --key`), with a key of the rehearsal: for machines
 * that have no cosign. Where they are and what is signed: sigstore/cosign, specs/SIGNATURE_SPEC.md; attestations are DSSE
 * envelopes (secure-systems-lab/dsse).
 */
import { createPrivateKey, sign as signBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { type Descriptor, MANIFEST, manifestOf, putBlob, putManifest } from "./registry.ts";
import { bundleOf, PREDICATES, type Signer } from "./signer.ts";

const SIGNATURE = "dev.cosignproject.cosign/signature";
const SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE = "application/vnd.dsse.envelope.v1+json";
const STATEMENT = "application/vnd.in-toto+json";

type Layer = Descriptor & { readonly annotations: Readonly<Record<string, string>> };

/** `pem` is a private key on the curve P-256. */
export function keySigner(pem: string): Signer {
  const key = createPrivateKey(pem);
  const signature = (bytes: string | Uint8Array) =>
    signBytes("sha256", Buffer.from(bytes), key).toString("base64");
  return {
    sign: async (name, digests) => {
      for (const digest of digests) {
        const payload = JSON.stringify(simpleSigning(name, digest));
        const blob = await putBlob(name, SIMPLE, payload);
        await addLayer(name, attached(digest, "sig"), {
          ...blob,
          annotations: { [SIGNATURE]: signature(payload) },
        });
      }
    },
    attest: async (name, digest, kind, file) => {
      const predicateType = PREDICATES[kind];
      const predicate: unknown = JSON.parse(readFileSync(file, "utf8"));
      const subject = [{ name, digest: { sha256: digest.replace("sha256:", "") } }];
      const payload = JSON.stringify({
        _type: "https://in-toto.io/Statement/v0.1",
        predicateType,
        subject,
        predicate,
      });
      const envelope = {
        payloadType: STATEMENT,
        payload: Buffer.from(payload).toString("base64"),
        signatures: [{ keyid: "", sig: signature(preAuthentication(STATEMENT, payload)) }],
      };
      const blob = await putBlob(name, ENVELOPE, JSON.stringify(envelope));
      await addLayer(name, attached(digest, "att"), {
        ...blob,
        annotations: { [SIGNATURE]: "", predicateType },
      });
    },
    signFile: async (file) =>
      writeFileSync(bundleOf(file), JSON.stringify({ base64Signature: signature(readFileSync(file)) })),
  };
}

/** The tag under which cosign looks for what is attached to a digest. */
export function attached(digest: string, what: "sig" | "att"): string {
  return `${digest.replace(":", "-")}.${what}`;
}

function simpleSigning(name: string, digest: string): object {
  const critical = {
    identity: { "docker-reference": name },
    image: { "docker-manifest-digest": digest },
    type: "cosign container image signature",
  };
  return { critical, optional: null };
}

/** The bytes that DSSE signs for a payload. */
export function preAuthentication(type: string, payload: string): string {
  return `DSSEv1 ${Buffer.byteLength(type)} ${type} ${Buffer.byteLength(payload)} ${payload}`;
}

async function addLayer(name: string, tag: string, layer: Layer): Promise<void> {
  const before = await manifestOf(name, tag);
  const layers: readonly Layer[] = before === undefined ? [] : JSON.parse(before).layers;
  const all = [...layers.filter(({ digest }) => digest !== layer.digest), layer];
  const settings = JSON.stringify({
    ...{ architecture: "", os: "", config: {} },
    rootfs: { type: "layers", diff_ids: all.map(({ digest }) => digest) },
  });
  const config = await putBlob(name, "application/vnd.oci.image.config.v1+json", settings);
  await putManifest(name, tag, { schemaVersion: 2, mediaType: MANIFEST, config, layers: all });
}
