import fc from "fast-check";
import { expect, test } from "vitest";
import { readWord } from "./word.ts";

function read(word: string): string {
  const said = readWord(word);
  if (said.kind !== "host") return said.kind;
  const { host, isAddress, port, protocol } = said;
  return [isAddress ? "address" : "name", host, port, protocol].filter((one) => one !== undefined).join(" ");
}

test.each([
  ["10.1.2.3", "address 10.1.2.3"],
  ["10.1.2.3:5432", "address 10.1.2.3 5432"],
  ["fd00::1", "address fd00::1"],
  ["::", "address ::"],
  ["::ffff:10.1.2.3", "address ::ffff:10.1.2.3"],
  ["[fd00::1]", "address fd00::1"],
  ["[fd00::1]:443", "address fd00::1 443"],
  ["example.com", "name example.com"],
  ["example.com.:80", "name example.com. 80"],
  ["db:5432", "name db 5432"],
  ["_dns.example:65535", "name _dns.example 65535"],
  ["https://example.com/a?b=c:1#d", "name example.com 443 tcp"],
  ["HTTP://user:pw@10.1.2.3:8080", "address 10.1.2.3 8080 tcp"],
  ["postgres://db", "name db 5432 tcp"],
  ["udp://10.96.0.10:53", "address 10.96.0.10 53 udp"],
  ["https://[fd00::1]/", "address fd00::1 443 tcp"],
  ["10.0.0.0/8", "cidr"],
  ["example.com/path", "cidr"],
])("%s", (word, expected) => {
  expect(read(word)).toBe(expected);
});

test.each([
  // Each of these is an address for some programs, and not the same one for all.
  ["010.1.2.3", "perhaps 10.1.2.3"],
  ["10.1", "four numbers"],
  ["10", "four numbers"],
  ["0x7f.1", "four numbers"],
  ["0xa000001", "four numbers"],
  ["10.1.2.3.4", "four numbers"],
  ["256.1.2.3", "four numbers up to 255"],
  ["010.1.2.3:80", "perhaps 10.1.2.3"],
  ["http://010.1.2.3/", "perhaps 10.1.2.3"],
  ["http://10.1/", "four numbers"],
  ["10.1.2.3:0", "from 1 to 65535"],
  ["10.1.2.3:65536", "from 1 to 65535"],
  ["10.1.2.3:080", "from 1 to 65535"],
  ["10.1.2.3:http", "from 1 to 65535"],
  ["example.com:", "from 1 to 65535"],
  ["[fd00::1]:x", "from 1 to 65535"],
  ["[10.1.2.3]", "no IPv6 address"],
  ["[fd00::1", "not an address"],
  ["fe80::1%eth0", "not an address"],
  ["foo://example.com", "foo://example.com:PORT"],
  ["https://", "not an address"],
  ["", "not an address"],
  ["what is this", "not an address"],
])("%j is refused", (word, why) => {
  const said = readWord(word);
  expect(said).toMatchObject({ kind: "bad" });
  expect(said.kind === "bad" && said.why).toContain(why);
});

test("no word is taken for an address that the kernel would not read in the same way", () => {
  const part = fc.oneof(
    fc.nat(300).map(String),
    fc.nat(300).map((n) => `0${n}`),
    fc.nat(300).map((n) => `0x${n.toString(16)}`),
  );
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
      const said = readWord(parts.join("."));
      const isPlain =
        parts.length === 4 && parts.every((one) => String(Number(one)) === one && Number(one) < 256);
      expect(said.kind).toBe(isPlain ? "host" : "bad");
    }),
  );
});
