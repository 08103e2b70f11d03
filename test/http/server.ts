/** The server on a port of the system's choice. */

import { get } from "node:http";
import type { Routes } from "../../src/observe/reply.ts";
import { serve } from "../../src/observe/server.ts";

export interface Served {
  readonly port: number;
  readonly stop: () => void;
}

/** Serves the routes; a warning is an error here. */
export async function startServer(routes: Routes): Promise<Served> {
  const controller = new AbortController();
  const port = await new Promise<number>((resolve) => {
    const log = {
      info: (text: string) => resolve(Number(/:(\d+)$/.exec(text)?.[1])),
      warning: (text: string) => {
        throw new Error(text);
      },
    };
    void serve("127.0.0.1:0", routes, { log, sleep: async () => {} }, controller.signal);
  });
  return { port, stop: () => controller.abort() };
}

/** The status that a path is answered with, on a connection of its own. */
export function statusOf(port: number, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = get({ port, host: "127.0.0.1", path, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    asked.on("error", reject);
  });
}
