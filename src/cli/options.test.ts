import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { effectiveFlags } from "../go/flags.ts";
import { goQuote } from "../go/quote.ts";
import { logSettings } from "../log/flags.ts";
import {
  type AgentFlags,
  type AgentFlagsResult,
  agentFlags,
  agentOptions,
  agentUsage,
  configOptions,
  parseAgentFlags,
  ruleOptions,
} from "./options.ts";

interface Case {
  readonly id: string;
  readonly flags: readonly string[];
  readonly info?: { readonly stderrFirstLine?: string; readonly effectiveFlags?: Record<string, string> };
}

function cases(area: string): Case[] {
  const file = join(import.meta.dirname, "../../test/conformance/cases", `${area}.jsonl`);
  return readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Case);
}

/** Cases whose recorded outcome is not the command line's: each with its reason. */
const SKIPPED: Record<string, string> = {
  "klog-log-json-format": "difference f: --logging-format is ours",
  "flags-version": "difference f: --version prints it",
  "flags-version-true": "difference f: --version prints it",
  "klog-log-file-missing-dir": "fails when the log is opened, see log.test.ts",
};

const recorded = ["flags", "klog", "ports", "chain"].flatMap(cases).filter(({ id }) => !(id in SKIPPED));

function flags(...argv: string[]): AgentFlags {
  const parsed = parseAgentFlags(argv);
  if (parsed.kind !== "flags") throw new Error(JSON.stringify(parsed));
  return parsed;
}

function firstLine(parsed: AgentFlagsResult): string | undefined {
  if (parsed.kind === "help") return agentUsage().split("\n")[0];
  return parsed.kind === "error" ? parsed.message : undefined;
}

describe("the Go program's recorded command lines", () => {
  test.each(recorded)("$id", ({ flags: argv, info }) => {
    const parsed = parseAgentFlags(argv);
    expect(firstLine(parsed)).toBe(info?.stderrFirstLine);
    if (parsed.kind === "flags" && info?.effectiveFlags) {
      expect(changedFlags(parsed)).toEqual(info.effectiveFlags);
    }
  });

  test("are all there", () => {
    expect(recorded.length).toBeGreaterThan(140);
  });
});

/** The values that differ from the defaults, as recorded: quoted, without the quotes. */
function changedFlags(parsed: AgentFlags): Record<string, string> {
  const initial = new Map(effectiveFlags(agentFlags, flags().values));
  const changed = effectiveFlags(agentFlags, parsed.values).filter(
    ([name, text]) => initial.get(name) !== text,
  );
  return Object.fromEntries(changed.map(([name, text]) => [name, goQuote(text).slice(1, -1)]));
}

describe("klog's values", () => {
  test.each([
    ["--stderrthreshold=wArNiNg", "stderrthreshold", "1"],
    ["--alsologtostderrthreshold=fatal", "alsologtostderrthreshold", "3"],
    ["--stderrthreshold=-7", "stderrthreshold", "-7"],
    ["--log_backtrace_at=a.go:+012", "log_backtrace_at", "a.go:12"],
    ["--log_backtrace_at=", "log_backtrace_at", ":0"],
    ["--vmodule=,a=+1,b=0,c*=02,", "vmodule", "a=1,c*=2"],
    ["--vmodule=", "vmodule", ""],
    ["--log_file_max_size=0x_ff", "log_file_max_size", "255"],
    ["--v=-2147483648", "v", "-2147483648"],
  ])("%s", (arg, name, printed) => {
    expect(new Map(effectiveFlags(agentFlags, flags(arg).values)).get(name)).toBe(printed);
  });

  test.each([
    [
      "--v=2147483648",
      'invalid value "2147483648" for flag -v: strconv.ParseInt: parsing "2147483648": value out of range',
    ],
    [
      "--vmodule=a",
      'invalid value "a" for flag -vmodule: syntax error: expect comma-separated list of filename=N',
    ],
    [
      "--vmodule==1",
      'invalid value "=1" for flag -vmodule: syntax error: expect comma-separated list of filename=N',
    ],
    [
      "--vmodule=a=1=2",
      'invalid value "a=1=2" for flag -vmodule: syntax error: expect comma-separated list of filename=N',
    ],
    [
      "--vmodule=a=1,b=-2,c",
      'invalid value "a=1,b=-2,c" for flag -vmodule: negative value for vmodule level',
    ],
    [
      "--log_backtrace_at=a.go:0",
      'invalid value "a.go:0" for flag -log_backtrace_at: negative or zero value for level',
    ],
    [
      "--log_backtrace_at=a.go:1:2",
      'invalid value "a.go:1:2" for flag -log_backtrace_at: syntax error: expect file.go:234',
    ],
    [
      "--log_backtrace_at=a:1",
      'invalid value "a:1" for flag -log_backtrace_at: syntax error: expect file.go:234',
    ],
    ["--backend=ipvs", 'invalid value "ipvs" for flag -backend: must be one of iptables, nftables, auto'],
    ["--ipset-threshold=-1", 'invalid value "-1" for flag -ipset-threshold: must not be negative'],
  ])("%s fails", (arg, message) => {
    expect(parseAgentFlags([arg])).toEqual({ kind: "error", message });
  });
});

