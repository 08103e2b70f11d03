/** Reading nf_tables by several questions, so that the answers are of one generation of the ruleset. */

import { isNotFound } from "../netlink/errors.ts";
import type { Nftables } from "../netlink/socket/transport.ts";

export interface SteadyReading<T> {
  /** The ruleset's generation before the first question. */
  readonly generation: number;
  readonly value: T;
  /** Whether nobody has committed in between. */
  readonly isSteady: boolean;
}

/** Reads until nobody commits meanwhile, or removes what is asked for. Where that never ends, the last reading has to do. */
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
