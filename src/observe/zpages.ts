/**
 * `/statusz` and `/flagz` in the form of Kubernetes' components (KEP-4827, KEP-4828; k8s.io/component-base/zpages). The
 * component-base changes the delimiter from one start to the next, so that no program parses it; ours is always the same.
 */

const NAME = "ip-masq-agent";
const WARNING =
  "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.";

export interface StatuszView {
  readonly version: string;
  readonly node: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly now: number;
}

/** When the agent started, how long ago, and its versions. */
export function renderStatusz({ version, node, startedAt, now }: StatuszView): string {
  return [
    "",
    `${NAME} statusz`,
    WARNING,
    "",
    `Started: ${new Date(startedAt).toUTCString()}`,
    `Up: ${upText((now - startedAt) / 1000)}`,
    `Node.js version: ${node}`,
    `Binary version: ${version}`,
    "",
  ].join("\n");
}

/** Each flag's value, by name. */
export function renderFlagz(flags: readonly (readonly [name: string, printed: string])[]): string {
  const lines = flags.map(([name, printed]) => `${name}=${printed}`).sort();
  return ["", `${NAME} flags`, WARNING, "", ...lines, ""].join("\n");
}

function upText(seconds: number): string {
  const whole = Math.floor(seconds);
  const two = (number: number) => String(number).padStart(2, "0");
  return `${Math.floor(whole / 3600)} hr ${two(Math.floor(whole / 60) % 60)} min ${two(whole % 60)} sec`;
}
