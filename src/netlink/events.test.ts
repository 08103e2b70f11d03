import { describe, expect, test } from "vitest";
import { letThrough } from "../../test/lab/bpf.ts";
import {
  closeMessage,
  createWriter,
  openMessage,
  putString,
  putU32,
  type Writer,
  written,
} from "./attributes.ts";
import { FAMILIES, NFT_MSG, NFTA } from "./constants.ts";
import { commitFilter } from "./event-filter.ts";
import { createCommitReader } from "./events.ts";
import { messageType } from "./messages.ts";

const TABLE = { family: "inet", table: "ip-masq-agent" } as const;

interface Event {
  readonly type: number;
  readonly family?: keyof typeof FAMILIES;
  readonly generation?: number;
  readonly fill?: (writer: Writer) => void;
}

function event({ type, family = "inet", generation = 0, fill }: Event): Uint8Array {
  const writer = createWriter();
  const header = { flags: 0, sequence: 0, family: FAMILIES[family], resource: generation & 0xffff };
  const start = openMessage(writer, { type, ...header });
  fill?.(writer);
  closeMessage(writer, start);
  return written(writer).slice();
}

const ofTable = (type: number, table: string, more: Partial<Event> = {}) =>
  event({ type: messageType(type), fill: (writer) => putString(writer, 1, table), ...more });

function newGen(generation: number, process = "nft", pid = 4711): Uint8Array {
  const fill = (writer: Writer) => {
    putU32(writer, NFTA.GEN.ID, generation);
    putU32(writer, NFTA.GEN.PROC_PID, pid);
    putString(writer, NFTA.GEN.PROC_NAME, process);
  };
  return event({ type: messageType(NFT_MSG.NEWGEN), generation, fill });
}

describe("the filter", () => {
  const longer = "x".repeat(31);
  test.each<[string, Uint8Array, boolean]>([
    ["the end of a commit", newGen(7), true],
    ["a rule of the table", ofTable(NFT_MSG.NEWRULE, TABLE.table), true],
    ["elements of the table", ofTable(NFT_MSG.DELSETELEM, TABLE.table), true],
    ["a rule of another table", ofTable(NFT_MSG.NEWRULE, "nat"), false],
    ["a table of another name of the same length", ofTable(NFT_MSG.NEWRULE, "ip-masq-agenT"), false],
    ["a table whose name begins alike", ofTable(NFT_MSG.NEWRULE, `${TABLE.table}s`), false],
    ["a table of another family", ofTable(NFT_MSG.NEWRULE, TABLE.table, { family: "ip" }), false],
    ["a message of another subsystem", event({ type: 0x0100 }), false],
    ["a short message", event({ type: messageType(NFT_MSG.NEWTABLE) }), false],
    ["a long name", ofTable(NFT_MSG.NEWRULE, longer), false],
  ])("%s: %#", (_name, message, isWanted) => {
    const length = letThrough(commitFilter(TABLE), message);
    expect(length > 0).toBe(isWanted);
  });

  test("lets through all of a commit's end, and the headers of the rest", () => {
    expect(letThrough(commitFilter(TABLE), newGen(7))).toBe(newGen(7).length);
    expect(letThrough(commitFilter(TABLE), ofTable(NFT_MSG.NEWRULE, TABLE.table))).toBe(20);
  });

  test.each(["", "a", "ab", "abc", "abcd", longer])(
    "knows a table by its name, whatever its length: %j",
    (table) => {
      const filter = commitFilter({ family: "ip6", table });
      expect(letThrough(filter, ofTable(NFT_MSG.NEWSET, table, { family: "ip6" }))).toBe(20);
      expect(letThrough(filter, ofTable(NFT_MSG.NEWSET, `${table}x`, { family: "ip6" }))).toBe(0);
    },
  );
});

describe("the reader", () => {
  test("tells who committed, and whether the table was touched", () => {
    const read = createCommitReader();
    expect(read(newGen(65_536 + 3, "iptables-nft-re", 12))).toEqual({
      generation: 65_539,
      pid: 12,
      process: "iptables-nft-re",
      touched: false,
    });
    expect(
      read(ofTable(NFT_MSG.NEWSETELEM, TABLE.table, { generation: 65_540 }).subarray(0, 20)),
    ).toBeUndefined();
    expect(read(newGen(65_540))).toMatchObject({ touched: true });
    expect(read(newGen(65_541))).toMatchObject({ touched: false });
  });

  test("does not take a change for that of another commit", () => {
    const read = createCommitReader();
    read(ofTable(NFT_MSG.NEWSETELEM, TABLE.table, { generation: 4 }).subarray(0, 20));
    expect(read(newGen(3))).toMatchObject({ touched: false });
  });

  test("passes over what is too short to be a message", () => {
    expect(createCommitReader()(new Uint8Array(8))).toBeUndefined();
  });
});
