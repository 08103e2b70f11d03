/**
 * `--backend=auto`: the packet filter that kube-proxy uses, or else the first that works.
 */

import { attempt } from "../backend/attempt.ts";
import type { BackendName } from "../backend/driver.ts";
import { usesNftables } from "../backend/kube-proxy.ts";
import { type IptablesVariant, toolsOf } from "../iptables/tools.ts";
import { resolveVariant, seenHints } from "../iptables/variant.ts";
import { connected, type Nftables } from "../netlink/socket/transport.ts";
import { isKnown, known } from "../system/fact.ts";
import { hasLegacyNat } from "../system/legacy-tables.ts";
import type { Run, Script } from "../system/script.ts";

/** The chosen backend and the reason, or the reason why each backend does not work. */
export type Choice =
  | { readonly ok: true; readonly name: BackendName; readonly why: string }
  | { readonly ok: false; readonly lacks: readonly string[] };

/** The choice with the variant of iptables; `path` for a backend that calls none. */
export type Chosen = Extract<Choice, { ok: true }> & { readonly variant: IptablesVariant };
export type Decision = Chosen | Extract<Choice, { ok: false }>;

interface Wanted {
  readonly backend: BackendName | "auto";
  readonly iptablesMode: IptablesVariant | "auto";
}

interface ChooseWorld {
  readonly run: Run;
  readonly open: () => Promise<Nftables>;
}

const DEADLINE_MS = 5_000;

/** Whether it matters to a backend which iptables is called. */
function callsIptables(backend: Wanted["backend"]): boolean {
  return backend !== "nftables";
}

/** The backend and variant that these flags mean on this node, now. */
export async function decide({ backend, iptablesMode }: Wanted, world: ChooseWorld): Promise<Decision> {
  const variant = callsIptables(backend) ? await resolveVariant(iptablesMode, world.run) : "path";
  const choice: Choice =
    backend === "auto"
      ? await chooseBackend(toolsOf(variant, "IPv4").command, world)
      : { ok: true, name: backend, why: "--backend" };
  return choice.ok ? { ...choice, variant: callsIptables(choice.name) ? variant : "path" } : choice;
}

/** Tool-free checks of the state that `decide` depends on; none where the flags alone decide. */
export function signsOf({ backend, iptablesMode }: Wanted) {
  return [
    ...(backend === "auto" ? [usesNftables] : []),
    ...(iptablesMode === "auto" && callsIptables(backend) ? [seenHints] : []),
  ];
}

/** `iptables` is the tool that `--iptables-mode` says. */
export async function chooseBackend(iptables: string, world: ChooseWorld): Promise<Choice> {
  const netlink = await attempt("nf_tables", () =>
    connected(world.open, (nftables) => kubeProxyUsesNftables(nftables, world)),
  );
  if (known(netlink) === true) return { ok: true, name: "nftables", why: "kube-proxy uses nftables" };
  const tool = await attempt(iptables, () => world.run(listScript(iptables)));
  if (isKnown(tool)) return { ok: true, name: "iptables", why: `${iptables} works` };
  if (isKnown(netlink))
    return { ok: true, name: "nftables", why: `nf_tables works, but not ${iptables}: ${tool.why}` };
  return { ok: false, lacks: [`iptables: ${tool.why}`, `nftables: ${netlink.why}`] };
}

/** As `usesNftables`, and no chain of its iptables mode in legacy tables either, which only a tool can read. */
async function kubeProxyUsesNftables(nftables: Nftables, { run }: ChooseWorld): Promise<boolean> {
  if (!(await usesNftables(nftables))) return false;
  if (!hasLegacyNat("IPv4")) return true;
  const args = ["-t", "nat", "-S", "KUBE-SERVICES"];
  const script = {
    file: "iptables-legacy",
    args,
    purpose: "looking for KUBE-SERVICES",
    accept: [1],
    deadlineMs: DEADLINE_MS,
  };
  const legacy = await attempt(script.purpose, () => run(script));
  return known(legacy)?.exitCode !== 0;
}

/** Tests more than `--version` does, which needs neither the kernel's part nor permission. */
function listScript(file: string): Script {
  return {
    file,
    args: ["-t", "nat", "-S", "POSTROUTING"],
    purpose: "listing POSTROUTING",
    deadlineMs: DEADLINE_MS,
  };
}
