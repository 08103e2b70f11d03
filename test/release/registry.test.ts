/** Absent is what a registry says is absent: no other failure may let a release go on as if nothing were published. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isAbsent, manifestOf, putBlob, putManifest } from "../../scripts/release/registry.ts";
import { ReleaseError } from "../../scripts/release/run.ts";

let server: Server;
let host = "";

/** Answers with the status that a name ends with, as in `HOST/some/403`; to 000 it does not answer. */
beforeAll(async () => {
  server = createServer((request, response) => {
    const [, status = "500"] = /\/(\d{3})\//.exec(request.url ?? "") ?? [];
    if (status === "000") request.socket.destroy();
    else response.writeHead(Number(status)).end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

test("a manifest that is there, and one that is not", async () => {
  expect(await manifestOf(`${host}/some/200`, "v1")).toBe("{}");
  expect(await manifestOf(`${host}/some/404`, "v1")).toBeUndefined();
});

test.each([400, 401, 403, 408, 410, 429, 500, 502, 503])(
  "%i does not say that it is absent",
  async (status) => {
    const name = `${host}/some/${status}`;
    await expect(manifestOf(name, "v1")).rejects.toThrow(
      new ReleaseError(`the registry does not say whether ${name} has v1: it answers ${status}`),
    );
    await expect(putBlob(name, "text/plain", "x")).rejects.toThrow(
      new ReleaseError(`${name} takes no blob: ${status}`),
    );
    await expect(putManifest(name, "v1", {})).rejects.toThrow(
      new ReleaseError(`${name} takes no manifest v1: ${status}`),
    );
  },
);

test("nor does a registry that does not answer", async () => {
  const name = `${host}/some/000`;
  const asks = [
    () => manifestOf(name, "v1"),
    () => putBlob(name, "text/plain", "x"),
    () => putManifest(name, "v1", {}),
  ];
  for (const ask of asks) await expect(ask()).rejects.toThrow(/^no registry answers at 127\.0\.0\.1:\d+: /);
});

/** The ends of the lines of skopeo 1.9, recorded with a registry that gives these answers. */
test.each([
  ["404, as docker-registry", "manifest unknown: manifest unknown", true],
  ["404, as Google's", 'manifest unknown: Failed to fetch \\"v1\\" from request', true],
  ["404, no such repository", "name unknown: repository name not known to registry", true],
  ["404, as Harbor", "unknown: artifact network/x:y not found", true],
  ["404 without a reason", "StatusCode: 404, 404 page not found", true],
  ["401", "unauthorized", false],
  ["403", "denied", false],
  ["403 of a proxy", "StatusCode: 403, upstream not found", false],
  ["429", "toomanyrequests: rate", false],
  ["500", "received unexpected HTTP status: 500 Internal Server Error", false],
  ["502", "received unexpected HTTP status: 502 Bad Gateway", false],
])("skopeo about %s", (_name, reason, expected) => {
  const start = 'time="2026-01-31T00:00:00Z" level=fatal msg="Error parsing image name';
  const said = `${start} \\"docker://127.0.0.1:5000/x:y\\": reading manifest y in 127.0.0.1:5000/x: ${reason}"`;
  expect(isAbsent(`skopeo inspect --raw failed: ${said}`)).toBe(expected);
});

test.each([
  'skopeo inspect --raw failed: pinging container registry h: Get \\"https://h/v2/\\": dial tcp: lookup h: host not found',
  "skopeo inspect --raw failed: getting username and password: docker-credential-x: executable file not found in $PATH",
  "skopeo cannot be run: spawnSync skopeo ENOENT",
])("%s", (said) => {
  expect(isAbsent(said)).toBe(false);
});
