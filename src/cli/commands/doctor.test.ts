import { expect, test } from "vitest";
import { facts } from "../../../test/lab/doctor.ts";
import { say } from "../../../test/lab/io.ts";
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
  const diagnosis = { settings, own, source: "using the flags of the agent with pid 7", findings: FINDINGS };
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
  const healthy = { settings, own, source: undefined, findings: FINDINGS.slice(2) };
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
    renderDiagnosis({ settings, own, source: undefined, findings }, false, plain),
  ).toMatchInlineSnapshot(`
    "Looked for an agent with backend iptables (nft), chain IP-MASQ-AGENT, IPv4
    info     [agents] no agent runs here
    No problems found (--verbose shows 1 note)
    "
  `);
});

test("JSON has everything, without colours", () => {
  expect(JSON.parse(diagnosisJson({ settings, own, source: undefined, findings: FINDINGS }))).toEqual({
    backend: "iptables",
    variant: "nft",
    chain: "IP-MASQ-AGENT",
    families: ["IPv4"],
    counts: { error: 1, warning: 1, info: 1 },
    findings: FINDINGS,
  });
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
  ["--to-ports=x", 'invalid --to-ports "x": strconv.Atoi: parsing "x": invalid syntax'],
  ["word", "unexpected argument: word"],
])("%s is a usage error", async (arg, message) => {
  expect(await say(doctorCommand, [arg])).toEqual({
    code: 2,
    out: "",
    err: `ip-masq-agent doctor: ${message}\nSee "ip-masq-agent doctor --help"\n`,
  });
});
