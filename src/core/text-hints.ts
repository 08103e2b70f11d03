/**
 * Text that looks right but is not: templates, characters from word processors, tabs; and YAML's and JSON's errors in
 * plain words.
 */
import { knownKey } from "./keys.ts";

/** How templates name their variables. */
const TEMPLATES: readonly RegExp[] = [
  /\{\{[^{}\n]{0,200}\}?\}?/,
  /[<{]%[^%\n]{0,200}%[>}]/,
  /%\{[^{}\n]{0,200}\}/,
  /[$#]\{[^{}\n]{0,200}\}#?/,
  /\$\(?[A-Za-z_]\w{0,99}\)?/,
  /<[A-Za-z][^<>\n]{0,99}>/,
  /%[A-Za-z_]\w{0,99}%/,
  /@@?[A-Za-z_][\w.]{0,99}@@?/,
  /\b__[A-Za-z]\w{0,99}__/,
  /!(?:Ref|Sub|GetAtt|ImportValue|Join|reference)\b[^\n]{0,99}/,
  /\b(?:CHANGE|REPLACE|FILL)[_-]?(?:ME|THIS)\b/i,
  /\bYOUR[_-]\w{1,99}/i,
];

/** Characters that look like others, their names, and their replacements. */
const LOOKALIKES: readonly { readonly found: RegExp; readonly name: string; readonly write: string }[] = [
  { found: /[\u00a0\u2007\u202f]/gu, name: "a no-break space", write: " " },
  { found: /[\u1680\u2000-\u2006\u2008-\u200a\u205f\u3000]/gu, name: "an unusual space", write: " " },
  {
    found: /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]/gu,
    name: "an invisible character",
    write: "",
  },
  { found: /[\u00ab\u00bb\u201c-\u201f\uff02\u301d\u301e]/gu, name: "a typographic quote", write: '"' },
  { found: /[\u00b4\u2018-\u201b\uff07]/gu, name: "a typographic quote", write: "'" },
  { found: /[\u2010-\u2015\u2212\uff0d]/gu, name: "a dash that is not a hyphen", write: "-" },
  { found: /[\u3001\u3002\u2044\u2215]/gu, name: "a character that only looks like punctuation", write: "" },
  { found: /[\uff01-\uff5e]/gu, name: "a full-width character", write: "" },
];

/** Longer than the words and marks that hints know. */
const WORD = 8;
/** The number of characters that hints look at. */
const LOOKED_AT = 1_000;

/** The beginning of a page or of an answer that a server sent in place of the file. */
const PAGE = /^(?:\s|<!--[\s\S]{0,500}?-->)*<(?:!doctype\s+html|html|head|body|title|meta|script|style)\b/i;
const XML = /^(?:\s|<!--[\s\S]{0,500}?-->)*<(?:\?xml|[a-z][\w:.-]*\s+xmlns\b|Error><Code>)/i;

/** Tells a saved web page or an XML answer from a configuration. */
export function pageHint(text: string): string | undefined {
  const start = text.slice(0, LOOKED_AT);
  if (PAGE.test(start)) return "this is a web page (HTML), such as a sign-in or error page, not the file";
  return XML.test(start) ? "this is XML, such as a server's error message, not the file" : undefined;
}

/** Names the template in a text that was not rendered. */
export function templateHint(text: string): string | undefined {
  const start = text.slice(0, LOOKED_AT);
  const found = TEMPLATES.map((template) => template.exec(start)?.[0]).find((one) => one !== undefined);
  return found === undefined ? undefined : `a template was not rendered: ${found.trim()}`;
}

const LINE_ESCAPE = "\\n does not begin a line here: begin a real one for each";
const QUOTE_ESCAPE = "remove the backslashes before the quotes";

/** Escapes of a text in quotes, which lost its quotes on the way (Helm, shells, `kubectl -o jsonpath`). */
export function escapeHint(text: string): string | undefined {
  const start = text.slice(0, LOOKED_AT);
  if (/\\n/.test(start)) return LINE_ESCAPE;
  return /\\"/.test(start) ? QUOTE_ESCAPE : undefined;
}

/** A line or a text that begins with a comment of other languages. */
export function commentHint(text: string): string | undefined {
  return /^\s*(?:\/\/|\/\*)/.test(text) ? "a comment in YAML begins with #" : undefined;
}

/** Names the first character that looks like another. */
export function lookalikeHint(text: string): string | undefined {
  const start = text.slice(0, LOOKED_AT);
  for (const { found, name, write } of LOOKALIKES) {
    const [character] = start.match(found) ?? [];
    if (character === undefined) continue;
    const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    const instead = write === " " ? ": write plain spaces" : write === "" ? "" : `: write ${write}`;
    return `${name} (U+${code}) is here${instead}`;
  }
  return undefined;
}

/** The text with the intended characters. */
export function withoutLookalikes(text: string): string {
  return LOOKALIKES.reduce(
    (plain, { found, write }) =>
      plain.replace(found, (character) =>
        write === "" ? character.normalize("NFKC").replace(/[^!-~]/gu, "") : write,
      ),
    text,
  );
}

