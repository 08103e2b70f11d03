/** Which of the node's addresses its packets may leave with, where the rules name the address (SNAT). */
import { IFA_F, SCOPE_UNIVERSE } from "../netlink/constants.ts";
import type { ObservedAddress } from "./rtnetlink.ts";

/** Temporary and deprecated addresses go soon; for tentative and duplicate ones nobody answers. */
const UNFIT = IFA_F.TEMPORARY | IFA_F.DADFAILED | IFA_F.DEPRECATED | IFA_F.TENTATIVE;

/** Whether an address may be used. For IPv4 no flag says otherwise: the bit of `TEMPORARY` means a network's second address there. */
export function isUsable({
  family,
  scope,
  flags,
}: Pick<ObservedAddress, "family" | "scope" | "flags">): boolean {
  return scope === SCOPE_UNIVERSE && (family === "ip" || (flags & UNFIT) === 0);
}
