/** Checks of `doctor`: rules of others that masquerade on their own, whatever our configuration says. */
import { type Facts, known, type NatRule, type NatTable, type NftChain } from "./doctor-facts.ts";
import { error, info, type Said, warning } from "./doctor-finding.ts";
import { inTable, jumpTargets, natTables, ownTables } from "./doctor-own.ts";
import { isSourceNat, type Passed, walkPostrouting } from "./nat-walk.ts";

/** Comments of kubelets and their kubenet plugin. */
const KUBELET_COMMENT = /^(kubenet|kubelet): SNAT (for )?outbound/;

/** Chains that masquerade only what is marked, or a pod's traffic to itself. */
const HARMLESS = new Set(["KUBE-POSTROUTING", "CNI-HOSTPORT-MASQ"]);

const OPENSHIFT = /^OPENSHIFT-MASQUERADE/;

/** The chain of the scripts that came before the agent. */
const OLD_CHAIN = "IP-MASQ";

const KUBELET_REMEDY =
  "start the kubelet with --non-masquerade-cidr=0.0.0.0/0, then delete the rule or restart the node";

/** The kubelet's or kubenet's rule for a single CIDR. */
export function kubeletRules(facts: Facts): readonly Said[] {
  return natTables(facts).flatMap((table) =>
    [...table.chains.values()]
      .flat()
      .filter(isKubelets)
      // Not for anything outside 0.0.0.0/0 means never, and then it stands there without harm.
      .filter(({ conditions }) => !/! -d (0\.0\.0\.0|::)\/0/.test(conditions.join(" ")))
      .map(({ text }) =>
        error(
          `${inTable(table)}: the kubelet masquerades by itself, whatever the configuration says: ${text}`,
          KUBELET_REMEDY,
        ),
      ),
  );
}

function isKubelets(rule: NatRule): boolean {
  return isSourceNat(rule) && KUBELET_COMMENT.test(rule.comment ?? "");
}

/** A kubelet that is told to masquerade for all but one CIDR. */
export function kubeletFlags({ processes }: Facts): readonly Said[] {
  return (known(processes)?.kubelets ?? []).flatMap((args) => {
    const cidr = flagValue(args, "non-masquerade-cidr");
    if (cidr === undefined || cidr === "0.0.0.0/0" || cidr === "::/0") return [];
    return error(`the kubelet runs with --non-masquerade-cidr=${cidr}`, KUBELET_REMEDY);
  });
}

function flagValue(args: readonly string[], name: string): string | undefined {
  const at = args.findIndex((arg) => arg.replace(/^--?/, "").split("=")[0] === name && arg.startsWith("-"));
  const arg = args[at];
  if (arg === undefined) return undefined;
  return arg.includes("=") ? arg.slice(arg.indexOf("=") + 1) : args[at + 1];
}

/** OpenShift's SDN masquerades on its own. */
export function openshift(facts: Facts): readonly Said[] {
  return natTables(facts).flatMap((table) => {
    const chains = [...table.chains.keys()].filter((chain) => OPENSHIFT.test(chain));
    if (chains.length === 0) return [];
    return warning(
      `${inTable(table)}: OpenShift masquerades by its own rules (${chains.join(", ")})`,
      "configure egress in OpenShift, and do not run the agent beside its network plugin",
    );
  });
}

/** What the scripts of older clusters have left. */
export function oldChain(facts: Facts): readonly Said[] {
  if (facts.settings.chain === OLD_CHAIN) return [];
  return natTables(facts).flatMap((table) => {
    if (!table.chains.has(OLD_CHAIN)) return [];
    const jump = (table.chains.get("POSTROUTING") ?? []).find(({ target }) => target === OLD_CHAIN);
    const command = inTable(table);
    const remove = `${command} -F ${OLD_CHAIN} && ${command} -X ${OLD_CHAIN}`;
    if (jump === undefined) return warning(`${command}: chain ${OLD_CHAIN} is left, unused`, remove);
    const deletion = `${command} ${jump.text.replace(/^-A/, "-D")}`;
    return warning(
      `${command}: chain ${OLD_CHAIN} of an older setup masquerades too`,
      `${deletion} && ${remove}`,
    );
  });
}

/** Rules of iptables that set the source of packets that our configuration decides about. */
export function foreignNat(facts: Facts): readonly Said[] {
  const own = ownTables(facts);
  return natTables(facts).flatMap((table) => {
    const known = new Set([facts.settings.chain, ...jumpTargets(table), ...harmlessChains(table)]);
    const passed = walkPostrouting(table, known);
    const jump = passed.findIndex(({ rule }) => rule.target === facts.settings.chain);
    return passed.flatMap((one, at) => {
      if (!isSourceNat(one.rule) || one.marked || isKubelets(one.rule)) return [];
      if (facts.settings.backend === "nftables") return describe(table, one, IN_FRONT);
      const isOwn = own.includes(table) && jump >= 0;
      return describe(table, one, isOwn ? (at < jump ? IN_FRONT : "behind ours") : "beside ours");
    });
  });
}

