import { describeLowLimit, RAISE_LIMIT } from "../../../system/memory-limit.ts";
import type { Check } from "../../facts.ts";
import { warning } from "../../finding.ts";

export const memoryLimit: Check = {
  name: "memory-limit",
  severity: "warning",
  looksFor:
    "a memory limit of this process below what the agent needs; in its pod, that is the agent's limit",
  remedy: RAISE_LIMIT,
  run({ memoryLimit: limit }) {
    const said = describeLowLimit(limit);
    return said === undefined ? [] : [warning(said.replace(`; ${RAISE_LIMIT}`, ""), RAISE_LIMIT)];
  },
};
