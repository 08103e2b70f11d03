import fc from "fast-check";
import { expect, test } from "vitest";
import { escapeText, html, listed, nothing } from "./html.ts";

test("what is put in is text, what html made is markup", () => {
  const name = `<b>&"'`;
  expect(
    html`<a title="${name}">${name} ${1}${html`<i>${name}</i>`}${nothing}${[html`<u></u>`, html`-`]}</a>`
      .markup,
  ).toBe(
    '<a title="&lt;b&gt;&amp;&quot;&#39;">&lt;b&gt;&amp;&quot;&#39; 1<i>&lt;b&gt;&amp;&quot;&#39;</i><u></u>-</a>',
  );
});

test("characters that control, or turn the reading direction, show that there was something", () => {
  expect(escapeText("a\u0000b\nc\u202ed\u2028e\ud800f\u200bg")).toBe("a�b�c�d�e�f�g");
});

test("a long text is cut", () => {
  expect(escapeText("x".repeat(400))).toHaveLength(400);
  expect(escapeText("x".repeat(401))).toBe(`${"x".repeat(400)}…`);
  expect(escapeText("&".repeat(1_000))).toBe(`${"&amp;".repeat(400)}…`);
});

test("no text whatever ends the text or an attribute", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 500 }), (text) => {
      const escaped = escapeText(text);
      expect(escaped).not.toMatch(/[<>"'\p{Cc}\p{Cf}]/u);
      expect(escaped.replaceAll(/&(?:amp|lt|gt|quot|#39);/g, "")).not.toContain("&");
    }),
  );
});

test("a long list has its first part and a count", () => {
  const list = (most: number) =>
    listed(
      ["a", "b", "c"],
      most,
      (one) => html`<${one}>`,
      (more) => html`+${more}`,
    ).markup;
  expect([list(3), list(2), list(0)]).toEqual(["<a><b><c>", "<a><b>+1", "+3"]);
});
