import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { locate } from "./service-account.ts";

const maps = [
  { namespace: undefined, name: "a" },
  { namespace: "other", name: "b" },
];
const env = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "6443" };

test("a pod knows its API server, and its namespace is the default", () => {
  const credentials = mkdtempSync(join(tmpdir(), "account-"));
  onTestFinished(() => rmSync(credentials, { recursive: true }));
  writeFileSync(join(credentials, "namespace"), "kube-system\n");
  expect(locate({ maps }, env, credentials)).toEqual({
    ok: true,
    server: { host: "fd00::1", port: "6443", credentials },
    namespace: "kube-system",
    maps: [
      { namespace: "kube-system", name: "a" },
      { namespace: "other", name: "b" },
    ],
  });
});

test("elsewhere, and without a token, it says why not", () => {
  expect(locate({ maps }, {}, "/none")).toEqual({
    ok: false,
    why: "KUBERNETES_SERVICE_HOST is not set, so this is not a pod",
  });
  expect(locate({ maps }, env, "/none")).toEqual({
    ok: false,
    why: expect.stringMatching(
      /^the pod has no token of a service account \(automountServiceAccountToken\): ENOENT/,
    ),
  });
});
