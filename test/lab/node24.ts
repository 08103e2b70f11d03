/** The version of Node in the image, whichever one runs the tests; installed from npm when it is first needed. */
import { resolve } from "node:path";
import { command } from "./command.ts";

export const NODE24 = resolve((await command("sh", ["scripts/node24.sh"])).trim());
