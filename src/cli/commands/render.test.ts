import { describe, expect, test } from "vitest";
import { say } from "../../../test/lab/io.ts";
import { renderCommand } from "./render.ts";

const CONFIG = "nonMasqueradeCIDRs: [10.0.0.0/8, 192.168.0.0/16]\n";

/** Without the line that has the version. */
async function render(line: string, stdin = CONFIG) {
  const said = await say(renderCommand, ["--config=-", ...line.split(" ").filter(Boolean)], { stdin });
  return { ...said, out: said.out.replace(/ip-masq-agent \S+,/, "ip-masq-agent VERSION,") };
}

describe("as text", () => {
  test.each([
    "",
    "--ipset-threshold=1 --iptables-mode=legacy",
    "--enable-ipv6 --random-fully=false --masq-chain=M",
    "--backend=nftables --enable-ipv6",
    "--backend=auto --iptables-mode=auto",
  ])("%s", async (line) => {
    expect(await render(line)).toMatchSnapshot();
  });
});

const PACKETS = `masqueradeSourceCIDRs: [10.244.0.0/16]
nonMasqueradeSourceCIDRs: [10.244.128.0/20]
outputInterfaces: [eth0]
outputAddresses: [192.0.2.0/24]
`;

test.each([
  "--node-address=192.0.2.10,192.0.2.1,203.0.113.1",
  "--node-address=192.0.2.10 --backend=nftables",
])("sources, links and addresses of a node: %s", async (line) => {
  expect(await render(line, PACKETS)).toMatchSnapshot();
});

test("without the node's addresses it says what it assumes", async () => {
  const { out } = await render("", PACKETS);
  expect(out).toContain(
    "# IPv4: MASQUERADE, as on a node with no address in outputAddresses: --node-address names the node's\n",
  );
  expect(out).toContain("-j MASQUERADE");
  expect((await render("", "masqueradeSourceCIDRs: [10.244.0.0/16]")).out).not.toContain("outputAddresses");
});

test("as JSON", async () => {
  expect(JSON.parse((await render("-o json --ipset-threshold=1")).out)).toMatchSnapshot();
  expect(JSON.parse((await render("-o json --backend=nftables")).out).parts).toMatchObject([
    { families: ["IPv4"], steps: [{ file: "nft" }, { file: "nft" }] },
  ]);
});

test("a bad configuration has no rules", async () => {
  expect(await render("", "nonMasqueradeCIDRs: [10.1.0.0/8]\n")).toMatchInlineSnapshot(`
    {
      "code": 1,
      "err": "standard input:1:22: nonMasqueradeCIDRs[0]: CIDR "10.1.0.0/8" is not aligned to a CIDR block, ip: "10.1.0.0" network: "10.0.0.0/8"; 10.1.0.0/8 has host bits: did you mean 10.0.0.0/8?
    ",
      "out": "",
    }
  `);
});

test("FILE is what --config is, and there is one of both", async () => {
  const stdin = CONFIG;
  const named = await say(renderCommand, ["-", "--backend=nftables"], { stdin });
  expect(named).toEqual(await say(renderCommand, ["--config=-", "--backend=nftables"], { stdin }));
  for (const words of [
    ["-", "x"],
    ["-", "--config=-"],
  ])
    expect(await say(renderCommand, words, { stdin })).toMatchObject({
      code: 2,
      err: expect.stringContaining("one configuration at a time: FILE, or --config"),
    });
  expect(await say(renderCommand, ["/no/such/file"], { stdin })).toMatchObject({
    code: 1,
    err: expect.stringContaining("/no/such/file: no such file"),
  });
});

test("what is odd is said beside it", async () => {
  const { code, err, out } = await render("", "foo: 1\n");
  expect({ code, err }).toMatchInlineSnapshot(`
    {
      "code": 0,
      "err": "warning: standard input:1:1: foo: unknown key, ignored
    ",
    }
  `);
  expect(out).toContain("COMMIT");
});

test("no configuration means the defaults, and says so", async () => {
  const agents = [{ pid: process.pid, args: ["--config=/no/such/file"], isOurs: true }];
  const { code, out, err } = await say(renderCommand, [], { agents });
  expect({ code, err }).toEqual({
    code: 0,
    err: `ip-masq-agent render: --config=/no/such/file, from the agent with pid ${process.pid}
warning: no configuration at /no/such/file, the defaults
`,
  });
  expect(out.match(/-j RETURN/g)).toHaveLength(4);
});

test("what the backend refuses", async () => {
  expect(await render(`--backend=nftables --masq-chain=${"x".repeat(300)}`)).toMatchObject({
    code: 1,
    out: "",
  });
  const ports = Array.from({ length: 20_000 }, (_, i) => 1024 + 2 * i).join(",");
  expect(await render(`--backend=nftables --to-ports=${ports}`)).toMatchObject({
    code: 1,
    err: expect.stringContaining("--to-ports: 20000 ranges are more than one nf_tables transaction can hold"),
  });
});
