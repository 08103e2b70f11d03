import type { Check, NatTable } from "../../facts.ts";
import { warning } from "../../finding.ts";
import { natTables } from "../../nat-tables.ts";

/** Both variants of iptables decide, each with its own rules. */
export const bothVariants: Check = {
  name: "both-variants",
  severity: "warning",
  looksFor: "rules in the nat tables of both iptables-nft and iptables-legacy",
  remedy: "use one variant on the node",
  run(facts) {
    const tables = natTables(facts);
    return (["IPv4", "IPv6"] as const).flatMap((family) => {
      const [nft, legacy] = (["nft", "legacy"] as const).map((variant) =>
        tables.find((table) => table.family === family && table.variant === variant && hasRules(table)),
      );
      if (nft === undefined || legacy === undefined) return [];
      return warning(
        `${family}: the nat tables of both variants of iptables have rules (${nft.tool} and ${legacy.tool})`,
        "use one variant on the node; remove the other's rules, and see --iptables-mode",
      );
    });
  },
};

function hasRules({ chains }: NatTable): boolean {
  return [...chains.values()].some((rules) => rules.length > 0);
}
