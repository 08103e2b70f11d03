/**
 * The stand-in for the API server as a process of its own, for an agent in another network namespace: on this port, from this
 * version on. It prints its credentials' directory and each object that a client writes, and edits the ConfigMap ip-masq-agent for
 * each line that it reads: its text as JSON, or null to delete it.
 */
import { createInterface } from "node:readline";
import { startApiServer } from "../api-server.ts";

const standIn = await startApiServer(Number(process.argv[2] ?? "6443"), Number(process.argv[3] ?? "1000"));
const { port, credentials, edit } = standIn;
const print = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
print({ port, credentials });
standIn.wrote = print;
createInterface({ input: process.stdin }).on("line", (line) => {
  const config = JSON.parse(line) as string | null;
  edit("ip-masq-agent", config === null ? undefined : { config });
});
