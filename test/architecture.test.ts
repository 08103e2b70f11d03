/**
 * The floor plan of the sources: which room may import which, which files touch the world, and how large a room and a file
 * may be. The table in docs/internals/architecture.md is made from this one (`npm run golden`).
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { markdownTable, withMade } from "./lab/made.ts";

interface Room {
  /** What it holds, for the documents. */
  readonly holds: string;
  /** The rooms that it may import, besides itself. */
  readonly imports: readonly string[];
}

/** The folders under `src`, from the top floor to the ground: imports only lead downwards in this list. */
const ROOMS: Readonly<Record<string, Room>> = {
  main: { holds: "signals, choice of the command, exit code", imports: ["cli", "system"] },
  cli: {
    holds: "argv in, text out: flags, one file a command, and the one way in which they run",
    imports: [
      ...[
        "explain",
        "diff",
        "observe",
        "agent",
        "doctor",
        "report",
        "trace",
        "iptables",
        "nftables",
        "backend",
        "presence",
      ],
      ...["api", "system", "validate", "conntrack", "core", "log", "route", "netlink", "go", "text"],
    ],
  },
  report: {
    holds: "the parts of `report`, each within its bounds, and pseudonyms for what names a node",
    imports: ["trace", "iptables", "system", "core", "go"],
  },
  explain: { holds: "answers of `explain`, as values and as text", imports: ["trace", "core", "text"] },
  diff: {
    holds: "answers of `diff`, as values and as text",
    imports: ["trace", "iptables", "nftables", "backend", "system", "core", "netlink", "text"],
  },
  observe: {
    holds: "what a running agent shows: monitor, status, metrics, HTTP, the page",
    imports: ["agent", "nftables", "backend", "system", "conntrack", "core", "netlink", "text"],
  },
  agent: {
    holds: "the loop and one pass, the sources of change, moves between backends",
    imports: [
      ...["iptables", "nftables", "backend", "presence", "api", "system", "validate", "conntrack"],
      ...["core", "log", "route", "netlink", "text"],
    ],
  },
  doctor: {
    holds: "facts of a node, and the checks over them",
    imports: [
      ...[
        "trace",
        "iptables",
        "nftables",
        "backend",
        "presence",
        "system",
        "conntrack",
        "core",
        "route",
        "netlink",
        "go",
        "text",
      ],
    ],
  },
  trace: {
    holds: "rules of any origin as one model, and the tracer that follows a packet through them",
    imports: ["iptables", "nftables", "backend", "system", "core", "netlink", "yaml"],
  },
  iptables: {
    holds: "the backend iptables: plan (pure), driver (effects)",
    imports: ["backend", "system", "core", "log", "netlink", "text"],
  },
  nftables: {
    holds: "the backend nftables: plan (pure), driver (effects)",
    imports: ["backend", "core", "netlink", "text"],
  },
  backend: {
    holds: "the contract of backends: steps, plans, drivers, who committed, counters, limits",
    imports: ["system", "core", "netlink", "text"],
  },
  presence: {
    holds: "agents that know of each other: the socket that each holds, and who holds one",
    imports: ["system", "core", "log", "netlink", "text"],
  },
  api: {
    holds: "ConfigMaps through the API server: sessions, their pauses, and the cache of what was heard",
    imports: ["core", "go"],
  },
  system: {
    holds: "this machine: tools, `/proc`, addresses, clock, privileges, memory",
    imports: ["core", "route", "netlink", "go", "text"],
  },
  validate: {
    holds: "what `validate` adds to decoding: hints, overlaps, manifests",
    imports: ["core", "yaml", "go", "text"],
  },
  conntrack: {
    holds: "the kernel's table of connections over ctnetlink, and what they use of the node's source ports",
    imports: ["core", "netlink"],
  },
  core: {
    holds: "what a configuration means: documents, keys, CIDRs, intervals, rulesets, verdicts",
    imports: ["yaml", "go", "text"],
  },
  log: { holds: "klog lines or JSON, and where they go", imports: ["go", "text"] },
  route: { holds: "links, addresses and routes over rtnetlink", imports: ["netlink"] },
  netlink: {
    holds:
      "a library of our own: nf_tables as values, their messages, their text, one socket ([README](../../src/netlink/README.md))",
    imports: [],
  },
  yaml: {
    holds:
      "a library of our own: YAML 1.1 and JSON as the Go program reads them, with places ([README](../../src/yaml/README.md))",
    imports: [],
  },
  go: { holds: "Go's durations, integers, quoting and flags", imports: ["text"] },
  text: { holds: "colours, plurals, near names, control characters", imports: [] },
};

