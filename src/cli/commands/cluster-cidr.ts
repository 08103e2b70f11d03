/** The flag --cluster-cidr of commands that check whether the list keeps pods' own networks. */

import { type Cidr, isCidr, parseCidr } from "../../core/cidr.ts";
import { stringType } from "../../go/flag-types.ts";
import { flag } from "../../go/flags.ts";
import { UsageError } from "../command.ts";

export const clusterCidrFlag = flag(
  stringType,
  "",
  "Comma-separated `CIDRs` of the pods of the whole cluster, to check whether the list keeps them.",
);

/** The CIDRs that the flag names. Throws a `UsageError`. */
export function readClusterCidrs(text: string): readonly Cidr[] {
  if (text === "") return [];
  return text.split(",").map((part) => {
    const found = parseCidr(part.trim());
    if (isCidr(found)) return found;
    throw new UsageError(
      `invalid --cluster-cidr: ${JSON.stringify(part)} is not a valid CIDR, such as 10.244.0.0/16`,
    );
  });
}
