/** Reports over TLS to a stand-in for the API server: whatever it or a proxy answers is one sentence, and the next try. */
import { rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { test as base, describe, expect } from "vitest";
import { createLeaseReport, type LeaseReportWorld } from "../../../src/agent/fleet/lease-report.ts";
import type { PassOutcome } from "../../../src/agent/reconcile.ts";
import { OTHER_CA, refuse, type StandIn, startApiServer } from "../../lab/api-server.ts";
import { recordedLog } from "../../lab/log.ts";
import { eventually } from "../../lab/network/lab.ts";

const LEASE = "ip-masq-agent-node-17";
const AT = Date.UTC(2026, 10, 26, 22, 18, 21);
const MAP = { namespace: "kube-system", name: "ip-masq-agent", uid: "u", version: "4711" };
const PROBLEM =
  'configmap kube-system/ip-masq-agent (key config):2:5: nonMasqueradeCIDRs[0]: CIDR "10.1.0.0/8" is not aligned';

/** A pass that has seen a configuration in force, or has refused one. */
function pass(hash: string, problem?: string): PassOutcome {
  return {
    startedAt: 0,
    config: { problems: problem === undefined ? [] : [problem], failed: false },
    current: { hash },
    errors: [],
    groups: [{ label: "IPv4", inForce: true }],
    healed: [],
  } as unknown as PassOutcome;
}

interface Report {
  readonly tell: (outcome: PassOutcome) => void;
  readonly counts: () => object;
  /** The seconds of the pauses, none of which is made. */
  readonly pauses: readonly number[];
  readonly lines: () => readonly string[];
}

interface Place {
  readonly standIn: StandIn;
  readonly report: (more?: Partial<LeaseReportWorld>) => Report;
}

/** Uses reports to a server, and ends both. */
async function inPlace(standIn: StandIn, use: (report: Place["report"]) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const { port, credentials } = standIn;
  const server = { host: "127.0.0.1", port: String(port), credentials };
  const report: Place["report"] = (more = {}) => {
    const { log, taken } = recordedLog();
    const pauses: number[] = [];
    const world: LeaseReportWorld = {
      located: { ok: true, server, namespace: "kube-system", maps: [] },
      identity: { node: "node-17", pod: { name: "agent-x", uid: "uid-x" } },
      version: "v0.2.0",
      backend: () => "nftables",
      configMaps: () => [MAP],
      epoch: () => AT,
      random: () => 0.5,
      log,
      closed: () => {},
      sleep(ms) {
        pauses.push(ms / 1_000);
        return new Promise((done) => setImmediate(done));
      },
      ...more,
    };
    const { after, counts } = createLeaseReport(world, controller.signal);
    return { tell: (outcome) => after(outcome, 0), counts, pauses, lines: taken };
  };
  try {
    await use(report);
  } finally {
    controller.abort();
    await standIn.close();
  }
}

const test = base.extend<{ place: Place }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads what a fixture needs from here
  place: async ({}, use) => {
    const standIn = await startApiServer();
    await inPlace(standIn, (report) => use({ standIn, report }));
  },
});

/** Answers this many requests so. */
function answering(standIn: StandIn, count: number, answer: (response: ServerResponse) => void): void {
  let left = count;
  standIn.answer = (_request, response) => {
    if (left-- <= 0) return false;
    answer(response);
    return true;
  };
}

