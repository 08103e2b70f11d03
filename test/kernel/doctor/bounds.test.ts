/** doctor beside tables that are too large for it: it takes bounded work, and says what it left out where that matters. */
import { expect } from "vitest";
import { left, NFTABLES, problems, visit } from "../../lab/network/doctor-node.ts";
import { describeKernel, labTest } from "../../lab/network/fixture.ts";
import type { Lab } from "../../lab/network/lab.ts";

/** A map of verdicts with one element more than doctor reads, looked up at a hook. */
async function largeMap(lab: Lab, table: string, hook: string): Promise<void> {
  const elements = Array.from(
    { length: 20_001 },
    (_, i) => `52.${i >> 16}.${(i >> 8) & 255}.${i & 255} : jump x`,
  );
  const script = [
    `table ip ${table} {`,
    "chain x {\n}",
    `map m {\n type ipv4_addr : verdict; elements = { ${elements.join(", ")} }\n}`,
    `chain c {\n type nat hook ${hook} priority 90; policy accept; ip daddr vmap @m\n}`,
    "}\n",
  ].join("\n");
  expect(await lab.inNode("nft", ["-f", "-"], script)).toMatchObject({ code: 0, stderr: "" });
}

describeKernel("doctor beside a map with more elements than it reads", () => {
  labTest(
    "says so where a rule on pods' way asks for it, and not where it is about Services",
    async ({ lab }) => {
      await left(lab, NFTABLES);
      await largeMap(lab, "kube-proxy", "prerouting");
      expect(await visit(lab, { flags: NFTABLES }).then(problems)).toEqual([]);
      await largeMap(lab, "others", "postrouting");
      const found = await visit(lab, { flags: NFTABLES });
      expect(problems(found)).toEqual(["warning could-not-check"]);
      expect(found.findings[0]?.message).toContain("set m of table ip others: it has too many elements");
      expect(found.code).toBe(1);
    },
  );
});
