/** IPVS's virtual services, as kube-proxy's mode ipvs makes them. */
import { readFileSync } from "node:fs";
import { Refusal } from "../backend/driver.ts";

/** Those of this network namespace. */
const SERVICES = "/proc/net/ip_vs";

/** The kernel's listing; nothing where it has no IPVS. Throws a failure. */
export function readIpvs(): string {
  try {
    return readFileSync(SERVICES, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return "";
    throw new Refusal(message);
  }
}
