/** The agent with nftables, and everything that can happen to it. */
import { describeKernel, labTest } from "../lab/network/fixture.ts";
import { SOAK_S, soak } from "./soak.ts";

describeKernel("soak, nftables", { timeout: (SOAK_S + 120) * 1_000 }, () => {
  labTest("the final state is right, and nothing has grown or leaked", ({ lab }) => soak(lab, "nftables"));
});
