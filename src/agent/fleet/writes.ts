/** The two writes of a report. Each has a connection of its own: there are hours between them. */

import type { ApiServer, ApiWrite, Connection } from "../../api/connection.ts";
import { Refused } from "../../api/refused.ts";
import { begin, parseObject } from "../../core/configmap/object.ts";
import { type FleetEvent, leaseName, leaseOf, type NodeReport, type Reporter } from "./objects.ts";

/** Writes an object, and returns the answer; throws as a connection does. */
type Send = (request: Omit<ApiWrite, "withinMs">) => Promise<string>;

/** The time for an answer. */
const ANSWER_MS = 30_000;
/** The manager of the fields in a Lease. */
const MANAGER = "fieldManager=ip-masq-agent&force=true";

/** Loads TLS with the first write; `closed` is called when a connection has ended. */
export function createSend(
  server: ApiServer,
  signal: AbortSignal,
  closed = () => {},
  withinMs = ANSWER_MS,
): Send {
  return async (request) => {
    const { connect } = await import("../../api/connection.ts");
    const connection: Connection = connect(server);
    const close = () => connection.close();
    signal.addEventListener("abort", close, { once: true });
    try {
      return await connection.send({ ...request, withinMs });
    } finally {
      signal.removeEventListener("abort", close);
      close();
      closed();
    }
  };
}

/** Writes Leases of one reporter by server-side apply. */
export function createLeaseWrite(send: Send, reporter: Reporter): (report: NodeReport) => Promise<void> {
  const { node, namespace } = reporter;
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${leaseName(node)}?${MANAGER}`;
  let owned = reporter;
  return async (report) => {
    const body = JSON.stringify(leaseOf(owned, report));
    const request = { method: "PATCH", type: "application/apply-patch+yaml" } as const;
    try {
      expectKind(await send({ ...request, path, body }), "Lease");
    } catch (error) {
      // Some API servers allow owners only to those who may delete (OwnerReferencesPermissionEnforcement): then it outlives the pod.
      if (error instanceof Refused && error.status === 403 && /ownerRef/i.test(error.message))
        owned = { ...owned, pod: undefined };
      throw error;
    }
  };
}

/** Another node may have written the Event, which is just as good. */
export async function writeEvent(send: Send, event: FleetEvent): Promise<void> {
  const path = `/api/v1/namespaces/${event.metadata.namespace}/events`;
  const request = { method: "POST", type: "application/json" } as const;
  try {
    expectKind(await send({ ...request, path, body: JSON.stringify(event) }), "Event");
  } catch (error) {
    if (!(error instanceof Refused && error.status === 409)) throw error;
  }
}

/** A proxy may answer 200 with a page of its own. */
function expectKind(answer: string, kind: string): void {
  if (parseObject(answer)?.kind !== kind)
    throw new Error(`the answer is not that of an API server: ${begin(answer)}`);
}