test("options of an empty command line", () => {
  expect([agentOptions(flags().values), logSettings(flags().values, "text")]).toMatchInlineSnapshot(`
    [
      {
        "ok": true,
        "value": {
          "backend": "iptables",
          "configPath": "/etc/config/ip-masq-agent",
          "enableIPv6": false,
          "forget": "none",
          "httpAddress": "127.0.0.1:10279",
          "ipsetThreshold": 1000,
          "iptablesMode": "path",
          "masqChain": "IP-MASQ-AGENT",
          "noMasqAllReservedRanges": false,
          "randomFully": true,
          "setsAbove": 1000,
          "toPorts": [],
          "watch": true,
        },
      },
      {
        "addDirectory": false,
        "alsoToStderr": false,
        "alsoToStderrThreshold": 0,
        "directory": "",
        "file": "",
        "format": "text",
        "ignoreThreshold": true,
        "maxFileBytes": 1887436800,
        "modules": [],
        "oneOutput": false,
        "skipFileHeaders": false,
        "skipHeaders": false,
        "stderrThreshold": 2,
        "toStderr": true,
        "verbosity": 0,
      },
    ]
  `);
});

test.each([
  ["--backend=iptables", 1000],
  ["--backend=auto", 1000],
  ["--ipset-threshold=7", 7],
  ["--ipset-threshold=0", Number.POSITIVE_INFINITY],
  ["--backend=nftables", 0],
])("with %s lists longer than %d are sets", (flag, above) => {
  const { values } = flags(flag);
  expect([configOptions(values), ruleOptions(values), agentOptions(values)]).toMatchObject([
    { setsAbove: above },
    { ok: true, value: { setsAbove: above } },
    { ok: true, value: { setsAbove: above } },
  ]);
});

test("bad ports are not a flag error, but there are no options", () => {
  const { values } = flags("--to-ports=0-5-7");
  expect([ruleOptions(values), agentOptions(values)]).toMatchObject([{ ok: false }, { ok: false }]);
  expect(configOptions(values)).toMatchObject({ enableIPv6: false });
});

test("sizes of log files", () => {
  const bytes = (...argv: string[]) => logSettings(flags(...argv).values, "text").maxFileBytes / 1024 / 1024;
  expect(bytes("--log_file_max_size=5")).toBe(1800);
  expect(bytes("--log_file=x", "--log_file_max_size=5")).toBe(5);
  expect(bytes("--log_file=x", "--log_file_max_size=0")).toBe(Number.POSITIVE_INFINITY);
});

test("the effective flags as they are logged", () => {
  const { values } = flags('--masq-chain="FOO"', "--vmodule=x=1", "--stderrthreshold=INFO");
  expect(
    effectiveFlags(agentFlags, values)
      .map(([name, value]) => `FLAG: --${name}=${goQuote(value)}`)
      .join("\n"),
  ).toMatchInlineSnapshot(`
    "FLAG: --add_dir_header="false"
    FLAG: --alsologtostderr="false"
    FLAG: --alsologtostderrthreshold="0"
    FLAG: --backend="iptables"
    FLAG: --config="/etc/config/ip-masq-agent"
    FLAG: --config-map=""
    FLAG: --enable-ipv6="false"
    FLAG: --forget="none"
    FLAG: --http-address="127.0.0.1:10279"
    FLAG: --ipset-threshold="1000"
    FLAG: --iptables-mode="path"
    FLAG: --legacy_stderr_threshold_behavior="true"
    FLAG: --log_backtrace_at=":0"
    FLAG: --log_dir=""
    FLAG: --log_file=""
    FLAG: --log_file_max_size="1800"
    FLAG: --logging-format="text"
    FLAG: --logtostderr="true"
    FLAG: --masq-chain="\\"FOO\\""
    FLAG: --nomasq-all-reserved-ranges="false"
    FLAG: --one_output="false"
    FLAG: --random-fully="true"
    FLAG: --report="none"
    FLAG: --skip_headers="false"
    FLAG: --skip_log_headers="false"
    FLAG: --state-dir=""
    FLAG: --stderrthreshold="0"
    FLAG: --to-ports=""
    FLAG: --v="0"
    FLAG: --vmodule="x=1"
    FLAG: --watch="true""
  `);
});

