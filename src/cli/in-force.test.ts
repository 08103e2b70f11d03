import { expect, test } from "vitest";
import { initialStatus, type Status } from "../observe/status.ts";
import { whyNot } from "./in-force.ts";

const { config, ...rest } = initialStatus("v1", { name: "iptables", why: "--backend" }, 0);
const LINE = { inForce: true, cidrs: 1, lastChangeAt: null };
const inForce = (hash: string) => ({ source: "/c", hash, families: ["IPv4"] });

test.each<[string, Partial<Status["config"]>, Status["rules"], string | undefined]>([
  ["one that has read nothing", {}, {}, "it has not read it yet"],
  ["one that has it in force", { valid: true, hash: "a", inForce: inForce("a") }, { IPv4: LINE }, undefined],
  [
    "one that has read another",
    { valid: true, hash: "b", inForce: inForce("b") },
    { IPv4: LINE },
    "it has read a different text",
  ],
  [
    "one that refused the file",
    { valid: false, hash: "a", problems: ["c:1:1: bad"], inForce: inForce("b") },
    { IPv4: LINE },
    "c:1:1: bad",
  ],
  [
    "one that refused another file since, and has this one in force",
    { valid: false, hash: "b", problems: ["c:1:1: bad"], inForce: inForce("a") },
    { IPv4: LINE },
    undefined,
  ],
  [
    "one of whose families one failed",
    { valid: true, hash: "a", inForce: inForce("a") },
    { IPv4: LINE, IPv6: { ...LINE, inForce: false } },
    "its rules for IPv6 are not in force",
  ],
  ["an older one that has accepted it", { valid: true, hash: "a" }, { IPv4: LINE }, undefined],
  ["an older one that refused it", { valid: false, hash: "a", problems: ["bad"] }, { IPv4: LINE }, "bad"],
])("%s", (_, fields, rules, why) => {
  const { inForce: __, ...older } = config;
  const status = { ...rest, config: { ...older, ...fields }, rules };
  expect(whyNot(status, "a")).toBe(why);
});
