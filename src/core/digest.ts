/**
 * 64 bits that say whether two texts are the same: FNV-1a (RFC draft-eastlake-fnv) over words of eight bytes. It does
 * not resist anyone who makes two texts look alike on purpose, and gains nothing by it here. Node's own digests would
 * load OpenSSL, for 3 MB of memory that an idle agent can save.
 */

const OFFSET = 0xcbf29ce484222325n;
const PRIME = 0x100000001b3n;
const WORD = 8;

/** The digest of these bytes as 16 hexadecimal digits; the boundaries between the arrays count. */
export function digest(...parts: readonly Uint8Array[]): string {
  let hash = OFFSET;
  const mix = (word: bigint) => {
    hash = BigInt.asUintN(64, (hash ^ word) * PRIME);
    // Multiplication only carries differences upwards; this brings them back down.
    hash ^= hash >> 32n;
  };
  for (const bytes of parts) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const whole = bytes.length - (bytes.length % WORD);
    for (let at = 0; at < whole; at += WORD) mix(view.getBigUint64(at, true));
    let rest = 0n;
    for (let at = whole; at < bytes.length; at++) rest = (rest << 8n) | BigInt(bytes[at] as number);
    mix(rest);
    mix(BigInt(bytes.length));
  }
  return hash.toString(16).padStart(16, "0");
}

/** The digest of a configuration's files, which tells texts apart in logs, series and `status`. */
export function digestOf(files: readonly { readonly bytes: Uint8Array }[]): string {
  return digest(...files.map(({ bytes }) => bytes));
}