test("the usage text", () => {
  expect(agentUsage()).toMatchInlineSnapshot(`
    "Usage of ip-masq-agent:
      -add_dir_header
        	If true, adds the file directory to the header of the log messages
      -alsologtostderr
        	log to standard error as well as files (no effect when -logtostderr=true)
      -alsologtostderrthreshold value
        	logs at or above this threshold go to stderr when -alsologtostderr=true (no effect when -logtostderr=true)
      -backend iptables|nftables|auto
        	The backend that programs the rules: iptables|nftables|auto. auto: kube-proxy's, else one that works. (default iptables)
      -config path
        	path of the configuration: a file, or a directory whose files named ip-masq* are united. (default "/etc/config/ip-masq-agent")
      -config-map [NAMESPACE/]NAME[:KEY]
        	The ConfigMap to follow through the API server, so that an edit counts within milliseconds: [NAMESPACE/]NAME[:KEY], by default the pod's namespace and the key config; several, separated by commas: all their keys named ip-masq*. The file at --config counts at the start and while the API server is away. Needs list and watch on that name. Empty: only the file.
      -enable-ipv6
        	Whether to enable IPv6.
      -forget none|unanswered
        	The flows that are forgotten after rules were written, so that their next packet takes the new rules: none|unanswered. unanswered: UDP and ICMP flows of pods that nobody has answered, and that left with the pod's address. (default none)
      -http-address address
        	The address that serves metrics, probes and status; empty: off. (default "127.0.0.1:10279")
      -ipset-threshold int
        	With the iptables backend, more CIDRs than this go into an ipset; 0: never. (default 1000)
      -iptables-mode path|nft|legacy|auto
        	The iptables variant to call: path|nft|legacy|auto. path: the one in PATH; auto: the one that holds the kubelet's chains. (default path)
      -legacy_stderr_threshold_behavior
        	If true, stderrthreshold is ignored when logtostderr=true (legacy behavior). If false, stderrthreshold is honored even when logtostderr=true (default true)
      -log_backtrace_at value
        	when logging hits line file:N, emit a stack trace (accepted, without effect)
      -log_dir string
        	If non-empty, write log files in this directory (no effect when -logtostderr=true)
      -log_file string
        	If non-empty, use this log file (no effect when -logtostderr=true)
      -log_file_max_size uint
        	Defines the maximum size a log file can grow to (no effect when -logtostderr=true). Unit is megabytes. If the value is 0, the maximum file size is unlimited. (default 1800)
      -logging-format text|json
        	The format of log lines: text|json. (default text)
      -logtostderr
        	log to standard error instead of files (default true)
      -masq-chain string
        	Name of nat chain for iptables masquerade rules. (default "IP-MASQ-AGENT")
      -nomasq-all-reserved-ranges
        	Whether to disable masquerade for all IPv4 ranges reserved by RFCs.
      -one_output
        	If true, only write logs to their native severity level (vs also writing to each lower severity level; no effect when -logtostderr=true)
      -random-fully
        	Whether to add --random-fully to the masquerade rule. (default true)
      -report none|lease
        	Where the agent says whether its node follows the configuration: none|lease. lease: in the Lease ip-masq-agent-NODE of the pod's namespace, and with --config-map in an Event on a ConfigMap that is refused. Needs a token, with create and patch on leases and create on events. (default none)
      -skip_headers
        	If true, avoid header prefixes in the log messages
      -skip_log_headers
        	If true, avoid headers when opening log files (no effect when -logtostderr=true)
      -state-dir directory
        	With --config-map: a directory that outlives the container, as an emptyDir does, for the text that was heard last. Empty: a restart may go back to an older file for a minute.
      -stderrthreshold value
        	logs at or above this threshold go to stderr when writing to files and stderr (no effect when -logtostderr=true or -alsologtostderr=true unless -legacy_stderr_threshold_behavior=false) (default 2)
      -to-ports ports
        	Source ports that masqueraded packets get at random: comma-separated ports and ranges, as in 1024-29999,32768-65535; local: those that the node uses itself, without NodePorts. Empty: the kernel chooses.
      -v value
        	number for the log level verbosity
      -vmodule value
        	comma-separated list of pattern=N settings for file-filtered logging
      -watch
        	Whether to react at once to changes of the config and of the rules, to repair the last good rules while the config is bad, and to retry failures sooner. false: exactly once per resync interval, as ip-masq-agent v2 does. (default true)
    "
  `);
});