/** The files that touch the world: they import `node:*`, or name a global of Node, a clock, or chance. All others are pure. */
const EFFECTS: readonly string[] = [
  "agent/config/config-map.ts",
  "agent/config/container-path.ts",
  "agent/config/file.ts",
  "agent/config/holder.ts",
  "agent/config/watch.ts",
  "agent/fleet/open.ts",
  "agent/fleet/spread-writer.ts",
  "agent/sources.ts",
  "api/cache.ts",
  "api/connection.ts",
  "api/follow.ts",
  "api/service-account.ts",
  "cli/ask.ts",
  "cli/commands.ts",
  "cli/commands/destination.ts",
  "cli/commands/doctor.ts",
  "cli/commands/explain-node.ts",
  "cli/commands/explain-route.ts",
  "cli/commands/report.ts",
  "cli/commands/version.ts",
  "cli/engines.ts",
  "cli/front.ts",
  "cli/io.ts",
  "cli/monitoring.ts",
  "cli/run.ts",
  "cli/running-agent.ts",
  "cli/version.ts",
  "doctor/gather.ts",
  "doctor/read-cni.ts",
  "doctor/read-ports.ts",
  "doctor/read-proc.ts",
  "iptables/netlink-view.ts",
  "log/file.ts",
  "log/line.ts",
  "log/world.ts",
  "main.ts",
  "netlink/errors.ts",
  "netlink/rule-image.ts",
  "netlink/socket/addon.ts",
  "netlink/socket/channel.ts",
  "observe/address.ts",
  "observe/gate.ts",
  "observe/monitor.ts",
  "observe/pressure.ts",
  "observe/server.ts",
  "observe/share-replies.ts",
  "presence/hold.ts",
  "presence/holders.ts",
  "report/secret.ts",
  "system/addresses.ts",
  "system/clock.ts",
  "system/connections.ts",
  "system/exec.ts",
  "system/fact.ts",
  "system/grace.ts",
  "system/heap.ts",
  "system/listener.ts",
  "system/local-ports.ts",
  "system/memory-limit.ts",
  "system/node-addresses.ts",
  "system/owner.ts",
  "system/privileges.ts",
  "system/processes.ts",
  "trace/live-ipvs.ts",
];

const MAX_FILES = 25;
const MAX_LINES = 300;

interface Source {
  /** Below `src`. */
  readonly path: string;
  readonly room: string;
  readonly text: string;
  /** As they are written. */
  readonly imports: readonly string[];
}

const sources: readonly Source[] = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts") && !path.endsWith(".d.ts"))
  .map((path) => {
    const text = readFileSync(join("src", path), "utf8");
    const imports = [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g)].map(
      ([, name]) => name ?? "",
    );
    return { path, room: roomOf(path), text, imports };
  });

function roomOf(path: string): string {
  return (path.split("/")[0] ?? "").replace(/\.ts$/, "");
}

/** The file that an import of `path` leads to; undefined for a package. */
function targetOf(path: string, imported: string): string | undefined {
  return imported.startsWith(".") ? join(dirname(path), imported) : undefined;
}

/** `path: import` for every import that `wrong` objects to. */
function offenders(wrong: (source: Source, imported: string) => boolean): string[] {
  return sources.flatMap((source) =>
    source.imports
      .filter((imported) => wrong(source, imported))
      .map((imported) => `${source.path}: ${imported}`),
  );
}