function harmlessChains({ chains }: NatTable): string[] {
  return [...chains.keys()].filter(
    (chain) => HARMLESS.has(chain) || OPENSHIFT.test(chain) || chain === OLD_CHAIN,
  );
}

/** Where all rules of iptables stand for an agent with nftables: it takes the place behind them. */
const IN_FRONT = "in front of ours";

function describe(table: NatTable, { rule, from, certain }: Passed, place: string): Said {
  const via = rule === from ? "" : `, reached by "${from.text}"`;
  const say = certain && place === IN_FRONT ? error : warning;
  const effect = certain ? "masquerades everything" : "masquerades what it matches";
  return say(
    `${inTable(table)}: a rule of others ${place} ${effect}, whatever the configuration says: ${rule.text}${via}`,
    "find who made it (its comment, the CNI plugin, docker, libvirt), and switch its masquerading off there or narrow it",
  );
}

/** Chains of nftables at the same hook that set the source. The first that does so wins, and after our return the next is asked. */
export function foreignChains({ nftables, settings }: Facts): readonly Said[] {
  const chains = known(nftables)?.chains ?? [];
  const ours = settings.backend === "nftables" ? 101 : 100;
  return chains.filter(isForeignBase).flatMap((base) => {
    const found = sourceNat(base, chains);
    if (found === undefined) return [];
    const priority = base.priority ?? 0;
    const place = priority <= ours ? "is asked before ours" : "is asked after ours has returned";
    const say = found.certain && priority <= ours ? error : warning;
    const name = `${base.family} ${base.table} ${base.chain}`;
    return say(
      `nftables: chain ${name} (priority ${priority}) ${place} and masquerades${found.certain ? " everything" : ""}`,
      `see: nft list table ${base.family} ${base.table}; switch it off where it is made, or narrow it`,
    );
  });
}

/** Not ours, not kube-proxy's, which masquerades what is marked, and not the tables that iptables lists. */
function isForeignBase({ family, table, chain, priority }: NftChain): boolean {
  if (priority === undefined || table === "kube-proxy") return false;
  if (family === "inet" && table === "ip-masq-agent") return false;
  return !(["ip", "ip6"].includes(family) && table === "nat" && chain === "POSTROUTING");
}

/** Whether rules of the chain, or of those that it jumps to, set the source; `certain` if nothing restricts them. */
function sourceNat(
  base: NftChain,
  chains: readonly NftChain[],
  seen: ReadonlySet<string> = new Set(),
): { readonly certain: boolean } | undefined {
  let found: { certain: boolean } | undefined;
  for (const { action, unconditional } of base.rules) {
    const inner =
      action.kind === "jump"
        ? jumpedTo(base, action.to, chains, seen)
        : action.kind === "other"
          ? undefined
          : { certain: true };
    if (inner === undefined) continue;
    found = { certain: (found?.certain ?? false) || (inner.certain && unconditional) };
  }
  return found;
}

function jumpedTo(
  { family, table, chain }: NftChain,
  to: string,
  chains: readonly NftChain[],
  seen: ReadonlySet<string>,
): { readonly certain: boolean } | undefined {
  const target = chains.find((one) => one.family === family && one.table === table && one.chain === to);
  if (target === undefined || seen.has(to)) return undefined;
  return sourceNat(target, chains, new Set([...seen, chain, to]));
}

/** CNI plugins that masquerade per pod. */
export function cniMasquerade({ cni }: Facts): readonly Said[] {
  const files = known(cni);
  if (files === undefined) return [];
  return files.flatMap(({ path, masquerading, fault }): Said[] => [
    ...(fault === undefined
      ? []
      : [
          warning(
            `${path} cannot be read as JSON: ${fault}`,
            "repair it, or remove it if no runtime uses it",
          ),
        ]),
    ...masquerading.map((plugin) =>
      warning(
        `${path}: "ipMasq": true of plugin ${plugin}: the CNI masquerades by itself, whatever our configuration says`,
        'set "ipMasq": false; pods that run keep their rules until they are made anew',
      ),
    ),
  ]);
}

/** What there is nothing to look at. */
export function notSeen({ cni, processes, conntrack }: Facts): readonly Said[] {
  const said: Said[] = [];
  if ("value" in cni && cni.value === undefined)
    said.push(
      info("there is no CNI directory here", "in a container, mount the host's and name it with --cni-dir"),
    );
  if (known(processes)?.kubelets.length === 0)
    said.push(
      info(
        "no kubelet is seen here",
        "to have its flags checked, run doctor on the host, or mount its /proc and name it with --proc",
      ),
    );
  if ("value" in conntrack && conntrack.value === undefined)
    said.push(info("the kernel tracks no connections yet"));
  return said;
}
