/**
 * The beginning of the bundle. The program follows as a comment (build.mjs), since Node looks through each function of a
 * file before it runs the first: that took 19 of the 65 ms from start to rules. Here V8 gets its results from the build
 * instead (rehearse.mjs). Where they are missing, or are another version's or those of other flags, V8 reads the program.
 */
const { readFileSync } = require("node:fs");
const { Script } = require("node:vm");

/** The start of the comment. */
const MARK = "\n//";

/** The program as a function. The build takes care that it is ASCII, so that each character is one byte, in memory as well. */
function readProgram() {
  const bundle = readFileSync(__filename, "latin1");
  return bundle.slice(bundle.indexOf(MARK) + MARK.length);
}

/** V8 compares only the length of the program: the file has the hash of its program in its name. */
function readCache() {
  try {
    return readFileSync(`${__dirname}/${__CACHE__}-${process.version}-${process.arch}.cache`);
  } catch {
    return undefined;
  }
}

const program = new Script(readProgram(), { filename: __filename, cachedData: readCache() });
program.runInThisContext()(require, __dirname);
