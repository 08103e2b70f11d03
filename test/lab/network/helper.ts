/** Scripts of helpers: their source is TypeScript, and has to run as processes of their own. */
import { command } from "../command.ts";

const OPTIONS = ["--bundle", "--platform=node", "--target=node20", "--format=cjs", "--log-level=error"];

const scripts = new Map<string, Promise<string>>();

/** The text of `test/lab/network/NAME.ts` as one script; bundled once. */
export function helperScript(name: string): Promise<string> {
  const script =
    scripts.get(name) ?? command("node_modules/.bin/esbuild", [`test/lab/network/${name}.ts`, ...OPTIONS]);
  scripts.set(name, script);
  return script;
}
