import { isIP } from "node:net";

/** `--http-address`: `HOST:PORT`, `:PORT` for every address of the machine, `[::1]:PORT`. */

export interface HttpAddress {
  /** Without brackets; `::` listens on every address. */
  readonly host: string;
  readonly port: number;
}

/** Undefined if the text is not an address with a port. */
export function parseHttpAddress(text: string): HttpAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:[\]/]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) return undefined;
  return { host: match[1] ?? (match[2] || "::"), port };
}

/** The address as part of a URL. */
export function hostPort({ host, port }: HttpAddress): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** The address at which a client on the same machine reaches a server that listens here. */
export function reachable({ host, port }: HttpAddress): HttpAddress {
  return { host: host === "::" || host === "0.0.0.0" ? "localhost" : host, port };
}

/** Whether it is an address, or the name, that a machine has for itself alone. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(host);
}

/**
 * Whether a request's `Host` names the machine by an address, or as `localhost`. A web page whose own name someone has
 * made to lead here (DNS rebinding) sends that name.
 */
export function isOwnName(header: string): boolean {
  const [, bracketed, plain = ""] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d+)?$/.exec(header) ?? [];
  return bracketed === undefined
    ? isIP(plain) === 4 || plain.toLowerCase() === "localhost"
    : isIP(bracketed) === 6;
}
