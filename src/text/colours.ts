/** Colours for people at a terminal; a file or a pipe gets plain text. */

type Paint = (text: string) => string;

export interface Colours {
  readonly red: Paint;
  readonly yellow: Paint;
  readonly green: Paint;
  readonly bold: Paint;
  readonly dim: Paint;
}

const PLAIN: Paint = (text) => text;

/** SGR codes: one that switches something on, and one that switches just that off. */
const CODES: Readonly<Record<keyof Colours, readonly [on: number, off: number]>> = {
  red: [31, 39],
  yellow: [33, 39],
  green: [32, 39],
  bold: [1, 22],
  dim: [2, 22],
};

/** Colours that do nothing unless `enabled`. */
export function createColours(enabled: boolean): Colours {
  const paint = (name: keyof Colours): Paint => {
    const [on, off] = CODES[name];
    return enabled ? (text) => `\u001b[${on}m${text}\u001b[${off}m` : PLAIN;
  };
  return {
    red: paint("red"),
    yellow: paint("yellow"),
    green: paint("green"),
    bold: paint("bold"),
    dim: paint("dim"),
  };
}

/** Whether output should be coloured: on a terminal that can, unless NO_COLOR (https://no-color.org) has any text. */
export function wantsColours(
  isTerminal: boolean,
  env: { readonly NO_COLOR?: string; readonly TERM?: string },
): boolean {
  return isTerminal && (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb";
}
