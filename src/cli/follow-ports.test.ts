import { expect, test } from "vitest";
import type { ParsedPorts } from "../core/ports.ts";
import { followPorts } from "./follow-ports.ts";

const range = (first: number, last: number) => ({ first: BigInt(first), last: BigInt(last) });
const good = (...ranges: ReturnType<typeof range>[]): ParsedPorts => ({ ok: true, ranges });
const BAD: ParsedPorts = { ok: false, message: "no port left" };

test("ports of a flag never change, and nothing is read", () => {
  const ranges = [range(1, 2)];
  const never = () => {
    throw new Error("read");
  };
  const ports = followPorts("1-2", ranges, { info: never, warning: never }, never);
  expect(ports()).toBe(ranges);
});

test("local ones follow what is read; what cannot be read changes nothing and is said once", () => {
  const said: string[] = [];
  const log = { info: (text: string) => said.push(text), warning: (text: string) => said.push(`W ${text}`) };
  let found = good(range(32_768, 60_999));
  const initial = [range(32_768, 60_999)];
  const ports = followPorts("local", initial, log, () => found);
  expect(ports()).toBe(initial);
  found = good(range(40_000, 49_999), range(50_001, 50_001));
  const changed = ports();
  expect(changed).toHaveLength(2);
  found = good(range(40_000, 49_999), range(50_001, 50_001));
  expect(ports()).toBe(changed);
  found = BAD;
  expect([ports(), ports()]).toEqual([changed, changed]);
  found = good(range(40_000, 49_999), range(50_001, 50_001));
  ports();
  found = BAD;
  ports();
  expect(said).toEqual([
    "--to-ports=local: 32768-60999, 28232 ports, 44 % of what the kernel would take",
    "--to-ports=local: 40000-49999,50001, 10001 ports, 16 % of what the kernel would take",
    "W --to-ports=local: no port left; the last ports stay",
    "W --to-ports=local: no port left; the last ports stay",
  ]);
});
