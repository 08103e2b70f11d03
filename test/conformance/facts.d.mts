type Content = string | { readonly base64: string };

/** What was recorded; `error` is null where that is not compared. */
export interface State {
  readonly exit: number | null;
  readonly error: boolean | null;
  readonly rulesV4: readonly string[];
  readonly rulesV6: readonly string[];
}

/** A line of `cases/AREA.jsonl`, as far as one pass in memory needs it. */
export interface Fact {
  readonly id: string;
  readonly flags?: readonly string[];
  readonly files?: Readonly<Record<string, Content>>;
  readonly expected: State;
}

export declare const FACTS: readonly Fact[];
export declare function isInMemory(fact: Fact): boolean;
