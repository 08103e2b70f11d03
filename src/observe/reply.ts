/** Replies of the HTTP server, as values. */

export interface Reply {
  /** The HTTP status. */
  readonly code: number;
  readonly type: string;
  readonly body: string;
}

/** The reply under each path. */
export type Routes = Readonly<Record<string, () => Reply | Promise<Reply>>>;

/** A reply of plain text. */
export function plainReply(code: number, body: string): Reply {
  return { code, type: "text/plain; charset=utf-8", body };
}

/** A reply of JSON. */
export function jsonReply(value: unknown): Reply {
  return { code: 200, type: "application/json", body: `${JSON.stringify(value)}\n` };
}
