import { expect, test } from "vitest";
import { facts } from "../../../test/lab/doctor.ts";
import { say } from "../../../test/lab/io.ts";
import { CHECKS } from "../../doctor/checks.ts";
import type { Finding } from "../../doctor/finding.ts";
import { diagnosisJson, renderDiagnosis } from "../../doctor/text.ts";
import { createColours } from "../../text/colours.ts";
import { doctorCommand } from "./doctor.ts";

const { settings, own } = facts();
const FINDINGS: readonly Finding[] = [
  { check: "own-chain", severity: "error", message: "no chain", remedy: "start the agent" },
  { check: "ports", severity: "warning", message: "ports overlap", remedy: "use others" },
  { check: "versions", severity: "info", message: "kernel 6.1" },
];
const plain = createColours(false);

test("problems first, each with its remedy; notes only if asked for", () => {
  const diagnosis = {
    settings,
    own,
    source: "using the flags of the agent with pid 7",
    findings: FINDINGS,
    ignored: [],
  };
  expect(renderDiagnosis(diagnosis, false, plain)).toMatchInlineSnapshot(`
    "Looked for an agent with backend iptables (nft), chain IP-MASQ-AGENT, IPv4; using the flags of the agent with pid 7
    error    [own-chain] no chain
             -> start the agent
    warning  [ports] ports overlap
             -> use others
    1 error, 1 warning (--verbose shows 1 note)
    "
  `);
  expect(renderDiagnosis(diagnosis, true, plain)).toContain(
    "\ninfo     [versions] kernel 6.1\n1 error, 1 warning\n",
  );
});

test("a healthy node is one line", () => {
  const healthy = { settings, own, source: undefined, findings: FINDINGS.slice(2), ignored: [] };
  expect(renderDiagnosis(healthy, false, plain)).toMatchInlineSnapshot(`
    "Looked for an agent with backend iptables (nft), chain IP-MASQ-AGENT, IPv4
    No problems found (--verbose shows 1 note)
    "
  `);
  expect(renderDiagnosis(healthy, false, createColours(true))).toContain(
    "\u001b[32mNo problems found\u001b[39m",
  );
});

test("that no agent runs is always said", () => {
  const findings = [
    ...FINDINGS.slice(2),
    { check: "agents", severity: "info", message: "no agent runs here" } as const,
  ];
  expect(
    renderDiagnosis({ settings, own, source: undefined, findings, ignored: [] }, false, plain),
  ).toMatchInlineSnapshot(`
    "Looked for an agent with backend iptables (nft), chain IP-MASQ-AGENT, IPv4
    info     [agents] no agent runs here
    No problems found (--verbose shows 1 note)
    "
  `);
});

test("JSON has everything, without colours", () => {
  expect(
    JSON.parse(diagnosisJson({ settings, own, source: undefined, findings: FINDINGS, ignored: [] })),
  ).toEqual({
    backend: "iptables",
    variant: "nft",
    chain: "IP-MASQ-AGENT",
    families: ["IPv4"],
    counts: { error: 1, warning: 1, info: 1 },
    findings: FINDINGS,
  });
});

test("an answer that leaves checks out names them", () => {
  const some = { settings, own, source: undefined, findings: [], ignored: ["ports", "lock"] };
  expect(renderDiagnosis(some, false, plain)).toMatch(/^No problems found \(ignored: ports, lock\)$/m);
  expect(JSON.parse(diagnosisJson(some))).toMatchObject({ ignored: ["ports", "lock"] });
});

test("--list names every check, for people and for machines", async () => {
  const { code, out } = await say(doctorCommand, ["--list"]);
  expect(code).toBe(0);
  expect(
    [...out.matchAll(/^(?:error|warning|info) +\[([a-z-]+)\] \S.*\n {9}-> \S/gm)].map(([, name]) => name),
  ).toEqual(CHECKS.map(({ name }) => name));
  const json = await say(doctorCommand, ["--list", "-o", "json"]);
  expect(JSON.parse(json.out)).toEqual({ checks: CHECKS.map(({ run: _, ...check }) => check) });
});

test.each<[string, string]>([
  ["--interval=x", 'invalid --interval: time: invalid duration "x"'],
  ["--interval=-1s", "invalid --interval -1s: use 0s to 1m"],
  ["--interval=2h", "invalid --interval 2h: use 0s to 1m"],
  ["--proc=/etc/passwd", "--proc: /etc/passwd/sys is not a readable directory"],
  ["--cni-dir=/no/such", "--cni-dir: /no/such is not a readable directory"],
  [
    "--cluster-cidr=10.244.0.0/33",
    'invalid --cluster-cidr: "10.244.0.0/33" is not a valid CIDR, such as 10.244.0.0/16',
  ],
  ["--cluster-cidr=10.0.0.0/8,", 'invalid --cluster-cidr: "" is not a valid CIDR, such as 10.244.0.0/16'],
  ["--ignore=port", 'invalid --ignore: there is no check "port": did you mean ports?'],
  ["--ignore=ports,", 'invalid --ignore: there is no check "": --list has all checks'],
  ["--list --ignore=xyz", 'invalid --ignore: there is no check "xyz": --list has all checks'],
  ["--fail-on=note", 'invalid value "note" for flag -fail-on: must be one of error, warning, info'],
  ["--to-ports=x", 'invalid --to-ports "x": strconv.Atoi: parsing "x": invalid syntax'],
  ["word", "unexpected argument: word"],
])("%s is a usage error", async (arg, message) => {
  expect(await say(doctorCommand, arg.split(" "))).toEqual({
    code: 2,
    out: "",
    err: `ip-masq-agent doctor: ${message}\nSee "ip-masq-agent doctor --help"\n`,
  });
});
