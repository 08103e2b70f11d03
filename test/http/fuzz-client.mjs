// Everything that a client can do wrong, for a while; in a process of its own, so that only the server's work is measured.
// usage: node fuzz-client.mjs PORT MS [ATTACK...]; an empty line when the first connection of each is open, and at the end, or at
// SIGTERM, {attacks: {name: {connections, codes}}, leaks: [...]} as JSON
import { randomBytes } from "node:crypto";
import { connect } from "node:net";

const [target, ms = "1000", ...chosen] = process.argv.slice(2);
const HOST = "Host: localhost\r\n";
const HELLO = Buffer.from("160301020001000101fc0303", "hex");
const pick = (list) => list[Math.floor(Math.random() * list.length)];
const PATHS = ["/", "/metrics", "/healthz", "/nothing"];

/** What each attack sends on one connection: pieces, some with a pause before the next; how many at once. */
const attacks = {
  methods: {
    at: 20,
    pieces: () => [
      `${pick(["POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "PROPFIND", "get", "G\u0000T", ""])} ${pick(PATHS)} HTTP/1.1\r\n${HOST}\r\n`,
    ],
  },
  head: { at: 10, pieces: () => [`HEAD ${pick(PATHS)} HTTP/1.1\r\n${HOST}\r\n`] },
  protocols: {
    at: 10,
    pieces: () => [
      pick([
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /healthz HTTP/9.9\r\n\r\n",
        "GET /healthz\r\n\r\n",
        `GET /healthz HTTP/1.1\r\n\r\n`,
        `GET /healthz HTTP/1.1\r\n${HOST}${HOST}\r\n`,
        `GET /healthz HTTP/1.1\r\n${HOST}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n`,
        `GET /healthz HTTP/1.1\r\n${HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
        `GET /healthz HTTP/1.1\r\n${HOST}Content-Length: -1\r\n\r\n`,
        HELLO,
      ]),
    ],
  },
  headers: {
    at: 10,
    pieces: () => [
      `GET /healthz HTTP/1.1\r\n${HOST}`,
      pick([
        `X: ${"x".repeat(1 << 20)}\r\n\r\n`,
        "a: b\r\n".repeat(100_000),
        "x".repeat(1 << 20),
        `${"\r\n ".repeat(5_000)}`,
      ]),
    ],
  },
  traversal: {
    at: 10,
    pieces: () => [
      `GET ${pick(["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/..%2f..%2fetc/passwd", "/metrics/../../etc/passwd", "file:///etc/passwd", "http://a/healthz", "*", "/__proto__", "/constructor", `/${"a".repeat(7_000)}`, "/%", "/nothing?/../etc/passwd"])} HTTP/1.1\r\n${HOST}\r\n`,
    ],
  },
  garbage: { at: 20, pieces: () => [randomBytes(1 + Math.floor(Math.random() * 5_000))] },
  halves: {
    at: 20,
    pieces: () => {
      const text = `GET ${pick(PATHS)} HTTP/1.1\r\n${HOST}\r\n`;
      return [text.slice(0, Math.floor(Math.random() * text.length))];
    },
    end: true,
  },
  bodies: {
    at: 10,
    pieces: () => [
      pick([
        `POST / HTTP/1.1\r\n${HOST}Content-Length: 999999999999\r\n\r\n`,
        `GET / HTTP/1.1\r\n${HOST}Content-Length: 1000000\r\n\r\n`,
        `GET / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nfffff\r\n`,
        `POST / HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n`,
        `GET / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
      ]),
      ...Array.from({ length: 20 }, () => "y".repeat(50_000)),
    ],
  },
  pipelining: { at: 10, pieces: () => [`GET / HTTP/1.1\r\n${HOST}\r\n`.repeat(2_000)] },
  // A byte at a time, without end.
  slow: { at: 100, pieces: () => [..."GET / HTTP/1.1\r\nX: ", ..."x".repeat(1_000)], pauseMs: 100 },
  // Asks, and does not take the answer.
  deaf: { at: 50, pieces: () => [`GET / HTTP/1.1\r\n${HOST}\r\n`], deaf: true },
  thousand: { at: 1_000, pieces: () => [`GET ${pick(PATHS)} HTTP/1.1\r\n${HOST}\r\n`] },
};

await attack(Number(target), Number(ms), chosen.length > 0 ? chosen : Object.keys(attacks));

async function attack(port, ms, names) {
  let until = Date.now() + ms;
  const sockets = new Set();
  const leaks = new Set();
  const results = {};
  process.on("SIGTERM", () => {
    until = 0;
    for (const socket of sockets) socket.destroy();
  });
  let open = 0;
  const opened = () => ++open === work.length && console.log();
  const work = names.flatMap((name) => {
    const result = { connections: 0, codes: {} };
    results[name] = result;
    return Array.from({ length: attacks[name].at }, async () => {
      while (Date.now() < until) {
        result.connections++;
        const said = await talk(port, attacks[name], sockets, until, opened);
        if (/root:.*:0:0:/.test(said)) leaks.add(name);
        for (const [, code] of said.matchAll(/^HTTP\/1\.1 (\d+)/gm))
          result.codes[code] = (result.codes[code] ?? 0) + 1;
      }
    });
  });
  await Promise.all(work);
  console.log(JSON.stringify({ attacks: results, leaks: [...leaks] }));
}

/** One connection; resolves to what came back, when it is over or the time is up. */
function talk(port, { pieces, pauseMs = 0, end = false, deaf = false }, sockets, until, opened) {
  return new Promise((resolve) => {
    let said = "";
    const socket = connect(port, "127.0.0.1");
    sockets.add(socket);
    const timers = [setTimeout(() => socket.destroy(), until - Date.now())];
    socket.on("error", () => {});
    socket.once("close", () => {
      timers.forEach(clearTimeout);
      sockets.delete(socket);
      // A refused connection must not become a busy loop.
      setTimeout(resolve, 5, said);
    });
    if (!deaf) socket.on("data", (chunk) => (said += chunk));
    const queue = pieces();
    const next = () => {
      const piece = queue.shift();
      if (piece === undefined) return void (end && socket.end());
      if (!socket.writable) return;
      socket.write(piece, () => (timers[1] = setTimeout(next, pauseMs)));
    };
    socket.once("connect", opened).once("connect", next);
  });
}