/** YAML's and JSON's errors by their messages, with advice. */
const SYNTAX: readonly (readonly [RegExp, string])[] = [
  [/could not find expected ':'/, 'a key needs ": " after it, with a space, and an entry "- " before it'],
  [
    /mapping values are not allowed/,
    "this line is indented deeper than the one above, or a value with a colon needs quotes",
  ],
  [
    /did not find expected '-' indicator/,
    "there is a key among the entries of a list: indent it like the other keys; exceptions from nonMasqueradeCIDRs go into masqueradeCIDRs",
  ],
  [/did not find expected key/, "this line's indentation differs from the lines above it"],
  [
    /did not find expected ',' or '\]'/,
    "a list that begins with [ needs commas between its entries, and ] at its end",
  ],
  [
    /did not find expected ',' or '\}'/,
    "a map that begins with { needs commas between its members, and } at its end",
  ],
  [/incompatible YAML document|unknown directive/, "only YAML 1.1 is supported: remove this line"],
  [/unexpected end of stream/, "a quote is not closed"],
  [/invalid map key/, "braces make a map: put quotes around text with braces"],
  [/unknown anchor|alphabetic or numeric/, "a value that begins with * or & needs quotes"],
  [
    /cannot start any token [|>]/,
    'text after | or > cannot be inside braces or brackets: write "key: |" on a line of its own, without them',
  ],
  [
    /did not find expected comment or line break/,
    "the text after | or > begins on the next line, indented deeper than its key",
  ],
  [/cannot start any token ```/, "this is Markdown's mark around code: remove the lines with ```"],
  [/cannot start any token `/, "a value cannot begin with a backtick: write quotes, or nothing"],
  [/cannot start any token/, "a value that begins with this character needs quotes"],
  [/character '[/#]' looking/, "JSON has no comments: remove them"],
  [/character '\\'' looking/, "JSON needs double quotes"],
  [/object key string \\n/, LINE_ESCAPE],
  [/object key string \\"/, QUOTE_ESCAPE],
  [/object key string/, "text that begins with { is read as JSON, whose keys need double quotes"],
  [
    /beginning of value(?: true| false| null| none)(?![a-z])/i,
    "JSON has true, false and null in small letters",
  ],
  [/beginning of value|character '[A-Za-z]' after (?:array|object)/, "text needs double quotes in JSON"],
  [/after (?:array element|object key)/, "a comma, colon, bracket or brace is missing before this place"],
  [/after top-level value/, "this is after the end of the JSON text: remove it"],
  [/unexpected end of JSON/, "the text ends before every quote, bracket and brace is closed"],
  [/in string literal/, "a quote is not closed on its line"],
];

/** The marks that git writes around lines that it could not merge. */
const CONFLICT = /^(?:<{7} |={7}\r?$|>{7} )/m;
/** Words that end a here-document, but not where they are indented. */
const HEREDOC = /^\s*(?:EOF|EOT|EOL|END|YAML)\s*$/;
/** A key without its colon: the parser reads its line as text, and fails at the next one. */
const BARE_KEY = /^[ \t]*(\w{1,64})(?::(?=\S)|(?=[ \t]|$))/;

/** Two keys on one line, such as `data: config: |`. */
const TWO_KEYS = /^[ \t]*(?:- +)?[\w.-]{1,64}: +[\w.-]{1,64}:$/;

/** A key before `from` that has no colon with a space, so that all lines from there on are one text. */
function bareKeyHint(text: string, from: number): string | undefined {
  const before = text
    .slice(Math.max(0, from - LOOKED_AT), from)
    .split("\n")
    .reverse();
  const line = before.find((one) => /^[ \t]*\w/.test(one)) ?? "";
  const [, word = ""] = BARE_KEY.exec(line) ?? [];
  if (/^[ \t]*[\w.-]{1,64}:[|>]/.test(line)) return 'put a space between ":" and "|" above';
  return knownKey(word) === undefined ? undefined : `put ": ", a colon with a space, after ${word} above`;
}

function lastLine(text: string): string {
  const lines = text.trimEnd();
  return lines.slice(lines.lastIndexOf("\n") + 1);
}

/** The likely fault at `at`, where a parser rejected the text with `message`. */
export function syntaxHint(message: string, text: string, at: number): string | undefined {
  const page = pageHint(text);
  if (page !== undefined) return page;
  const from = text.slice(Math.max(0, at - LOOKED_AT), at).search(/[^\r\n]*$/) + Math.max(0, at - LOOKED_AT);
  const line = /^[^\r\n]{0,1000}/.exec(text.slice(from, from + LOOKED_AT))?.[0] ?? "";
  if (text[at] === "\t" || /^ *\t/.test(line)) return "there is a tab here: write spaces";
  const before = text.slice(Math.max(0, at - LOOKED_AT), at).trimEnd();
  if (/^invalid character '[\]}]'/.test(message) && before.endsWith(","))
    return "there is a comma after the last entry: remove it";
  const comment = message.startsWith("yaml: ")
    ? (commentHint(line) ?? commentHint(lastLine(text.slice(0, from).slice(-LOOKED_AT))))
    : undefined;
  if (comment !== undefined) return comment;
  if (CONFLICT.test(text.slice(Math.max(0, at - LOOKED_AT), at + LOOKED_AT)))
    return "a merge left conflict marks in the file: choose one side, and remove <<<<<<<, ======= and >>>>>>>";
  if (HEREDOC.test(line) && /':'/.test(message))
    return "the end marker of a here-document is in the file: remove this line";
  const bare = /mapping values/.test(message) ? bareKeyHint(text, from) : undefined;
  if (bare !== undefined) return bare;
  if (/mapping values/.test(message) && TWO_KEYS.test(text.slice(from, at + 1)))
    return "write the second key on a line of its own, indented deeper than the first";
  if (/^ *-[^-\s]/.test(line) && /':'/.test(message))
    return 'put a space after the dash, as in "- 10.0.0.0/8"';
  // A comment is never the cause of the parser's error.
  const code = message.startsWith("yaml: ") ? line.replace(/(?<=^|\s)#.*$/, "") : line;
  return (
    templateHint(code) ??
    lookalikeHint(code) ??
    (code.includes('"') ? undefined : escapeHint(code)) ??
    SYNTAX.find(([pattern]) => pattern.test(`${message} ${text.slice(at, at + WORD)}`))?.[1]
  );
}
