import { describe, expect, test } from "vitest";
import { simulateNode } from "../../../test/lab/newest-node.ts";
import type { ConfigText } from "../config.ts";
import {
  type Content,
  contentOf,
  initialNewest,
  type Newest,
  type NewestEvent,
  stepNewest,
} from "./newest.ts";

/** A content that is known by its name. */
function content(hash: string): Content {
  return { hash, text: { kind: "file", files: [] } };
}

const api = (hash: string): NewestEvent => ({ kind: "api", content: content(hash) });
const file = (hash: string): NewestEvent => ({ kind: "file", content: content(hash) });
const unanswered = (hash: string): NewestEvent => ({ kind: "unanswered", file: content(hash) });

/** `A api`, then the older ones, and `?` where the API server is asked. */
function show(state: Newest, ask = false): string {
  const older = state.older.length === 0 ? "" : ` older ${state.older.join(" ")}`;
  return `${state.current.hash} ${state.current.from}${older}${ask ? " ?" : ""}`;
}

/** The states after each event, from a start with this file. */
function states(start: Newest, ...events: readonly NewestEvent[]): string[] {
  let state = start;
  return events.map((event) => {
    const step = stepNewest(state, event);
    state = step.state;
    return show(state, step.ask);
  });
}

const start = initialNewest(content("A"));

describe("the start", () => {
  test.each([
    ["no cache: the file", "A", undefined, "A file"],
    ["a cache that agrees", "A", { hash: "A", older: ["0"] }, "A file"],
    ["a file that the cache knows as old", "A", { hash: "B", older: ["A"] }, "B cache older A"],
    ["a file that the cache does not know: it is newer", "C", { hash: "B", older: ["A"] }, "C file"],
    ["a file that cannot be read", undefined, { hash: "B", older: [] }, "B cache"],
  ])("%s", (_name, shown, cache, expected) => {
    const remembered = cache && { ...content(cache.hash), older: cache.older };
    const state =
      shown === undefined
        ? initialNewest(undefined, remembered as never)
        : initialNewest(content(shown), remembered);
    expect(show(state)).toBe(expected);
  });
});

describe("events", () => {
  test.each<[string, readonly NewestEvent[], readonly string[]]>([
    ["the file follows the API server", [api("B"), file("B")], ["B api older A", "B api"]],
    [
      "the file lags by several edits",
      [api("B"), api("C"), file("B"), file("C")],
      ["B api older A", "C api older A B", "C api older A B", "C api"],
    ],
    [
      "a rollback, after which the file has caught up",
      [api("B"), file("B"), api("A"), file("A")],
      ["B api older A", "B api", "A api older B", "A api"],
    ],
    ["a rollback before the file has changed", [api("B"), api("A")], ["B api older A", "A api"]],
    ["a file that surprises: the API server knows more", [file("B"), api("B")], ["A file ?", "B api"]],
    ["a file that surprises, and nobody answers", [file("B"), unanswered("B")], ["A file ?", "B file"]],
    [
      "while nobody answers the file counts, back and forth",
      [file("B"), unanswered("B"), file("A"), unanswered("A")],
      ["A file ?", "B file", "B file ?", "A file"],
    ],
    [
      "an answer that comes while it is asked",
      [file("B"), api("B"), unanswered("B")],
      ["A file ?", "B api", "B api"],
    ],
    [
      "another ConfigMap in the file, by mistake",
      [api("B"), file("X"), api("B"), file("X")],
      ["B api older A", "B api older A ?", "B api older A X", "B api older A X"],
    ],
  ])("%s", (_name, events, expected) => {
    expect(states(start, ...events)).toEqual(expected);
  });

  test("the older ones are bounded", () => {
    let state = start;
    for (let i = 0; i < 1_200; i++) state = stepNewest(state, api(`v${i}`)).state;
    expect(state.older).toHaveLength(1_000);
    expect(state.older.at(-1)).toBe("v1198");
  });

  test("the same content keeps its bytes, and takes the name of its source", () => {
    const text = (source?: string): ConfigText => ({
      kind: "file",
      files: [{ path: source ?? "/c", bytes: new Uint8Array([1]) }],
      ...(source !== undefined && { source }),
    });
    const begun = initialNewest(contentOf(text()));
    const { state } = stepNewest(begun, { kind: "api", content: contentOf(text("configmap a/b (key c)")) });
    expect(state.current.text.files).toBe(begun.current.text.files);
    expect(state.current.text.source).toBe("configmap a/b (key c)");
  });
});

describe("contents", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const hashOf = (kind: ConfigText["kind"], ...files: readonly (readonly [string, string])[]) =>
    contentOf({ kind, files: files.map(([path, text]) => ({ path, bytes: bytes(text) })) }).hash;

  test("a file and a key with the same bytes are the same, whatever their names", () => {
    expect(hashOf("file", ["/etc/config/ip-masq-agent", "a: 1"])).toBe(
      hashOf("file", ["configmap kube-system/ip-masq-agent (key config)", "a: 1"]),
    );
  });

  test("in a directory the names count", () => {
    const mounted = hashOf("directory", ["/etc/config/ip-masq-a", "x"], ["/etc/config/ip-masq-b", "y"]);
    expect(mounted).toBe(
      hashOf("directory", ["configmap n/m (key ip-masq-a)", "x"], ["configmap n/o (key ip-masq-b)", "y"]),
    );
    expect(mounted).not.toBe(hashOf("directory", ["/e/ip-masq-a", "x"], ["/e/ip-masq-c", "y"]));
  });

  test("nothing, an empty file and an empty directory differ", () => {
    expect(new Set([hashOf("file"), hashOf("file", ["/c", ""]), hashOf("directory")]).size).toBe(3);
  });
});

/** `make prove` sets it to 100,000. */
const { EDITS: SET = "20000" } = process.env;
const EDITS = Number(SET);

describe(`a node through ${EDITS} edits, outages and restarts`, () => {
  test.each([1, 2, 3])("with a cache never goes back to an older text (seed %i)", (seed) => {
    const history = simulateNode({ edits: EDITS, seed, cache: true, kubelet: "watch" });
    expect(history.restarts).toBeGreaterThan(EDITS / 8);
    expect(history).toMatchObject({ stepsBack: 0 });
    expect(history.behind).toBeLessThan(0.03);
  });

  test("without a cache a restart within the kubelet's minute goes back, which shows that the simulation can", () => {
    expect(simulateNode({ edits: EDITS, seed: 1, cache: false, kubelet: "watch" }).stepsBack).toBeGreaterThan(
      0,
    );
  });

  test("with a kubelet that reads from a cache of its own it goes back rarely", () => {
    const { stepsBack } = simulateNode({ edits: EDITS, seed: 1, cache: true, kubelet: "ttl" });
    expect(stepsBack).toBeLessThan(EDITS / 1_000);
  });
});
