/** Rules of others, as kube-proxy has them for thousands of services: chains of their own in iptables' nat table. */

const SERVICE_RULES = 4;

/** Text for `iptables-nft-restore --noflush`: so many rules, four for each service's chain, which it empties. */
export function foreignRules(count: number): string {
  const services = Math.ceil(count / SERVICE_RULES);
  const names = Array.from({ length: services }, (_, i) => `KUBE-SVC-${i}`);
  const rules = names.flatMap((name, i) =>
    Array.from(
      { length: SERVICE_RULES },
      (_, j) =>
        `-A ${name} -d 10.${96 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}/32 -p tcp --dport ${1_000 + j} -j RETURN`,
    ),
  );
  return ["*nat", ...names.map((name) => `:${name} - [0:0]`), ...rules, "COMMIT", ""].join("\n");
}
