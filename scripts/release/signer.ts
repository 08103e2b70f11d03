/** How what is published is signed: keyless by cosign in GitHub's workflow; in a rehearsal with a key that is thrown away. */
import { run } from "./run.ts";

export interface Signer {
  /** Signs an image or chart, `name@digest`, with what it lists. */
  readonly sign: (name: string, digests: readonly string[]) => Promise<void>;
  /** Signs a statement about `name@digest`; `kind` is in-toto's type of it, `predicate` a file. */
  readonly attest: (name: string, digest: string, kind: Predicate, predicate: string) => Promise<void>;
  /** Writes the signature of a file beside it. */
  readonly signFile: (file: string) => Promise<void>;
}

/** By cosign's name for `--type`. */
export const PREDICATES = {
  slsaprovenance1: "https://slsa.dev/provenance/v1",
  cyclonedx: "https://cyclonedx.org/bom",
} as const;
export type Predicate = keyof typeof PREDICATES;

/** Where the signature of a file is. */
export function bundleOf(file: string): string {
  return `${file}.sigstore.json`;
}

/** By cosign; without a key it asks for the workflow's identity. */
export function cosignSigner(keyOptions: readonly string[] = []): Signer {
  const cosign = (...args: readonly string[]) => void run("cosign", args);
  const options = ["--yes", ...keyOptions];
  return {
    sign: async (name, digests) => {
      for (const digest of digests) cosign("sign", ...options, `${name}@${digest}`);
    },
    attest: async (name, digest, kind, predicate) =>
      cosign("attest", ...options, "--type", kind, "--predicate", predicate, `${name}@${digest}`),
    signFile: async (file) => cosign("sign-blob", ...options, "--bundle", bundleOf(file), file),
  };
}
