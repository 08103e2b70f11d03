declare const __VERSION__: string | undefined;

export const VERSION: string = typeof __VERSION__ === "string" ? __VERSION__ : "dev";

/** What people are shown. */
export function versionLine(): string {
  const { version: node, platform, arch } = process;
  return `ip-masq-agent ${VERSION} (node ${node}, ${platform}/${arch})\n`;
}
