import { expect, test } from "vitest";
import { kernelFailure, NetlinkUnavailable } from "../netlink/errors.ts";
import type { AddressEvents } from "../route/address-events.ts";
import { type ListedAddresses, listedAddresses } from "../system/node-addresses.ts";
import { createAddressWatch } from "./address-watch.ts";

/** A kernel that tells of changes, or does not. */
function subject(failure?: Error) {
  const state = { changes: 0, open: 0, said: [] as string[], sleeps: [] as number[], address: 1n, known: 1n };
  let events: AddressEvents | undefined;
  const end = new AbortController();
  const world = {
    async listen(now: AddressEvents) {
      if (failure !== undefined) throw failure;
      events = now;
      state.open++;
      return { close: () => void state.open-- };
    },
    read: async () =>
      listedAddresses([{ family: "ip", address: state.address, link: 1, scope: 0, flags: 0 }], true),
    knows: ({ all }: ListedAddresses) => all.IPv4.has(state.known),
    async sleep(ms: number) {
      state.sleeps.push(ms);
      // The second time there is another address, of which a pass learns before it is gone again.
      if (state.sleeps.length === 2) state.known = 2n;
      if (state.sleeps.length === 5) end.abort();
      await new Promise((resolve) => setImmediate(resolve));
    },
    say: (line: string) => void state.said.push(line),
  };
  const changed = () => {
    state.changes++;
    state.known = state.address;
  };
  const watch = createAddressWatch(changed, world, end.signal);
  return { state, watch, end, told: () => events };
}

const settled = async () => {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
};

test("nothing is open before it is wanted, and nothing when it no longer is", async () => {
  const { state, watch, told } = subject();
  watch.follow(false);
  await settled();
  expect(state).toMatchObject({ open: 0, changes: 0 });
  watch.follow(true);
  watch.follow(true);
  await settled();
  // What happened before was not told of.
  expect(state).toMatchObject({ open: 1, changes: 1 });
  told()?.changed();
  expect(state.changes).toBe(2);
  watch.follow(false);
  await settled();
  expect(state).toMatchObject({ open: 0, changes: 2, said: [] });
  watch.follow(true);
  await settled();
  expect(state).toMatchObject({ open: 1, changes: 3 });
});

test.each([
  ["without the addon", new NetlinkUnavailable("linux-x64", new Error("no such file")), "no netlink sockets"],
  [
    "where the kernel refuses",
    kernelFailure(-12, "listening to rtnetlink"),
    "listening to rtnetlink: ENOMEM",
  ],
])("%s the list is read each second, and compared with what passes know", async (_what, failure, words) => {
  const { state, watch } = subject(failure);
  watch.follow(true);
  await settled();
  expect(state.said).toEqual([expect.stringContaining(words)]);
  expect(state.said[0]).toContain("reading the node's addresses every 1 s instead");
  expect(state.sleeps).toEqual([1_000, 1_000, 1_000, 1_000, 1_000]);
  expect(state.changes).toBe(1);
});

test("a socket that fails is replaced by reading", async () => {
  const { state, watch, told } = subject();
  watch.follow(true);
  await settled();
  told()?.lost(kernelFailure(-9, "receiving from rtnetlink"));
  await settled();
  expect(state.open).toBe(0);
  expect(state.said).toEqual([expect.stringMatching(/^receiving from rtnetlink: EBADF.*every 1 s instead$/)]);
});
