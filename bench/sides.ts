/** The agents that are measured side by side, and how much is measured. */

export interface Side {
  /** Empty if there is only one. */
  readonly name: string;
  /** The Node and the bundle of the agent. */
  readonly node: string;
  readonly bundle: string;
}

/** What a subject gets from the command line. */
export interface Run {
  readonly sides: readonly [Side, ...Side[]];
  /** For figures to publish. */
  readonly full: boolean;
  /** Of each reaction. */
  readonly trials: number | undefined;
  /** Lengths of the list. */
  readonly sizes: readonly number[] | undefined;
  /** For files of the run's own. */
  readonly directory: string;
}

/** A title with the side's name, if there are two. */
export function titled(title: string, { name }: Side): string {
  return name === "" ? title : `${title}, ${name}`;
}

/** All sides, beginning with another one in each round. */
export function inTurn<T>(sides: readonly T[], round: number): readonly T[] {
  const first = round % sides.length;
  return [...sides.slice(first), ...sides.slice(0, first)];
}
