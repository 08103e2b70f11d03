import { printAddress, printEndpoint } from "../../../conntrack/address.ts";
import { known } from "../../../system/fact.ts";
import { groupedDigits } from "../../../text/plural.ts";
import type { Check } from "../../facts.ts";
import { error, info, warning } from "../../finding.ts";

/** As the alerts: from 84 % of the ports on connections fail now and then, from 93 % on one in 20. */
const NEARLY = 0.8;
const FULL = 0.9;

export const portShare: Check = {
  name: "port-share",
  severity: "error",
  looksFor:
    "more than 90 % of the source ports of an address in use towards one remote, without TCP that has ended; more than 80 %: warning; below: info",
  remedy: "see which pods hold them with ip-masq-agent ports",
  run({ portShare: fact }) {
    const found = known(fact);
    if (found?.fullest === undefined) return [];
    const { share, openShare, ports, fullest } = found;
    const { protocol, remote, port, nodeAddress, inUse } = fullest;
    const counts = `${groupedDigits(inUse)} of ${groupedDigits(ports)}`;
    const message = `${Math.floor(share * 100)} % of the source ports of ${printAddress(nodeAddress)} are in use towards ${protocol} ${printEndpoint(remote, port)}, where most are (${counts})`;
    if (share <= NEARLY) return [info(message)];
    const say = openShare > FULL ? error : warning;
    return [say(`${message}: new connections there fail now and then`, "ip-masq-agent ports names the pods")];
  },
};
