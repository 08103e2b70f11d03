/**
 * The series, by name without the prefix: one row each, which makes the series and its row in docs/reference.md (`make golden`).
 */

/** A row of the table; the help is the meaning for people, too. */
export interface Series<Type extends string = string, Label extends string = string> {
  readonly type: Type;
  readonly labels: readonly Label[];
  readonly help: string;
}

function row<Type extends string>(type: Type) {
  return <Label extends string = never>(help: string, ...labels: readonly Label[]): Series<Type, Label> => ({
    type,
    labels,
    help,
  });
}

const counter = row("counter");
const gauge = row("gauge");
const histogram = row("histogram");

export const SERIES = {
  sync_rules_duration_seconds: histogram("Duration of sync passes; buckets from 1 ms to 16 s."),
  sync_rules_last_timestamp_seconds: gauge("When the last successful sync pass ended."),
  sync_rules_last_queued_timestamp_seconds: gauge("When the last sync pass began."),
  sync_failures_total: counter(
    "Failures of sync passes by reason: config (bad), source (cannot be read), tool (iptables or ipset), nftables (the kernel refuses), netlink (no socket), refused (a foreign table or chain).",
    "reason",
  ),
  config_valid: gauge(
    "Whether the configuration read last is accepted (1), or is refused or unreadable, so that the previous one, if any, is still in force (0).",
  ),
  config_info: gauge(
    "The configuration in force, by family: the digest of its text, and its source. A family whose rules are not in force has no sample.",
    "ip_family",
    "hash",
    "source",
  ),
  config_read_last_info: gauge(
    "The configuration read last, and its state: accepted, refused, or unreadable (then without a digest).",
    "hash",
    "source",
    "state",
  ),
  config_source: gauge(
    "Where the text that counts comes from, with --config-map: api, file, or cache (1, the others 0).",
    "source",
  ),
  api_up: gauge(
    "Whether the ConfigMaps of --config-map are watched through the API server now (1). If not (0), the last text counts, or the file where that is newer.",
  ),
  api_sessions_total: counter(
    "Sessions with the API server that have ended, by result: ended (its 5 to 10 minutes were over), dropped (the watch broke off), refused (an answer such as 403), failed (no answer of an API server).",
    "result",
  ),
  reports_total: counter(
    "Reports to the API server, with --report, by result: written, refused (an answer such as 403), failed (no answer of it).",
    "result",
  ),
  config_reloads_total: counter(
    "New configurations that were read, by result: success or failure.",
    "result",
  ),
  rules_in_force: gauge(
    "Whether the last pass saw the rules of a family in force (1); 0: it did not, or has not looked.",
    "ip_family",
  ),
  drift_healed_total: counter(
    "Drift detected and repaired, by kind (missing, extra, changed) and by the process that caused it; unknown, or others where there are many.",
    "kind",
    "process",
  ),
  exempt_cidrs: gauge(
    "Entries in force whose destinations keep the pod's address, link-local included.",
    "ip_family",
  ),
  cidr_set_intervals: gauge("Intervals of addresses that those entries cover.", "ip_family"),
  verdict_packets_total: counter(
    "First packets of connections by verdict: keep, masquerade, or other (not ours, by source or link; nftables only).",
    "ip_family",
    "verdict",
  ),
  verdict_bytes_total: counter(
    "Bytes of the first packets of connections, by verdict.",
    "ip_family",
    "verdict",
  ),
  output_addresses: gauge(
    "The node's own addresses that masqueraded packets leave with, where outputAddresses names any of the family; 0: this node has none, and the kernel chooses.",
    "ip_family",
  ),
  flows_forgotten_total: counter(
    "Flows whose entries were deleted, so that their next packet takes the rules: unanswered (--forget) or of an address that the node no longer has.",
    "ip_family",
    "why",
  ),
  build_info: gauge("The agent's version, Node's, and the backend.", "version", "node_version", "backend"),
  conntrack_entries: gauge("Connections in the kernel's table."),
  conntrack_limit: gauge("The capacity of that table; 0: without limit."),
  conntrack_insert_failed_total: counter(
    "First packets whose connection could not be inserted: no free source port in 240 tries, two packets of one flow that raced, or a full bucket.",
  ),
  conntrack_drop_total: counter(
    "Packets dropped because the table was full, memory short, or no source port free.",
  ),
  conntrack_early_drop_total: counter("Connections removed early, to make room in a full table."),
  conntrack_invalid_total: counter("Packets that belong to no connection, and so are not translated."),
  snat_port_share: gauge(
    "Share of the source ports of one node address in use towards the busiest address, port and protocol, behind any Service, from 0 to 1: from a sample of 1,600 connections, above one half an exact count.",
  ),
  snat_port_share_open: gauge(
    "The same without TCP connections that have ended (TIME_WAIT, CLOSE), whose ports newer kernels (about 6.5) take over when none is free.",
  ),
  snat_ports_used: gauge(
    "Source ports in use by their five largest holders, where more than half are in use; without pod_ip: the node's own sockets.",
    "pod_ip",
    "remote",
    "port",
    "protocol",
    "node_address",
  ),
  pod_networks_uncovered: gauge(
    "Networks of pods, as links and routes of the node tell them at most every 5 minutes, that the list does not keep, so that pods see each other with nodes' addresses. No sample where no network of the family is known.",
    "ip_family",
  ),
};
