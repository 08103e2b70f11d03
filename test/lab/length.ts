/**
 * How long tests take: `make test` runs the cells of a table that show its kind, `make prove` (LENGTH=all) every combination of
 * variants, backends and versions.
 */
const { LENGTH } = process.env;

/** All cells of a table at length; otherwise those that are shown. */
export function cells<T>(all: readonly T[], isShown: (cell: T, index: number) => boolean): readonly T[] {
  return LENGTH === "all" ? all : all.filter(isShown);
}

/** How often something is done: in `make test`, and at length. */
export function times(shown: number, atLength: number): number {
  return LENGTH === "all" ? atLength : shown;
}
