/**
 * The message of iptables-nft about a table with objects that nft made and iptables cannot show. It comes on stdout with exit
 * code 0 when it saves, on stderr with 1 when it lists; adding to such a table works nevertheless (tried with 1.8.9).
 */
export function isIncompatible(output: string): boolean {
  return /incompatible, use 'nft' tool/.test(output);
}
