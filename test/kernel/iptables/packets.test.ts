/** Whose packets are masqueraded: the rows of one table, and what receivers see, for the iptables backend in all its forms. */
import { expect } from "vitest";
import { describeKernel, labTest } from "../../lab/network/fixture.ts";
import { openPackets } from "../../lab/network/packets-lab.ts";
import { ROWS } from "../../lab/packets.ts";

const EVERYTHING = ["-m", "addrtype", "!", "--dst-type", "LOCAL", "-j", "MASQUERADE", "--random-fully"];

describeKernel("whose packets", { timeout: 60_000 }, () => {
  labTest("the lab sees what rules by hand do", async ({ lab }) => {
    const packets = await openPackets(lab);
    expect(await packets.wrong({ nonMasqueradeCIDRs: ["0.0.0.0/0", "::/0"] }, ROWS)).toEqual([]);
    for (const tool of ["iptables-nft", "ip6tables-nft"])
      await lab.inNode(tool, ["-t", "nat", "-A", "POSTROUTING", ...EVERYTHING]);
    expect(await packets.wrong({}, ROWS)).toEqual([]);
    const wrong = await packets.wrong({ outputInterfaces: ["bond+"] }, ROWS);
    expect(wrong).toContain(
      "IPv4 pod, 10.244.1.2 to 8.8.8.8 through eth0: seen as 192.0.2.1 instead of 10.244.1.2",
    );
  });
});
