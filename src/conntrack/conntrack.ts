/**
 * The kernel's table of connections over netlink (ctnetlink), within bounds of time. A list is a walk, not a snapshot: an entry may
 * come twice or not at all. Each question has a socket of its own, so that a list that is not read to its end is simply closed.
 */
import { type Family, NFT_FAMILIES } from "../core/cidr.ts";
import {
  closeMessage,
  createWriter,
  type Message,
  openMessage,
  readAttributes,
  readU32,
  type Writer,
  written,
} from "../netlink/attributes.ts";
import { FAMILIES, NLM_F } from "../netlink/constants.ts";
import { NftablesError } from "../netlink/errors.ts";
import { loadNetlink, type OpenSocket } from "../netlink/socket/addon.ts";
import { createChannel } from "../netlink/socket/channel.ts";
import { type Listener, listenToQuery } from "../netlink/socket/conversation.ts";
import { familyOf } from "./address.ts";
import { type Condition, fits, isUnasked, kernelPart, putCondition, putTuple } from "./condition.ts";
import { CT_MSG, CTA_STATS, CTA_STATS_GLOBAL, SUBSYS_CTNETLINK } from "./constants.ts";
import { type Flow, readFlow, type Tuple } from "./flow.ts";
import { type EntryName, entryName, removeEntries } from "./removal.ts";

/** The kernel's counters since it started, over all processors. */
export interface Counters {
  readonly insertFailed: number;
  readonly drop: number;
  readonly earlyDrop: number;
  readonly invalid: number;
}

/** How a list ended. */
export interface Listed {
  /** How many entries the kernel sent. */
  readonly read: number;
  /** False if the list was left before its end, for its length or for the time. */
  readonly isWhole: boolean;
  /** False if the kernel ignored the filter, as older ones do: the whole table was read. */
  readonly isFiltered: boolean;
}

export interface Bounds {
  /** The maximum of entries to read. */
  readonly most?: number;
  /** How long it may take. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface Conntrack {
  /** Calls `visit` for each matching entry. Past the deadline, the entries read so far are the answer. */
  readonly list: (condition: Condition, visit: (flow: Flow) => void, bounds?: Bounds) => Promise<Listed>;
  /** The connection with this reply; undefined if there is none. */
  readonly find: (reply: Tuple, bounds?: Bounds) => Promise<Flow | undefined>;
  readonly size: (bounds?: Bounds) => Promise<{ readonly entries: number; readonly limit: number }>;
  readonly counters: (bounds?: Bounds) => Promise<Counters>;
}

const BUFFER_BYTES = 1024 * 1024;
const TIMEOUT_MS = 3_000;

/** Throws `NetlinkUnavailable` without the addon; its result fails with an `NftablesError`, in words about connections. */
export function openConntrack(): Conntrack {
  return createConntrack(loadNetlink(BUFFER_BYTES));
}

/** The same over given sockets. */
export function createConntrack(open: OpenSocket): Conntrack {
  const ask = asker(open);
  return {
    list: (condition, visit, bounds = {}) => list(ask, condition, visit, bounds),
    async find(reply, bounds = {}) {
      const one = { what: "connection", type: CT_MSG.GET, isList: false, family: familyOf(reply.source) };
      try {
        const [first] = await ask({ ...one, put: (writer) => putTuple(writer, reply) }, bounds);
        return first && readFlow(first.attributes);
      } catch (error) {
        if (error instanceof NftablesError && error.code === "ENOENT") return undefined;
        throw error;
      }
    },
    async size(bounds = {}) {
      const what = "the number of connections";
      const [first] = await ask({ what, type: CT_MSG.GET_STATS, isList: false }, bounds);
      const read = readAttributes(first?.attributes);
      const of = (type: number) => readU32(read.get(type)) ?? 0;
      return { entries: of(CTA_STATS_GLOBAL.ENTRIES), limit: of(CTA_STATS_GLOBAL.MAX_ENTRIES) };
    },
    async counters(bounds = {}) {
      const what = "counters of connection tracking";
      const messages = await ask({ what, type: CT_MSG.GET_STATS_CPU, isList: true }, bounds);
      const cpus = messages.map(({ attributes }) => readAttributes(attributes));
      const sum = (type: number) => cpus.reduce((total, cpu) => total + (readU32(cpu.get(type)) ?? 0), 0);
      return {
        insertFailed: sum(CTA_STATS.INSERT_FAILED),
        drop: sum(CTA_STATS.DROP),
        earlyDrop: sum(CTA_STATS.EARLY_DROP),
        invalid: sum(CTA_STATS.INVALID),
      };
    },
  };
}

/** Deletes matching entries that `isChosen` too, the first `most` of them. */
export type Delete = (
  condition: Condition,
  isChosen: (flow: Flow) => boolean,
  bounds: Bounds & { readonly most: number },
) => Promise<Deleted>;

export interface Deleted {
  /** How many the kernel has deleted, by family: others were gone, or belong to a flow that hardware forwards. */
  readonly counts: Readonly<Record<Family, number>>;
  /** False if there may be more. */
  readonly isWhole: boolean;
}

/** Throws `NetlinkUnavailable` without the addon; its result fails as those of `openConntrack` do. */
export function openDeletion(): Delete {
  return createDeletion(loadNetlink(BUFFER_BYTES));
}

