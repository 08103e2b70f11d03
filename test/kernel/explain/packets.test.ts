/**
 * What `explain --live` says of our own rules for sources, links and addresses is what becomes of packets: read by nft, and where that
 * is missing over netlink.
 */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import type { ExplainView, OutcomeView } from "../../../src/explain/view.ts";
import { cells } from "../../lab/length.ts";
import { config, describeKernel, labTest } from "../../lab/network/fixture.ts";
import type { Lab } from "../../lab/network/lab.ts";
import { buildRunner, type Runner } from "../../lab/network/nftables-namespace.ts";
import { openPackets } from "../../lab/network/packets-lab.ts";
import { createOwnTable, fieldsOf } from "../../lab/network/packets-table.ts";
import { expectedOfRow, type PacketSettings, ROWS, type Row } from "../../lab/packets.ts";
import { SETTINGS } from "../../lab/packets-settings.ts";

const { PATH = "" } = process.env;
/** Those that come from a pod: explain is about these. */
const PODS = ROWS.filter(({ from, tunnel }) => from === "pod" && tunnel === undefined);

let runner: Runner;

/** The addresses that each row's packet may leave with, as explain says. */
async function explain(
  lab: Lab,
  settings: PacketSettings,
  rows: readonly Row[],
  path: string,
): Promise<string[][]> {
  const { source, link } = rows[0]?.packet ?? {};
  const toPorts = (settings.toPorts ?? []).map((range) => range.join("-")).join();
  const args = [
    ...["explain", "--live", "-o", "json"],
    ...[`--config=${lab.volume.path}`, "--enable-ipv6", "--backend=nftables", `--to-ports=${toPorts}`],
    ...[`--source=${source}`, `--out-interface=${link}`, "--protocol=udp"],
    ...rows.map(({ destination }) => destination),
  ];
  const { stdout, stderr } = await lab.program(args, { path });
  if (stdout === "") throw new Error(`explain: ${stderr}`);
  const { destinations } = JSON.parse(stdout) as ExplainView;
  return destinations.map(({ parts: [part] }, i) => {
    expect(part?.agrees, JSON.stringify(part)).not.toBe("no");
    const { live } = part ?? {};
    const outcomes = live === undefined ? [] : [...live.possible, live];
    // With ports, the protocol decides between two outcomes of one address.
    return [...new Set(outcomes.map((one) => addressOf(one, rows[i] as Row)))].sort();
  });
}

function addressOf({ verdict, source }: OutcomeView, { packet }: Row): string {
  return verdict === "keep" ? packet.source : (source ?? verdict);
}

/** Rows of one source through one link: a call for each. */
function groups(rows: readonly Row[]): Row[][] {
  const all = new Map<string, Row[]>();
  for (const row of rows) {
    const key = `${row.packet.source} ${row.packet.link}`;
    all.set(key, [...(all.get(key) ?? []), row]);
  }
  return [...all.values()];
}

describeKernel("explain, of sources, links and addresses", () => {
  beforeAll(async () => {
    runner = await buildRunner();
  });
  afterEach(() => runner.leave());
  afterAll(() => runner.remove());

  for (const [name, settings] of cells(Object.entries(SETTINGS), ([key]) => key === "three addresses by pod"))
    labTest(`it says what becomes of packets: ${name}`, async ({ lab }) => {
      const packets = await openPackets(lab);
      lab.volume.write(config(fieldsOf(settings)));
      await createOwnTable(lab, runner).put(settings);
      expect(await packets.wrong(settings, PODS)).toEqual([]);
      for (const path of [PATH, join(lab.directory, "nothing")])
        for (const rows of groups(PODS)) {
          const expected = rows.map((row) => [...expectedOfRow(settings, row).addresses].sort());
          expect([rows[0], await explain(lab, settings, rows, path)]).toEqual([rows[0], expected]);
        }
    });
});
