import { expect, test } from "vitest";
import { createAskedEntries, type EntryReading, type FamilyReading } from "./asked-entries.ts";

const DAY_MS = 24 * 3_600_000;
const WEEK_MS = 7 * DAY_MS;
const ASKED = true;

/** A reading of IPv4 entries whose rules were written as this generation. */
function reading(generation: number, entries: Readonly<Record<string, boolean>>): readonly FamilyReading[] {
  const of = ([cidr, isAsked]: readonly [string, boolean]): EntryReading => ({
    ...{ cidr, isAsked },
    handle: generation,
  });
  return [{ family: "IPv4", entries: Object.entries(entries).map(of) }];
}

interface Step {
  readonly at: number;
  readonly read: readonly FamilyReading[] | undefined;
  readonly isLast?: true;
}

/** What is unasked at a time after these steps, as CIDR and days. */
function unaskedAfter(steps: readonly Step[], now = WEEK_MS) {
  const asked = createAskedEntries();
  for (const { at, read, isLast = false } of steps) asked.read(read, at, isLast);
  return asked.unasked(now).map(({ cidr, forMs }) => [cidr, forMs / DAY_MS]);
}

const BOTH = reading(1, { a: false, b: false });
const ONLY_B = reading(1, { a: ASKED, b: false });
const LOST: readonly FamilyReading[] = [{ family: "IPv4", entries: undefined }];

test.for<[string, readonly Step[], readonly unknown[]]>([
  ["nothing was read", [], []],
  [
    "nothing was asked for",
    [{ at: 0, read: BOTH }],
    [
      ["a", 7],
      ["b", 7],
    ],
  ],
  ["not for as long", [{ at: 1, read: BOTH }], []],
  [
    "one was asked for",
    [
      { at: 0, read: BOTH },
      { at: 1, read: ONLY_B },
    ],
    [["b", 7]],
  ],
  [
    "one was asked for before we wrote the rules again",
    [
      { at: 0, read: BOTH },
      { at: 1, read: ONLY_B, isLast: true },
      { at: 2, read: reading(2, { a: false, b: false }) },
    ],
    [["b", 7]],
  ],
  [
    "we wrote the rules again, and other processes did so later",
    [
      { at: 0, read: BOTH, isLast: true },
      { at: 1, read: reading(2, { a: false, b: false }) },
      { at: 2, read: reading(3, { a: false, b: false }) },
    ],
    [],
  ],
  [
    "other processes wrote the rules again, and what they counted is lost",
    [
      { at: 0, read: BOTH },
      { at: 1, read: reading(2, { a: false, b: false }) },
    ],
    [],
  ],
  [
    "other processes changed the rules that we had written",
    [
      { at: 0, read: BOTH, isLast: true },
      { at: 1, read: LOST, isLast: true },
      { at: 2, read: reading(2, { a: false, b: false }) },
    ],
    [],
  ],
  [
    "the chain is not the one that we know",
    [
      { at: 0, read: BOTH },
      { at: 1, read: LOST },
    ],
    [],
  ],
  [
    "the family is not in force now",
    [
      { at: 0, read: BOTH },
      { at: 1, read: [] },
    ],
    [],
  ],
  [
    "the family was not in force for a while",
    [
      { at: 0, read: BOTH },
      { at: 1, read: [] },
      { at: 2, read: BOTH },
    ],
    [
      ["a", 7],
      ["b", 7],
    ],
  ],
  [
    "another backend counted nothing meanwhile",
    [
      { at: 0, read: BOTH },
      { at: 1, read: undefined },
      { at: 2, read: BOTH },
    ],
    [],
  ],
  [
    "an entry has gone",
    [
      { at: 0, read: BOTH },
      { at: 1, read: reading(1, { a: false }) },
    ],
    [["a", 7]],
  ],
  [
    "an entry has gone and come back",
    [
      { at: 0, read: BOTH },
      { at: 1, read: reading(1, { a: false }) },
      { at: 2, read: BOTH },
    ],
    [["a", 7]],
  ],
])("%s", ([, steps, expected]) => {
  expect(unaskedAfter(steps)).toEqual(expected);
});

test("an entry that was asked for, went and came back is new", () => {
  const steps = [
    { at: 0, read: ONLY_B },
    { at: 1, read: reading(1, { b: false }) },
    { at: DAY_MS, read: BOTH },
  ];
  expect(unaskedAfter(steps, DAY_MS + WEEK_MS)).toEqual([
    ["a", 7],
    ["b", 8],
  ]);
});

test("both families, not more than 100 entries", () => {
  const names = (prefix: string) =>
    Object.fromEntries(Array.from({ length: 99 }, (_, i) => [`${prefix}${i}`, false]));
  const [four] = reading(1, names("four "));
  const [six] = reading(1, names("six "));
  const read = [four, six].flatMap((one, i) =>
    one ? [{ ...one, family: i === 0 ? "IPv4" : "IPv6" } as const] : [],
  );
  const found = unaskedAfter([{ at: 0, read }]).map(([cidr]) => cidr);
  expect(found).toHaveLength(100);
  expect(found).toEqual(expect.arrayContaining(["four 98", "six 0"]));
});