/** The same over given sockets. */
export function createDeletion(open: OpenSocket): Delete {
  return async (condition, isChosen, { most, ...bounds }) => {
    const names: EntryName[] = [];
    let isMore = false;
    const choose: Visit = (flow, attributes) => {
      if (!isChosen(flow)) return;
      if (names.length < most) names.push(entryName(familyOf(flow.original.source), attributes));
      else isMore = true;
    };
    const { isWhole } = await list(asker(open), condition, choose, bounds);
    const { timeoutMs = TIMEOUT_MS, signal } = bounds;
    const removed = async (family: Family) => {
      const some = names.filter((name) => name.family === family);
      return some.length === 0 ? 0 : removeEntries(createChannel(open, timeoutMs), some, signal);
    };
    try {
      const counts = { IPv4: await removed("IPv4"), IPv6: await removed("IPv6") };
      return { counts, isWhole: isWhole && !isMore };
    } catch (error) {
      throw inWords(error);
    }
  };
}

/** Takes an entry, and the attributes of its message, which are good until it returns. */
type Visit = (flow: Flow, attributes: Uint8Array) => void;

async function list(ask: Asker, condition: Condition, visit: Visit, bounds: Bounds): Promise<Listed> {
  const { most = Number.POSITIVE_INFINITY } = bounds;
  const asked = kernelPart(condition);
  let [read, isFiltered] = [0, true];
  const hear = ({ attributes }: Message) => {
    const flow = read < most ? readFlow(attributes) : undefined;
    read += read < most ? 1 : 0;
    if (flow === undefined) return read < most;
    if (isFiltered && isUnasked(flow, asked)) isFiltered = false;
    if (fits(flow, condition)) visit(flow, attributes);
    return read < most;
  };
  const { source, destination } = condition.reply ?? {};
  const address = source ?? destination;
  const family = address === undefined ? condition.family : familyOf(address);
  const ofFamily = family === undefined ? {} : { family };
  const put = (writer: Writer) => putCondition(writer, asked);
  try {
    await ask({ what: "connections", type: CT_MSG.GET, isList: true, ...ofFamily, put, hear }, bounds);
  } catch (error) {
    if (!(error instanceof NftablesError) || error.code !== "ETIMEDOUT") throw error;
    return { read, isWhole: false, isFiltered };
  }
  return { read, isWhole: read < most, isFiltered };
}

interface Question {
  readonly what: string;
  readonly type: number;
  readonly isList: boolean;
  /** Undefined: both. */
  readonly family?: Family;
  readonly put?: (writer: Writer) => void;
  /** Takes each answer as it comes, so that none is kept; false: that is enough. */
  readonly hear?: (message: Message) => boolean;
}

type Asker = (question: Question, bounds: Bounds) => Promise<readonly Message[]>;

function asker(open: OpenSocket): Asker {
  return async (question, { timeoutMs = TIMEOUT_MS, signal }) => {
    const channel = createChannel(open, timeoutMs);
    try {
      const { what } = question;
      const request = { what, bytes: encode(question), first: 1, last: 1, listener: listen(question) };
      const settled = await channel.exchange(request, signal);
      if (settled.state === "done") return settled.value;
      const why = "an answer of the kernel was lost";
      throw new NftablesError({ code: "ENOBUFS", what, why });
    } catch (error) {
      throw inWords(error);
    } finally {
      channel.close();
    }
  };
}

function encode({ type, isList, family, put }: Question): Uint8Array {
  const writer = createWriter();
  const start = openMessage(writer, {
    type: (SUBSYS_CTNETLINK << 8) | type,
    flags: NLM_F.REQUEST | (isList ? NLM_F.DUMP : 0),
    sequence: 1,
    family: family === undefined ? 0 : FAMILIES[NFT_FAMILIES[family]],
  });
  put?.(writer);
  closeMessage(writer, start);
  return written(writer);
}

function listen({ what, isList, hear }: Question): Listener<readonly Message[]> {
  const messages: Message[] = [];
  let isEnough = false;
  const add = (message: Message) => {
    if (hear === undefined) messages.push(message);
    else isEnough ||= !hear(message);
  };
  const whole = listenToQuery({ what, isList, reader: () => ({ add, value: () => messages }) });
  return {
    hear(message) {
      const progress = whole.hear(message);
      return isEnough ? { state: "done", value: messages } : progress;
    },
    lose: whole.lose,
  };
}

/** The kernel's error without ctnetlink: it does not know the subsystem of the message. */
const MISSING: readonly string[] = ["EINVAL", "ENOTSUP", "EPROTONOSUPPORT", "EAFNOSUPPORT"];

function inWords(error: unknown): unknown {
  if (!(error instanceof NftablesError)) return error;
  const { code } = error;
  const what = "connection tracking";
  if (MISSING.includes(code)) {
    const why =
      "this kernel does not answer: load the modules nf_conntrack and nf_conntrack_netlink (modprobe nf_conntrack_netlink)";
    return new NftablesError({ code, what, why, cause: error });
  }
  return code === "ETIMEDOUT"
    ? new NftablesError({ code, what, why: "no answer in time", cause: error })
    : error;
}
