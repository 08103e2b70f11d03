/** Random numbers that a seed repeats. */

/** Numbers from [0, 1), the same for a seed (a linear congruential generator, as in C's rand). */
export function generator(seed: number): () => number {
  let last = seed;
  return () => {
    last = (Math.imul(last, 1103515245) + 12345) & 0x7fffffff;
    return last / 0x80000000;
  };
}
