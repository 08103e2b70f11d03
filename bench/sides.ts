/** The agents that are measured side by side. */

export interface Side {
  /** Empty if there is only one. */
  readonly name: string;
  /** Starts the agent: Node and the bundle. */
  readonly command: readonly string[];
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
