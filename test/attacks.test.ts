/** Each kind of attack that docs/security.md lists, with the tests of the attacks of that kind. */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

/** An attack, the file of its test, and a part of that test's title. */
type Attack = readonly [does: string, path: string, title: string];

const ATTACKS: Readonly<Record<string, readonly Attack[]>> = {
  "ports and sockets": [
    [
      "takes netlink ports that the agent could want",
      "test/kernel/netlink/hostile.test.ts",
      "netlink ports that an unprivileged process took do not block the agent",
    ],
    [
      "takes the port 10279",
      "test/kernel/observe/http.test.ts",
      "a port that is taken is a warning, tried again",
    ],
    [
      "takes the sockets by which agents know of each other",
      "test/kernel/presence/hold.test.ts",
      "do not count if the holder is %s",
    ],
    [
      "connects to that socket again and again",
      "test/kernel/presence/hold.test.ts",
      "connections are closed, cost no descriptor, and keep nothing alive",
    ],
  ],
  HTTP: [
    [
      "opens thousands of connections that say nothing",
      "test/kernel/observe/http-flood.test.ts",
      "fails no probe and delays no healing",
    ],
    [
      "sends requests that are cut, endless or senseless",
      "test/http/fuzz.test.ts",
      "every kind of bad request, and how long each keeps the loop",
    ],
    [
      "reaches the loopback through `route_localnet`",
      "src/observe/gate.test.ts",
      "a loopback address is not reached from another",
    ],
    [
      "has a browser or a proxy ask under another name (DNS rebinding)",
      "src/observe/server.test.ts",
      "on a loopback address, a request for another name is misdirected, whatever it asks for",
    ],
    [
      "asks where the agent serves at the node's address (monitoring)",
      "src/observe/server.test.ts",
      "a body is not read, and ends the connection",
    ],
  ],
  impersonation: [
    [
      "calls itself ip-masq-agent, to be believed by `status`, `doctor` or `diff`",
      "test/kernel/cli/trust.test.ts",
      "is not believed if it is another user's, however it is started",
    ],
    [
      "listens where an agent would serve",
      "test/kernel/cli/trust.test.ts",
      "is not asked for its status if another user listens there",
    ],
    [
      "links its files to the node's, to have root read them",
      "test/kernel/cli/trust.test.ts",
      "has its configuration read among its own files, wherever links lead",
    ],
  ],
  "our rules": [
    [
      "changes or removes the agent's rules",
      "test/kernel/agent/events.test.ts",
      "changes by other processes are repaired, and they are named; rules in force are not touched",
    ],
    [
      "does so again and again",
      "test/kernel/agent/events.test.ts",
      "a process that keeps changing the rules is named, loudly, and repairs slow down",
    ],
    [
      "commits all the time",
      "test/kernel/nftables/heal.test.ts",
      "next to a process that commits all the time",
    ],
  ],
  "our table": [
    [
      "puts rules, chains and sets of its own into the agent's table",
      "test/kernel/nftables/foreign-content.test.ts",
      "goes, whatever it is, and our rules are right",
    ],
    [
      "does so before the agent starts",
      "test/kernel/nftables/foreign-content.test.ts",
      "is there before the agent starts",
    ],
  ],
  "our table's name": [
    [
      "owns that table (flag `owner`), so that nobody else may change it",
      "test/kernel/nftables/foreign-content.test.ts",
      "is said to be, with the process, and is healed once that has ended",
    ],
    [
      "takes the agent's table name",
      "test/kernel/nftables/heal.test.ts",
      "refused and untouched; once it is gone, it works",
    ],
  ],
  "netlink messages": [
    [
      "sends forged and broken messages to the agent's sockets",
      "test/kernel/netlink/hostile.test.ts",
      "messages that are not from the kernel are ignored, and end nothing",
    ],
    [
      "has the kernel's messages say what they like",
      "test/fuzz/netlink-socket.test.ts",
      "messages, sanitizers watching",
    ],
  ],
  display: [
    [
      "writes control characters into comments and names",
      "src/text/printable.test.ts",
      "marks that turn the reading direction, or cannot be seen, are shown instead",
    ],
    [
      "writes markup into them",
      "src/observe/page/html.test.ts",
      "no text whatever ends the text or an attribute",
    ],
  ],
  tokens: [
    [
      "writes another node's Lease, the scheduler's, or an Event about anything",
      "test/admission/report.test.ts",
      "a token, and %s",
    ],
    [
      "reads more than the ConfigMap",
      "test/chart/kustomize.test.ts",
      "builds %j with a token that can read one ConfigMap, and nothing else",
    ],
  ],
  "API server": [
    [
      "the API server, or a proxy before it, sends an endless, broken or senseless answer, or none",
      "test/kernel/api/connection.test.ts",
      "silence, and an answer that does not end, are given up",
    ],
    [
      "the API server tells of an older state than before",
      "src/api/follow.test.ts",
      "an older state than one heard before does not count, unless it is the newest",
    ],
    [
      "refuses reports, or answers them with a page, too much, or not at all",
      "test/kernel/api/report.test.ts",
      "%s is a sentence after the second time, and tried again",
    ],
  ],
  configuration: [
    [
      "writes a bad configuration",
      "test/kernel/agent/config.test.ts",
      "a bad one (%s): the last good one stays, and is kept healed",
    ],
    [
      "writes one as a trap for the messages about it",
      "src/validate/hints.test.ts",
      "nothing that anybody writes makes a hint fail",
    ],
  ],
  names: [
    ["mistypes a command or a flag", "test/kernel/cli/typos.test.ts", "start no second agent"],
    [
      "names a chain of others in `--masq-chain`",
      "test/kernel/iptables/foreign-chain.test.ts",
      "is refused, until it is emptied; the other family goes on",
    ],
    [
      "runs `cleanup` with such a name, or after a forged jump",
      "test/kernel/iptables/foreign-chain.test.ts",
      "stays when cleanup gets its name, or a jump leads there",
    ],
    [
      "runs `cleanup` for all chains beside another agent",
      "test/kernel/cli/cleanup.test.ts",
      "an agent of another chain keeps its own from --all-chains",
    ],
  ],
  "two agents": [
    [
      "starts two agents of one chain",
      "test/kernel/presence/hold.test.ts",
      "a holder leaves alone what one that waits for it has",
    ],
    [
      "forgets an old agent with another backend, which writes its rules again",
      "test/kernel/agent/rivals.test.ts",
      "nftables, and iptables-nft comes back",
    ],
  ],
  rights: [
    ["forgets a capability", "test/kernel/agent/trouble.test.ts", "one line, which names that one alone"],
    [
      "gives NET_ADMIN alone and moves from iptables-legacy",
      "test/kernel/system/privileges.test.ts",
      "what iptables-legacy has left stays, what it takes is named, and with that it goes",
    ],
    [
      "uses the seccomp profile",
      "test/kernel/system/seccomp.test.ts",
      "an agent makes no call that the profile does not name",
    ],
  ],
  kills: [
    [
      "the process is killed at any moment",
      "test/kernel/agent/kill.test.ts",
      "a chain that is whole stays whole over",
    ],
    [
      "it is killed while it moves between backends",
      "test/kernel/agent/move.test.ts",
      "moves killed: the next start finishes them",
    ],
    ["lists change under traffic", "test/kernel/agent/atomic.test.ts", "no new flow is treated wrongly"],
  ],
  tools: [
    [
      "a tool fails",
      "test/kernel/agent/trouble.test.ts",
      "tools that fail: a line when the cause changes, and none for each retry",
    ],
    [
      "a tool hangs",
      "test/kernel/system/exec.test.ts",
      "a tool that hangs is ended, and what it started with it",
    ],
    [
      "one family fails",
      "test/kernel/agent/one-family.test.ts",
      "the other is mended at once, and what fails is not run at each commit",
    ],
  ],
  "log and events": [
    ["nobody reads the log", "test/kernel/agent/trouble.test.ts", "costs lines, not rules"],
    [
      "events are lost or refused",
      "test/kernel/agent/events.test.ts",
      "without events the agent polls the generation, and says so once",
    ],
  ],
};

/** The fault of the test that an attack names, if any. */
function untested([, path, title]: Attack): string | undefined {
  if (!existsSync(path)) return `${path} does not exist`;
  const titles = readFileSync(path, "utf8").match(/(["`])(?:(?!\1|\n).)*\1/g) ?? [];
  return titles.some((one) => one.includes(title)) ? undefined : `${path} has no test "${title}"`;
}

test("each attack has a test that exists", () => {
  expect(
    Object.values(ATTACKS)
      .flat()
      .flatMap((attack) => untested(attack) ?? []),
  ).toEqual([]);
  const missing = "x".repeat(99);
  expect(untested(["does", "test/gone.test.ts", "x"])).toBe("test/gone.test.ts does not exist");
  expect(untested(["does", "test/documents.test.ts", missing])).toContain("has no test");
});

test("the kinds are those of docs/security.md", () => {
  const section = /^## Attackers$(.*?)^## /ms.exec(readFileSync("docs/security.md", "utf8"))?.[1] ?? "";
  const kinds = [...section.matchAll(/^\| ([^|]+) \| [UPNOTK](?: [UPNOTK])* \|/gm)].map(([, kind]) => kind);
  expect(kinds).toEqual(Object.keys(ATTACKS));
});
