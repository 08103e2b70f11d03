// Reads what `ip-masq-agent validate -o json` prints, and writes it as annotations, which GitHub shows beside their lines (action.yml).
// Names of files and their texts may be a stranger's: nothing in them may be a command, or end one.
// https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
import { text } from "node:stream/consumers";

/** GitHub decodes these again. It still obeys the older "##[error]" in the middle of a line. */
const data = (value) =>
  String(value)
    .replaceAll(/[%\r\n]/g, encodeURIComponent)
    .replaceAll("##[", "## [");
const property = (value) => data(value).replaceAll(/[:,]/g, encodeURIComponent);

function annotation({ severity, path, line, column, key, message, hint }) {
  const places = Object.entries({ file: path, line, col: column }).filter(([, value]) => value !== undefined);
  const properties = places.map(([name, value]) => `${name}=${property(value)}`).join(",");
  const words =
    (key === undefined ? "" : `${key}: `) + message + (hint === undefined ? "" : `\nhint: ${hint}`);
  return `::${severity} ${properties}::${data(words)}`;
}

// After a usage error there is nothing: that was said on stderr.
const answer = await text(process.stdin);
for (const { path, cidrs, ok, problems, warnings } of answer === "" ? [] : JSON.parse(answer).files) {
  for (const finding of [...problems, ...warnings]) console.log(annotation(finding));
  if (ok) console.log(`accepted: ${data(path)} (CIDRs: ${cidrs})`);
}
