/** Reads nf_tables with several queries, so that the answers are of one generation of the ruleset. */

import { isNotFound } from "../netlink/errors.ts";
import type { Nftables } from "../netlink/socket/transport.ts";

export interface SteadyReading<T> {
  /** The ruleset's generation before the first query. */
  readonly generation: number;
  readonly value: T;
  /** Whether no process committed in between. */
  readonly isSteady: boolean;
}

/** Reads until no process commits meanwhile, or removes what it reads; after the last attempt, returns that reading. */
export async function readSteadily<T>(
  nftables: Nftables,
  read: (generation: number) => Promise<T>,
  attempts: number,
  signal: AbortSignal,
): Promise<SteadyReading<T>> {
  for (let attempt = 1; ; attempt++) {
    const generation = await nftables.generation(signal);
    try {
      const value = await read(generation);
      const isSteady = generation === (await nftables.generation(signal));
      if (isSteady || attempt === attempts) return { generation, value, isSteady };
    } catch (error) {
      if (!isNotFound(error) || attempt === attempts) throw error;
    }
  }
}