describe("the table", () => {
  test("has each folder, and only these", () => {
    expect(sources.flatMap(({ imports }) => imports).length).toBeGreaterThan(600);
    expect([...new Set(sources.map(({ room }) => room))].sort()).toEqual(Object.keys(ROOMS).sort());
  });

  test("only leads downwards", () => {
    const floors = Object.keys(ROOMS);
    const upwards = Object.entries(ROOMS).flatMap(([room, { imports }]) =>
      imports.filter((one) => floors.indexOf(one) <= floors.indexOf(room)).map((one) => `${room}: ${one}`),
    );
    expect(upwards).toEqual([]);
  });

  test("allows no arrow without a use", () => {
    const used = new Set(
      sources.flatMap(({ path, room, imports }) =>
        imports.map((imported) => `${room}: ${roomOf(targetOf(path, imported) ?? "")}`),
      ),
    );
    const allowed = Object.entries(ROOMS).flatMap(([room, { imports }]) =>
      imports.map((one) => `${room}: ${one}`),
    );
    expect(allowed.filter((arrow) => !used.has(arrow))).toEqual([]);
  });

  test("is the one in docs/internals/architecture.md", async () => {
    const rows = Object.entries(ROOMS).map(([room, { holds, imports }]) => [
      `\`${room}${room === "main" ? ".ts" : "/"}\``,
      holds,
      imports.map((one) => `\`${one}\``).join(" ") || "nothing of ours",
    ]);
    const table = markdownTable(["room", "what it holds", "may import, besides itself"], rows);
    const made = withMade(readFileSync("docs/internals/architecture.md", "utf8"), "rooms", table);
    expect(made).toContain(table);
    await expect(made).toMatchFileSnapshot("../docs/internals/architecture.md");
  });
});

describe("imports", () => {
  test("lead only where the table allows", () => {
    const wrong = ({ path, room }: Source, imported: string) => {
      const target = targetOf(path, imported);
      if (target === undefined) return false;
      return roomOf(target) !== room && ROOMS[room]?.imports.includes(roomOf(target)) !== true;
    };
    expect(offenders(wrong)).toEqual([]);
  });

  test("make no circle, types included", () => {
    const byPath = new Map(sources.map((source) => [source.path, source]));
    const circles: string[] = [];
    const done = new Set<string>();
    const visit = (path: string, trail: readonly string[]): void => {
      if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      if (done.has(path) || trail.includes(path)) return;
      const { imports = [] } = byPath.get(path) ?? {};
      for (const imported of imports) {
        const target = targetOf(path, imported);
        if (target !== undefined) visit(target, [...trail, path]);
      }
      done.add(path);
    };
    for (const { path } of sources) visit(path, []);
    expect(circles).toEqual([]);
  });

  test("of node:child_process are in one file", () => {
    expect(offenders((_source, imported) => /child_process/.test(imported))).toEqual([
      "system/exec.ts: node:child_process",
    ]);
  });

  test("name our files with their extension", () => {
    expect(offenders((_source, imported) => imported.startsWith(".") && !imported.endsWith(".ts"))).toEqual(
      [],
    );
  });
});

test("only the files of the list touch the world", () => {
  const globals =
    /\b(?:Buffer\b|process\.|setTimeout|setInterval|setImmediate|queueMicrotask|performance\.|Date\.now|Math\.random|console\.|crypto\.)|= process;|\bnew Date\(\)/;
  const touching = sources.filter(({ text }) => {
    const code = withoutComments(text);
    return /"node:[a-z]/.test(code) || globals.test(withoutStrings(code));
  });
  expect(touching.map(({ path }) => path).sort()).toEqual([...EFFECTS].sort());
});

test("there are no default exports", () => {
  expect(
    sources.filter(({ text }) => /^export default|as default\b/m.test(text)).map(({ path }) => path),
  ).toEqual([]);
});

test(`no folder has more than ${MAX_FILES} files, tests not counted`, () => {
  const folders = new Map<string, number>();
  for (const { path } of sources) folders.set(dirname(path), (folders.get(dirname(path)) ?? 0) + 1);
  expect([...folders].filter(([, files]) => files > MAX_FILES)).toEqual([]);
});

test(`no file is longer than ${MAX_LINES} lines`, () => {
  const long = sources.filter(({ text }) => text.trimEnd().split("\n").length > MAX_LINES);
  expect(long.map(({ path }) => path)).toEqual([]);
});

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
}

function withoutStrings(code: string): string {
  return code.replaceAll(/"(?:[^"\\\n]|\\.)*"/g, '""');
}
