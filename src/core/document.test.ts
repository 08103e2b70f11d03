import { expect, test } from "vitest";
import { parseDocument } from "./document.ts";

test("a failure of the reader is a problem of the file, with its place and what to do", () => {
  expect(parseDocument(new TextEncoder().encode("{"), "/etc/x")).toEqual({
    ok: false,
    problems: [
      {
        code: "syntax",
        path: "/etc/x",
        line: 1,
        column: 2,
        message: "unexpected end of JSON input",
        hint: "the text ends before every quote, bracket and brace is closed",
      },
    ],
  });
});

test("bytes that are no text get no hint of syntax", () => {
  expect(parseDocument(new Uint8Array([0x61, 0x0a, 0x0a, 0x2d, 0xff]), "/etc/x")).toEqual({
    ok: false,
    problems: [{ code: "encoding", path: "/etc/x", line: 3, column: 2, message: "yaml: not valid UTF-8" }],
  });
});
