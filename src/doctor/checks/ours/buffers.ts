import { known } from "../../../system/fact.ts";
import { counted } from "../../../text/plural.ts";
import type { Check } from "../../facts.ts";
import { info } from "../../finding.ts";
import { numbers } from "../../numbers.ts";

/** Bytes of a transaction that one interval of a set takes, as measured: 212,992 bytes carry about 10,500. */
const BYTES_PER_INTERVAL = 20;

/** A socket's buffers bound what one nf_tables transaction can hold. */
export const buffers: Check = {
  name: "buffers",
  severity: "info",
  looksFor:
    "nftables: a list that does not fit one transaction within net.core.wmem_max and net.core.rmem_max",
  remedy: "raise both sysctls",
  run({ sysctls, config }) {
    const entries = known(config)?.entries ?? 0;
    return (["net.core.wmem_max", "net.core.rmem_max"] as const).flatMap((name) => {
      const [bytes] = numbers(known(sysctls[name]));
      if (bytes === undefined) return [];
      const holds = Number(bytes) / BYTES_PER_INTERVAL;
      if (entries <= holds) return [];
      return info(
        `${name} is ${bytes}: a change of the whole list (${counted(entries, "CIDR")}) does not fit one transaction, and takes a second set`,
        `sysctl -w ${name}=${Math.ceil(entries / 10_000) * 262_144}`,
      );
    });
  },
};
