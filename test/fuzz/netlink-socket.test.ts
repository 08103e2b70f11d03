/** The addon under AddressSanitizer and UndefinedBehaviorSanitizer. In the environment: NETLINK_MESSAGES, how many (5000; at length 1000000). */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { attempt } from "../lab/command.ts";
import { describeKernel } from "../lab/network/fixture.ts";

const { NETLINK_MESSAGES = "5000", SEED = "1" } = process.env;
const ADDON = `netlink-${process.platform}-${process.arch}.node`;

describeKernel("the netlink addon", () => {
  test(`survives ${NETLINK_MESSAGES} messages, sanitizers watching`, { timeout: 3_600_000 }, async () => {
    const directory = mkdtempSync(join(tmpdir(), "netlink-fuzz-"));
    try {
      const program = join(directory, "fuzz.cjs");
      const entryPoints = [join(import.meta.dirname, "netlink-socket.ts")];
      await build({
        entryPoints,
        outfile: program,
        bundle: true,
        platform: "node",
        target: "node20",
        format: "cjs",
      });
      const flags = [
        "-g",
        "-O1",
        "-shared",
        "-fPIC",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
      ];
      const headers = ["-I", "node_modules/node-api-headers/include"];
      execFileSync("cc", [
        ...flags,
        ...headers,
        "-o",
        join(directory, ADDON),
        "src/netlink/socket/netlink.c",
      ]);
      const libraries = ["libasan.so", "libubsan.so"].map((name) =>
        execFileSync("cc", [`-print-file-name=${name}`], { encoding: "utf8" }).trim(),
      );
      const env = {
        ...process.env,
        LD_PRELOAD: libraries.join(" "),
        // Leaks of Node itself at its end are not ours; V8 has its own use for some signals.
        ASAN_OPTIONS: "detect_leaks=0:handle_segv=0:allow_user_segv_handler=1",
      };
      const args = ["-n", process.execPath, program, NETLINK_MESSAGES, SEED];
      const { code, stdout, stderr } = await attempt("unshare", args, { env });
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      console.log(stdout.trim());
      const { sent, heard, closed, commits } = JSON.parse(stdout);
      expect(sent).toBeGreaterThan(Number(NETLINK_MESSAGES) / 4);
      expect(Math.min(heard, closed, commits)).toBeGreaterThan(0);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
