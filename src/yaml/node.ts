/** The tree of a document, or the failure instead. */

/** A value of the document, in JSON's kinds. `at` is an offset into the document's text. */
export type Node =
  | { readonly kind: "null"; readonly at: number }
  | { readonly kind: "boolean"; readonly at: number; readonly value: boolean }
  /** `literal` is the number as Go's encoding/json would see it, e.g. `1e+21`. */
  | { readonly kind: "number"; readonly at: number; readonly literal: string }
  | { readonly kind: "string"; readonly at: number; readonly value: string }
  | { readonly kind: "array"; readonly at: number; readonly items: readonly Node[] }
  | { readonly kind: "object"; readonly at: number; readonly members: readonly Member[] };

/** One member of an object, in the order in which Go's decoder would see it. */
export interface Member {
  readonly key: string;
  readonly at: number;
  readonly value: Node;
}

/** The first mistake in a text: a message, mostly in Go's words, and the offset of its place. */
export interface Failure {
  readonly code: "syntax" | "encoding";
  readonly message: string;
  readonly at: number;
}