describe("objects", () => {
  test("a Lease that is the pod's, by server-side apply; again only when something changes", async ({
    place,
  }) => {
    const { standIn, report } = place;
    const { tell, counts } = report();
    tell(pass("3f2a91c0d4e5b617"));
    await eventually(() => expect(standIn.written.get(LEASE)).toBeDefined());
    expect(standIn.written.get(LEASE)).toMatchInlineSnapshot(`
      {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
          "annotations": {
            "ip-masq-agent/backend": "nftables",
            "ip-masq-agent/resource-version": "4711",
            "ip-masq-agent/version": "v0.2.0",
          },
          "labels": {
            "ip-masq-agent/config": "3f2a91c0d4e5b617",
            "ip-masq-agent/state": "ok",
            "k8s-app": "ip-masq-agent",
          },
          "name": "ip-masq-agent-node-17",
          "namespace": "kube-system",
          "ownerReferences": [
            {
              "apiVersion": "v1",
              "kind": "Pod",
              "name": "agent-x",
              "uid": "uid-x",
            },
          ],
        },
        "spec": {
          "holderIdentity": "node-17",
          "renewTime": "2026-11-26T22:18:21.000000Z",
        },
      }
    `);
    for (let i = 0; i < 3; i++) tell(pass("3f2a91c0d4e5b617"));
    tell(pass("5024382fb417fe1f"));
    await eventually(() => expect(JSON.stringify(standIn.written.get(LEASE))).toContain("5024382fb417fe1f"));
    expect(standIn.seen.map(({ kind, query }) => `${kind} ${query}`)).toEqual(
      Array(2).fill("PATCH fieldManager=ip-masq-agent&force=true"),
    );
    await eventually(() => expect(counts()).toEqual({ written: 2, refused: 0, failed: 0 }));
  });

  test("a configuration that is refused is one Event for all nodes, and the Lease is good again after it", async ({
    place,
  }) => {
    const { standIn, report } = place;
    const nodes = ["node-17", "node-18", "node-19"].map((node) =>
      report({ identity: { node, pod: undefined } }),
    );
    for (const { tell } of nodes) tell(pass("3f2a91c0d4e5b617", PROBLEM));
    const events = () => [...standIn.written.values()].filter(({ kind }) => kind === "Event");
    await eventually(() => {
      expect(standIn.written.size).toBe(4);
      for (const { counts } of nodes) expect(counts()).toEqual({ written: 2, refused: 0, failed: 0 });
    });
    expect(events()).toMatchInlineSnapshot(`
      [
        {
          "apiVersion": "v1",
          "count": 1,
          "firstTimestamp": "2026-11-26T22:18:21Z",
          "involvedObject": {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "ip-masq-agent",
            "namespace": "kube-system",
            "resourceVersion": "4711",
            "uid": "u",
          },
          "kind": "Event",
          "lastTimestamp": "2026-11-26T22:18:21Z",
          "message": "refused by some nodes: (key config):2:5: nonMasqueradeCIDRs[0]: CIDR "10.1.0.0/8" is not aligned",
          "metadata": {
            "name": "ip-masq-agent.dc198034b0beab11",
            "namespace": "kube-system",
          },
          "reason": "ConfigRefused",
          "reportingComponent": "ip-masq-agent",
          "reportingInstance": "ip-masq-agent",
          "source": {
            "component": "ip-masq-agent",
          },
          "type": "Warning",
        },
      ]
    `);
    const lease = standIn.written.get(LEASE);
    expect(lease?.metadata).toMatchObject({
      labels: { "ip-masq-agent/state": "refused", "ip-masq-agent/config": "3f2a91c0d4e5b617" },
      annotations: { "ip-masq-agent/why": PROBLEM },
    });
    nodes[0]?.tell(pass("5024382fb417fe1f"));
    await eventually(() =>
      expect(JSON.stringify(standIn.written.get(LEASE)?.metadata)).toContain('/state":"ok"'),
    );
    expect(JSON.stringify(standIn.written.get(LEASE))).not.toContain("why");
  });

  test("the Event of a version that is still refused is there again after the API server has forgotten it", async ({
    place: { standIn, report },
  }) => {
    let minutes = 0;
    const nodes = ["node-17", "node-18", "node-19"].map((node) =>
      report({ identity: { node, pod: undefined }, epoch: () => AT + minutes * 60_000 }),
    );
    const refuseAt = (minute: number) => {
      minutes = minute;
      for (const { tell } of nodes) tell(pass("3f2a91c0d4e5b617", PROBLEM));
    };
    const posts = () => standIn.seen.filter(({ kind }) => kind === "POST").length;
    const written = async (each: number) => {
      for (const { counts } of nodes)
        await eventually(() => expect(counts()).toEqual({ written: each, refused: 0, failed: 0 }));
    };
    // The Lease, and the Event, which one node writes and the others find there.
    refuseAt(0);
    await written(2);
    const [[name = "", first] = []] = [...standIn.written].filter(([, { kind }]) => kind === "Event");
    standIn.written.delete(name);
    for (const minute of [1, 59, 65]) refuseAt(minute);
    refuseAt(66);
    await written(3);
    expect(posts()).toBe(6);
    const again = { firstTimestamp: "2026-11-26T22:18:21Z", lastTimestamp: "2026-11-26T23:24:21Z", count: 2 };
    expect(standIn.written.get(name)).toEqual({ ...first, ...again });
    // Another version has a name and a time of its own; none is refused any more.
    nodes[0]?.tell(pass("5024382fb417fe1f"));
    minutes = 300;
    nodes[0]?.tell(pass("5024382fb417fe1f"));
    await eventually(() => expect(nodes[0]?.counts()).toMatchObject({ written: 4 }));
    expect(posts()).toBe(6);
  });

  test("without --config-map there is no object for an Event to be about", async ({ place }) => {
    const { standIn, report } = place;
    const { tell } = report({ configMaps: () => [] });
    tell(pass("3f2a91c0d4e5b617", "/etc/config/ip-masq-agent:2:5: no"));
    await eventually(() => expect(standIn.written.size).toBe(1));
    expect(JSON.stringify(standIn.written.get(LEASE))).not.toContain("resource-version");
  });
});

/** The line about a failure. */
const cannot = (why: string) =>
  `W cannot report to lease kube-system/${LEASE}: ${why}; retrying, rules do not wait for it`;
