import { expect, test } from "vitest";
import { letThrough } from "../../test/lab/bpf.ts";
import { closeMessage, createWriter, openMessage, putBytes, written } from "../netlink/attributes.ts";
import { addressFilter } from "./address-events.ts";

/** A message with an address of this scope, as the kernel tells of one. */
function told(type: number, scope: number, family = 2): Uint8Array {
  const writer = createWriter();
  const start = openMessage(writer, { type, flags: 0, sequence: 0, family, resource: scope });
  // The link's index, which ends the header, and an attribute.
  writer.view.setUint32(writer.length, 7, true);
  writer.length += 4;
  putBytes(writer, 1, new Uint8Array(4));
  closeMessage(writer, start);
  return written(writer);
}

test.each([
  ["a new address", told(20, 0), true],
  ["a new IPv6 address", told(20, 0, 10), true],
  ["an address that has gone", told(21, 0), true],
  ["a link-local address", told(20, 253, 10), false],
  ["a link-local address that has gone", told(21, 253, 10), false],
  ["an address of loopback", told(20, 254), false],
  ["a site-local address", told(20, 200, 10), false],
  ["a new link", told(16, 0), false],
  ["a new route", told(24, 0), false],
  ["a question", told(22, 0), false],
  ["a type whose bytes are swapped", told(20 << 8, 0), false],
  ["a message without a header of its own", told(20, 0).subarray(0, 16), false],
])("the filter of addresses: %s", (_what, message, isWanted) => {
  expect(letThrough(addressFilter(), message)).toBe(isWanted ? 24 : 0);
});
