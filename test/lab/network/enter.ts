/** Network namespaces entered by this process itself: `ip netns exec` costs one more process, and mounts, for each command. */
import { existsSync, openSync } from "node:fs";
import { resolve } from "node:path";

/** Built before the tests (commands.ts); the demo and `make bench` do without. */
const ADDON = resolve("build/commands/setns.node");

const { VITEST } = process.env;

/** Whether this process can. */
export const canEnter = VITEST !== undefined && existsSync(ADDON);

interface Addon {
  readonly enter: (path: string) => void;
}

let loaded: { readonly addon: Addon; readonly home: string } | undefined;

function load() {
  const module = { exports: {} as Addon };
  process.dlopen(module, ADDON);
  return { addon: module.exports, home: `/proc/self/fd/${openSync("/proc/self/ns/net", "r")}` };
}

/** Does something in a namespace by its name. It must not wait, for all else that happens meanwhile is there too. */
export function inNamespace<T>(name: string, act: () => T): T {
  loaded ??= load();
  const { addon, home } = loaded;
  addon.enter(`/run/netns/${name}`);
  try {
    return act();
  } finally {
    addon.enter(home);
  }
}
