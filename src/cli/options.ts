/**
 * The agent's own flags: the Go program's five, klog's, and ours. This table is the only place that knows their names,
 * defaults and help.
 */

import type { ConfigOptions } from "../core/config-options.ts";
import { parsePorts } from "../core/ports.ts";
import type { Options } from "../core/ruleset.ts";
import { boolType, countType, type Parsed, stringType, wordType } from "../go/flag-types.ts";
import { type FlagsResult, type FlagValues, flag, parseFlags, renderUsage } from "../go/flags.ts";
import { klogFlags } from "../log/flags.ts";
import { LOCAL, readLocalPorts } from "../system/local-ports.ts";
import { backendOf } from "./backends.ts";

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
    "Source ports that masqueraded packets get at random: comma-separated `ports` and ranges, as in 1024-29999,32768-65535; local: those that the node uses itself, without NodePorts. Empty: the kernel chooses.",
  ),
  config: flag(
    stringType,
    "/etc/config/ip-masq-agent",
    "`path` of the configuration: a file, or a directory whose files named ip-masq* are united.",
  ),
  "config-map": flag(
    stringType,
    "",
    "The ConfigMap to follow through the API server, so that an edit counts within milliseconds: `[NAMESPACE/]NAME[:KEY]`, by default the pod's namespace and the key config; several, separated by commas: all their keys named ip-masq*. The file at --config counts at the start and while the API server is away. Needs list and watch on that name. Empty: only the file.",
  ),
  "state-dir": flag(
    stringType,
    "",
    "With --config-map: a `directory` that outlives the container, as an emptyDir does, for the text that was heard last. Empty: a restart may go back to an older file for a minute.",
  ),
  report: flag(
    wordType("none", "lease"),
    "none",
    "Where the agent says whether its node follows the configuration: `none|lease`. lease: in the Lease ip-masq-agent-NODE of the pod's namespace, and with --config-map in an Event on a ConfigMap that is refused. Needs a token, with create and patch on leases and create on events.",
  ),
  backend: flag(
    wordType("iptables", "nftables", "auto"),
    "iptables",
    "The backend that programs the rules: `iptables|nftables|auto`. auto: kube-proxy's, else one that works.",
  ),
  "iptables-mode": flag(
    wordType("path", "nft", "legacy", "auto"),
    "path",
    "The iptables variant to call: `path|nft|legacy|auto`. path: the one in PATH; auto: the one that holds the kubelet's chains.",
  ),
  "ipset-threshold": flag(
    countType,
    1000,
    "With the iptables backend, more CIDRs than this go into an ipset; 0: never.",
  ),
  watch: flag(
    boolType,
    true,
    "Whether to react at once to changes of the config and of the rules, to repair the last good rules while the config is bad, and to retry failures sooner. false: exactly once per resync interval, as ip-masq-agent v2 does.",
  ),
  forget: flag(
    wordType("none", "unanswered"),
    "none",
    "The flows that are forgotten after rules were written, so that their next packet takes the new rules: `none|unanswered`. unanswered: UDP and ICMP flows of pods that nobody has answered, and that left with the pod's address.",
  ),
  "http-address": flag(
    stringType,
    "127.0.0.1:10279",
    "The `address` that serves metrics, probes and status; empty: off.",
  ),
  "logging-format": flag(wordType("text", "json"), "text", "The format of log lines: `text|json`."),
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

/** The flags that decide how the configuration is read. */
type ConfigFlags = Pick<
  AgentFlagValues,
  "nomasq-all-reserved-ranges" | "enable-ipv6" | "backend" | "ipset-threshold"
>;

/** The flags that decide the rules. */
export type RuleFlags = ConfigFlags & Pick<AgentFlagValues, "masq-chain" | "random-fully" | "to-ports">;

/** The values of the flags, under the rest of the program's names. */
export interface AgentOptions extends Options {
  readonly configPath: string;
  readonly backend: AgentFlagValues["backend"];
  readonly iptablesMode: AgentFlagValues["iptables-mode"];
  readonly ipsetThreshold: number;
  readonly watch: boolean;
  readonly forget: AgentFlagValues["forget"];
  readonly httpAddress: string;
}

/** Reads the flags of `run`. */
export function parseAgentFlags(args: readonly string[]): AgentFlagsResult {
  return parseFlags(agentFlags, args);
}

/** The flags' part in reading the configuration. */
export function configOptions(values: ConfigFlags): ConfigOptions {
  return {
    noMasqAllReservedRanges: values["nomasq-all-reserved-ranges"],
    enableIPv6: values["enable-ipv6"],
    setsAbove: backendOf(values.backend).setsAbove(values["ipset-threshold"]),
  };
}

/** The flags' part in the rules. A bad `--to-ports` is not a flag error, but an F line and exit code 1, as in the Go program. */
export function ruleOptions(values: RuleFlags): Parsed<Options> {
  const text = values["to-ports"];
  const toPorts = text === LOCAL ? readLocalPorts() : parsePorts(text);
  if (!toPorts.ok) return { ok: false, message: toPorts.message };
  const { "masq-chain": masqChain, "random-fully": randomFully } = values;
  return { ok: true, value: { ...configOptions(values), masqChain, randomFully, toPorts: toPorts.ranges } };
}

/** Whether a directory is read at this path: not at the default one, where the Go program reads none. */
export function readsDirectoryAt(path: string): boolean {
  return path !== agentFlags.config.initial;
}

/** The values of all flags but klog's. */
export function agentOptions(values: AgentFlagValues): Parsed<AgentOptions> {
  const rules = ruleOptions(values);
  if (!rules.ok) return rules;
  return {
    ok: true,
    value: {
      ...rules.value,
      configPath: values.config,
      backend: values.backend,
      iptablesMode: values["iptables-mode"],
      ipsetThreshold: values["ipset-threshold"],
      watch: values.watch,
      forget: values.forget,
      httpAddress: values["http-address"],
    },
  };
}

/** The usage text of `run`. */
export function agentUsage(): string {
  return renderUsage("ip-masq-agent", agentFlags);
}
