declare const __VERSION__: string | undefined;

export const VERSION: string = typeof __VERSION__ === "string" ? __VERSION__ : "dev";

/** The output of `version`. */
export function versionLine(): string {
  const { version: node, platform, arch } = process;
  return `ip-masq-agent ${VERSION} (node ${node}, ${platform}/${arch})\n`;
}
