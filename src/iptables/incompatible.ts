/**
 * What iptables-nft says of a table in which somebody made something with nft that it cannot show. It says so on stdout and exits
 * with 0 when it saves, on stderr and with 1 when it lists; to add to such a table works all the same (tried with 1.8.9).
 */
export function isIncompatible(output: string): boolean {
  return /incompatible, use 'nft' tool/.test(output);
}
