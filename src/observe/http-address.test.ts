import { expect, test } from "vitest";
import { hostPort, parseHttpAddress, reachable } from "./http-address.ts";

test.each([
  ["127.0.0.1:10279", "127.0.0.1", 10_279, "127.0.0.1:10279", "127.0.0.1:10279"],
  [":9000", "::", 9_000, "[::]:9000", "localhost:9000"],
  ["0.0.0.0:1", "0.0.0.0", 1, "0.0.0.0:1", "localhost:1"],
  ["[::1]:80", "::1", 80, "[::1]:80", "[::1]:80"],
  ["node-1.example:0", "node-1.example", 0, "node-1.example:0", "node-1.example:0"],
])("%s", (text, host, port, printed, client) => {
  const address = parseHttpAddress(text);
  expect(address).toEqual({ host, port });
  expect(address && hostPort(address)).toBe(printed);
  expect(address && hostPort(reachable(address))).toBe(client);
});

test.each([
  "",
  "127.0.0.1",
  "10279",
  "::1:80",
  "a:b",
  "a:65536",
  "a:-1",
  "a b:1",
  "http://a:1",
  "[a b]:1",
  "a:1\n",
])("%j is none", (text) => {
  expect(parseHttpAddress(text)).toBeUndefined();
});
