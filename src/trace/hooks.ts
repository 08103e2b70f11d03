/** The order in which a packet passes base chains. */
import { HOOKS, type Hook } from "./model.ts";

/** NAT is done at one priority of each hook, whatever those of its chains are, which only order them (NF_IP_PRI_NAT_DST, _SRC). */
const NAT_PRIORITY: Readonly<Partial<Record<Hook["hook"], number>>> = {
  prerouting: -100,
  input: 100,
  postrouting: 100,
};

/** By hook and priority; of equal ones the last in the list comes first, as the kernel puts later registrations in front. */
export function inOrder(hooks: readonly Hook[]): Hook[] {
  return [...hooks]
    .reverse()
    .sort(
      (a, b) =>
        HOOKS.indexOf(a.hook) - HOOKS.indexOf(b.hook) ||
        Number(b.isElsewhere ?? false) - Number(a.isElsewhere ?? false) ||
        place(a) - place(b) ||
        a.priority - b.priority,
    );
}

function place({ hook, isNat, priority }: Hook): number {
  return (isNat ? NAT_PRIORITY[hook] : undefined) ?? priority;
}
