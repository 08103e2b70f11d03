import { expect, test } from "vitest";
import { hostPort, isLoopback, isOwnName, parseHttpAddress, reachable } from "./address.ts";

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

test.each([
  ["127.0.0.1", true],
  ["127.9.9.9", true],
  ["::ffff:127.0.0.1", true],
  ["::1", true],
  ["localhost", true],
  ["::", false],
  ["0.0.0.0", false],
  ["10.0.0.1", false],
  ["127.0.0.1.example", false],
  ["", false],
])("%j is a loopback address: %s", (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});

test.each([
  ["127.0.0.1:10279", true],
  ["127.0.0.1", true],
  ["192.0.2.1:1", true],
  ["[::1]:10279", true],
  ["[::1]", true],
  ["localhost:10279", true],
  ["LocalHost", true],
  ["attacker.example:10279", false],
  ["127.0.0.1.attacker.example", false],
  ["localhost.attacker.example", false],
  ["[attacker]", false],
  ["::1", false],
  ["127.1", false],
  ["", false],
])("a request for %j is meant for this machine: %s", (header, expected) => {
  expect(isOwnName(header)).toBe(expected);
});