const REPORTING = `I reporting to lease kube-system/${LEASE}`;

describe("whatever is answered", () => {
  const status =
    (code: number, headers: object = {}) =>
    (response: ServerResponse) =>
      refuse(response, code, "why", headers);
  const notOurs = "the answer is not that of an API server:";

  test.each<[string, (response: ServerResponse) => void, string, number?]>([
    [
      "no Role",
      status(403),
      "403 Forbidden: why; it needs a Role with create and patch on leases, and create on events, as in deploy/kustomize/components/lease-report",
    ],
    ["an expired token", status(401), "401 Unauthorized: why; is the token of this cluster?"],
    ["a policy", status(422), "422 Unprocessable Entity: why; is it refused by a policy?"],
    ["a conflict", status(409), "409 Conflict: why"],
    ["a server that is busy", status(429, { "retry-after": "7" }), "429 Too Many Requests: why", 7],
    ["a server that is ill", status(503), "503 Service Unavailable: why"],
    ["garbage", (response) => response.end("\u0001{"), `${notOurs} \\x01{`],
    ["a proxy's page as a success", (response) => response.end("<html>\nLog in"), `${notOurs} <html> Log in`],
    [
      "a proxy's page as a failure",
      (response) => response.writeHead(502).end("<html>\nBad gateway"),
      "502 Bad Gateway: <html> Bad gateway",
    ],
    [
      "10 MiB",
      (response) => response.end("x".repeat(10 * 1024 * 1024)),
      `${notOurs} ${"x".repeat(80)}... (10485680 characters more)`,
    ],
    ["a connection that breaks", (response) => response.socket?.destroy(), "socket hang up"],
    ["silence", () => {}, "no answer within 0.2 s"],
  ])("%s is a sentence after the second time, and tried again", async (name, answer, why, pauseS = 1.2) => {
    const standIn = await startApiServer();
    answering(standIn, 3, answer);
    await inPlace(standIn, async (report) => {
      const { tell, counts, pauses, lines } = report(name === "silence" ? { answerMs: 200 } : {});
      tell(pass("3f2a91c0d4e5b617"));
      await eventually(() => expect(counts()).toMatchObject({ written: 1 }));
      // On a slow machine an answer may come too late as well.
      if (name !== "silence") expect(standIn.seen).toHaveLength(4);
      expect(lines()).toEqual([cannot(why), REPORTING]);
      expect(pauses.slice(0, 4)).toEqual([30, pauseS, Math.max(pauseS, 2.4), Math.max(pauseS, 4.8)]);
      expect(pauses.length).toBeGreaterThanOrEqual(standIn.seen.length);
    });
  });

  test("an API server that lets only those name an owner who may delete: the Lease has none", async ({
    place: { standIn, report },
  }) => {
    standIn.answer = ({ body }, response) => {
      if (!body.includes("ownerReferences")) return false;
      refuse(response, 403, "cannot set an ownerRef on a resource you can't delete: , <nil>");
      return true;
    };
    const { tell, counts, lines } = report();
    tell(pass("3f2a91c0d4e5b617"));
    await eventually(() => expect(counts()).toEqual({ written: 1, refused: 1, failed: 0 }));
    expect(standIn.written.get(LEASE)?.metadata).not.toHaveProperty("ownerReferences");
    expect(lines()).toEqual([REPORTING]);
  });
});

describe("without an API server", () => {
  test.each<[string, Partial<LeaseReportWorld>, string]>([
    ["no token", { located: { ok: false, why: "the pod has no token" } }, "the pod has no token"],
    [
      "no name of the node",
      { identity: { node: undefined, pod: undefined } },
      "the node's name is not known: neither the token nor NODE_NAME has it",
    ],
  ])("%s is one sentence, and nothing is tried", async (_name, more, why) => {
    await inPlace(await startApiServer(), async (report) => {
      const { tell, pauses, lines } = report(more);
      tell(pass("3f2a91c0d4e5b617"));
      expect(lines()).toEqual([`W cannot report (--report=lease): ${why}`]);
      expect(pauses).toEqual([]);
    });
  });

  test("one that the CA has not signed, and then no CA", async ({ place: { standIn, report } }) => {
    const ca = join(standIn.credentials, "ca.crt");
    writeFileSync(ca, OTHER_CA);
    const { tell, lines } = report();
    const said: string[] = [];
    tell(pass("3f2a91c0d4e5b617"));
    await eventually(() => {
      said.push(...lines());
      expect(said).toHaveLength(1);
    });
    rmSync(ca);
    await eventually(() => {
      said.push(...lines());
      expect(said).toHaveLength(2);
    });
    expect(said[0]).toMatch(/^W cannot report to lease \S+: .*certificate.*; retrying/);
    expect(said[1]).toMatch(/^W cannot report to lease \S+: ENOENT.*ca\.crt'; retrying/);
    expect(standIn.seen).toEqual([]);
  });
});
