/**
 * The addon (src/netlink/socket/netlink.c) of a kernel that has no rules and takes all: for a rehearsal, which reaches no
 * kernel.
 */

/** Of linux/netlink.h and linux/netfilter/nf_tables.h. */
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NEWGEN = 0x0a0f;
const GETGEN = 0x0a10;
const ENOENT = 2;

/** A header, nfnetlink's four bytes, and the generation as an attribute, in network order. */
const GENERATION = [0, 0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 1];

/** `answers` may be set to false: then the kernel takes all and answers nothing. */
export function emptyKernel() {
  const kernel = { answers: true, addon: ADDON };
  const send = ({ hear }, bytes) => {
    const request = Buffer.from(bytes);
    for (let at = 0; at < request.length && kernel.answers; at += request.readUInt32LE(at)) {
      const answer = answerTo(request.subarray(at));
      if (answer !== undefined) setImmediate(hear, answer);
    }
    return 0;
  };
  return Object.assign(kernel, { addon: { ...ADDON, send } });
}

const ADDON = {
  open: (_protocol, _bufferBytes, _messageBytes, hear) => ({ hear }),
  bufferSizes: () => [212_992, 212_992],
  join: () => 0,
  hold: () => {},
  close: () => {},
  trim: () => {},
};

/** The answer to the first of these messages, if it has one. */
function answerTo(messages) {
  const [length, type, flags] = [
    messages.readUInt32LE(0),
    messages.readUInt16LE(4),
    messages.readUInt16LE(6),
  ];
  const answer = (type, payload) => {
    const message = Buffer.concat([Buffer.alloc(16), Buffer.from(payload)]);
    message.writeUInt32LE(message.length, 0);
    message.writeUInt16LE(type, 4);
    messages.copy(message, 8, 8, 12);
    return message;
  };
  const error = (errno) => answer(NLMSG_ERROR, new Uint8Array(new Int32Array([-errno, 0, 0, 0, 0]).buffer));
  if (type === GETGEN) return answer(NEWGEN, GENERATION);
  if ((flags & NLM_F_DUMP) === NLM_F_DUMP) return answer(NLMSG_DONE, [0, 0, 0, 0]);
  if ((flags & NLM_F_ACK) !== 0) return error(0);
  // The operations of a batch are answered by its end alone.
  return length === messages.length ? error(ENOENT) : undefined;
}
