/**
 * A node for hours, simulated: somebody edits a ConfigMap and takes edits back, a kubelet brings the file late, the agent hears of
 * edits through the API server unless its way there is broken, and is restarted, in the same pod or in a new one. Counts how often
 * the agent goes back to an older text than one it has had in force.
 */
import {
  type Content,
  initialNewest,
  type Newest,
  type NewestEvent,
  stepNewest,
} from "../../src/core/configmap/newest.ts";
import { generator } from "./random.ts";

/** What a node has seen. */
export interface NodeHistory {
  readonly edits: number;
  readonly restarts: number;
  readonly stepsBack: number;
  /** The share of time in which what is in force is not the newest text. */
  readonly behind: number;
}

interface NodeOptions {
  readonly edits: number;
  readonly seed: number;
  /** Whether the agent has a directory for its state. */
  readonly cache: boolean;
  /** How the kubelet learns of edits: by its own watch, or with a cache that is up to 60 s old. */
  readonly kubelet: "watch" | "ttl";
}

const EDIT_S = 300;
const SYNC_S = 60;
const OUTAGE_EVERY_S = 900;
const OUTAGE_S = 120;
const RESTART_S = 1_200;
const NEW_POD_S = 7_200;
const ROLLBACKS = 0.3;
/** Outages that the kubelet shares. */
const PARTITIONS = 0.5;

/** The history of one node. */
export function simulateNode({ edits, seed, cache: hasCache, kubelet }: NodeOptions): NodeHistory {
  const random = generator(seed);
  const after = (mean: number) => -Math.log(1 - random()) * mean;
  /** The content of each version, and when it was written. */
  const versions = [{ content: 0, at: 0 }];
  const newest = () => versions.length - 1;
  const contentAt = (version: number) => (versions[version] as { content: number }).content;
  const contentOf = (version: number): Content => {
    const hash = String(contentAt(version));
    return { hash, text: { kind: "file", files: [], source: String(version) } };
  };
  const due = {
    edit: after(EDIT_S),
    sync: SYNC_S * (0.5 + random()),
    outage: after(OUTAGE_EVERY_S),
    over: Number.POSITIVE_INFINITY,
    restart: after(RESTART_S),
    newPod: after(NEW_POD_S),
  };
  let now = 0;
  let isConnected = true;
  let kubeletIsConnected = true;
  let shown = 0;
  let state: Newest = initialNewest(contentOf(0));
  let cache: { state: Newest; version: number } | undefined;
  /** The version in force, and the newest that ever was. */
  let inForce = 0;
  let highest = 0;
  const counts = { restarts: 0, stepsBack: 0, behindS: 0 };

  const force = (version: number) => {
    if (contentAt(version) !== contentAt(inForce) && version < highest) counts.stepsBack++;
    inForce = version;
    highest = Math.max(highest, version);
  };
  const step = (event: NewestEvent, version: number): boolean => {
    const { state: next, ask } = stepNewest(state, event);
    if (next.current.hash !== state.current.hash || next.current.from !== state.current.from) force(version);
    state = next;
    cache = { state, version: inForce };
    return ask;
  };
  const hear = () => {
    const version = newest();
    step({ kind: "api", content: contentOf(version) }, version);
    inForce = version;
    highest = Math.max(highest, version);
    cache = { state, version };
  };
  const show = (version: number) => {
    const isSame = contentAt(version) === contentAt(shown);
    shown = version;
    if (isSame || !step({ kind: "file", content: contentOf(version) }, inForce)) return;
    if (isConnected) hear();
    else step({ kind: "unanswered", file: contentOf(version) }, version);
  };
  const boot = (isNewPod: boolean) => {
    counts.restarts++;
    if (isNewPod) {
      cache = undefined;
      if (kubeletIsConnected) shown = newest();
    }
    const remembered = hasCache && cache !== undefined ? cache : undefined;
    state = initialNewest(
      contentOf(shown),
      remembered && { ...remembered.state.current, older: remembered.state.older },
    );
    const version = state.current.from === "cache" ? (remembered as { version: number }).version : shown;
    force(version);
    if (remembered !== undefined) cache = { state, version };
    if (isConnected) hear();
  };
  const happenings: Record<keyof typeof due, () => void> = {
    edit() {
      const isRollback = random() < ROLLBACKS && versions.length > 1;
      versions.push({ content: isRollback ? contentAt(newest() - 1) : versions.length, at: now });
      due.edit = now + after(EDIT_S);
      if (isConnected) hear();
    },
    sync() {
      due.sync = now + SYNC_S * (0.5 + random());
      if (!kubeletIsConnected) return;
      let version = newest();
      const asOf = kubelet === "ttl" ? now - SYNC_S * random() : now;
      while (version > shown && (versions[version] as { at: number }).at > asOf) version--;
      show(version);
    },
    outage() {
      isConnected = false;
      kubeletIsConnected = random() >= PARTITIONS;
      due.outage = Number.POSITIVE_INFINITY;
      due.over = now + after(OUTAGE_S);
    },
    over() {
      isConnected = true;
      kubeletIsConnected = true;
      due.over = Number.POSITIVE_INFINITY;
      due.outage = now + after(OUTAGE_EVERY_S);
      hear();
    },
    restart() {
      due.restart = now + after(RESTART_S);
      boot(false);
    },
    newPod() {
      due.newPod = now + after(NEW_POD_S);
      if (kubeletIsConnected) boot(true);
    },
  };
  while (versions.length <= edits) {
    const [kind, at] = Object.entries(due).reduce((a, b) => (b[1] < a[1] ? b : a));
    if (contentAt(inForce) !== contentAt(newest())) counts.behindS += at - now;
    now = at;
    happenings[kind as keyof typeof due]();
  }
  return { edits, restarts: counts.restarts, stepsBack: counts.stepsBack, behind: counts.behindS / now };
}
