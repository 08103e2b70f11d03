/**
 * The agent's own flags: the Go program's five, klog's, and ours. One table is
 * the only place that knows their names, defaults and help.
 */

import { boolType, countType, stringType, wordType } from "../go/flag-types.ts";
import { type FlagsResult, type FlagValues, flag, parseFlags, renderUsage } from "../go/flags.ts";
import { klogFlags, logSettings } from "../log/flags.ts";
import type { LogSettings } from "../log/types.ts";

/** Every flag of `run`; the other commands add theirs to it. */
export const agentFlags = {
  ...klogFlags,
  "masq-chain": flag(stringType, "IP-MASQ-AGENT", "Name of nat chain for iptables masquerade rules."),
  "nomasq-all-reserved-ranges": flag(
    boolType,
    false,
    "Whether to disable masquerade for all IPv4 ranges reserved by RFCs.",
  ),
  "enable-ipv6": flag(boolType, false, "Whether to enable IPv6."),
  "random-fully": flag(boolType, true, "Whether to add --random-fully to the masquerade rule."),
  "to-ports": flag(
    stringType,
    "",
    "Source ports that masqueraded packets may get: comma-separated `ports` and ranges, as in 1024-29999,32768-65535. Empty: the kernel chooses.",
  ),
  config: flag(
    stringType,
    "/etc/config/ip-masq-agent",
    "`path` of the configuration: a file, or a directory whose files named ip-masq* are united.",
  ),
  backend: flag(
    wordType("iptables", "nftables", "auto"),
    "iptables",
    "What programs the rules: `iptables|nftables|auto`. auto: what kube-proxy uses, else what works.",
  ),
  "iptables-mode": flag(
    wordType("path", "nft", "legacy", "auto"),
    "path",
    "Which iptables is called: `path|nft|legacy|auto`. path: as found in PATH; auto: the variant that holds the kubelet's chains.",
  ),
  "ipset-threshold": flag(
    countType,
    1000,
    "With the iptables backend, more CIDRs than this go into an ipset; 0: never.",
  ),
  watch: flag(
    boolType,
    true,
    "Whether to act on changes of the config and of the rules at once, to keep the last good rules healed while the config is bad, and to retry failures sooner. false: exactly once per resync interval, as ip-masq-agent v2 does.",
  ),
  "http-address": flag(
    stringType,
    "127.0.0.1:10279",
    "`address` that serves metrics, probes and status; empty: off.",
  ),
  "logging-format": flag(wordType("text", "json"), "text", "How log lines are written: `text|json`."),
};

/** The rows of the table that a command shares with `run`. */
export function pickFlags<const Name extends keyof typeof agentFlags>(
  ...names: readonly Name[]
): Pick<typeof agentFlags, Name> {
  return Object.fromEntries(names.map((name) => [name, agentFlags[name]])) as Pick<typeof agentFlags, Name>;
}

/** The command line of `run`, read. */
export type AgentFlagsResult = FlagsResult<typeof agentFlags>;

/** The same, if it is good. */
export type AgentFlags = Extract<AgentFlagsResult, { kind: "flags" }>;

type AgentFlagValues = FlagValues<typeof agentFlags>;

/** What the flags ask for, in the program's own words. */
export interface AgentOptions {
  readonly masqChain: string;
  readonly noMasqAllReservedRanges: boolean;
  readonly enableIPv6: boolean;
  readonly randomFully: boolean;
  /** Unchecked text: a bad one is no flag error but an F line and exit code 1. */
  readonly toPorts: string;
  readonly configPath: string;
  readonly backend: AgentFlagValues["backend"];
  readonly iptablesMode: AgentFlagValues["iptables-mode"];
  readonly ipsetThreshold: number;
  readonly watch: boolean;
  readonly httpAddress: string;
  readonly log: LogSettings;
}

/** Reads the flags of `run`. */
export function parseAgentFlags(args: readonly string[]): AgentFlagsResult {
  return parseFlags(agentFlags, args);
}

/** The values, as the rest of the program names them. */
export function agentOptions(values: AgentFlagValues): AgentOptions {
  return {
    masqChain: values["masq-chain"],
    noMasqAllReservedRanges: values["nomasq-all-reserved-ranges"],
    enableIPv6: values["enable-ipv6"],
    randomFully: values["random-fully"],
    toPorts: values["to-ports"],
    configPath: values.config,
    backend: values.backend,
    iptablesMode: values["iptables-mode"],
    ipsetThreshold: values["ipset-threshold"],
    watch: values.watch,
    httpAddress: values["http-address"],
    log: logSettings(values, values["logging-format"]),
  };
}

/** The usage text of `run`. */
export function agentUsage(): string {
  return renderUsage("ip-masq-agent", agentFlags);
}
