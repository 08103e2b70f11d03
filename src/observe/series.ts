/** The help of each series, by name. One table, so that a test can compare documents with it. */
export const SERIES = {
  sync_rules_duration_seconds: "Duration of sync passes.",
  sync_rules_last_timestamp_seconds: "When the last successful sync pass ended.",
  sync_rules_last_queued_timestamp_seconds: "When the last sync pass began.",
  sync_failures_total: "Failures of sync passes by reason: config, source, tool, nftables, netlink, refused.",
  config_valid:
    "Whether the configuration read last is accepted (1), or the previous one, if any, is still in force (0).",
  config_info: "The configuration in force, by family: the digest of its text, and its source.",
  config_read_last_info:
    "The configuration read last, and its state: accepted, refused, or unreadable (then without a digest).",
  config_source:
    "Where the text that counts comes from, with --config-map: api, file, or cache (1, the others 0).",
  api_up: "Whether the ConfigMaps of --config-map are watched through the API server now.",
  api_sessions_total:
    "Sessions with the API server that have ended, by result: ended (its time was over), dropped, refused, failed.",
  reports_total:
    "Reports to the API server, with --report, by result: written, refused (an answer such as 403), failed (no answer of it).",
  config_reloads_total: "New configurations that were read, by result: success or failure.",
  rules_in_force: "Whether the last pass saw the rules of a family in force.",
  drift_healed_total: "Drift detected and repaired, by kind and by the process that caused it.",
  exempt_cidrs: "Entries in force whose destinations keep the pod's address, link-local included.",
  cidr_set_intervals: "Intervals of addresses that those entries cover.",
  verdict_packets_total:
    "First packets of connections by verdict: keep, masquerade, or other (not ours, by source or link; nftables only).",
  verdict_bytes_total: "Bytes of the first packets of connections, by verdict.",
  output_addresses:
    "The node's own addresses that masqueraded packets leave with, where outputAddresses names any of the family; 0: MASQUERADE chooses.",
  flows_forgotten_total:
    "Flows whose entries were deleted, so that their next packet takes the rules: unanswered (--forget) or of an address that the node no longer has.",
  build_info: "The agent's version, Node's, and the backend.",
  conntrack_entries: "Connections in the kernel's table.",
  conntrack_limit: "The capacity of that table.",
  conntrack_insert_failed_total:
    "First packets whose connection could not be inserted: no free source port in 240 tries, two packets of one flow that raced, or a full bucket.",
  conntrack_drop_total: "Packets dropped because the table was full, memory short, or no source port free.",
  conntrack_early_drop_total: "Connections removed early, to make room in a full table.",
  conntrack_invalid_total: "Packets that belong to no connection, and so are not translated.",
  snat_port_share:
    "Share of the source ports of one node address in use towards the busiest destination, behind any Service: from a sample, above one half an exact count.",
  snat_port_share_open:
    "The same without TCP connections that have ended (TIME_WAIT, CLOSE), whose ports newer kernels take over when none is free.",
  snat_ports_used:
    "Source ports in use by their largest holders, where more than half are in use; without pod_ip: the node's own sockets.",
  pod_networks_uncovered:
    "Networks of pods, as links and routes of the node tell them, that the list does not keep, so that pods see each other with nodes' addresses.",
} as const;
