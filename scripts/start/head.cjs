/**
 * The beginning of the bundle. The program is a comment within it (build.mjs), since Node looks through each function of a
 * file before it runs the first: that took 19 of the 65 ms from start to rules. Here V8 gets its results from the build
 * instead (rehearse.mjs). Where they are missing, or are another version's or those of other flags, V8 reads the program.
 */
const { readFileSync } = require("node:fs");
const { Script } = require("node:vm");

/**
 * The program as a function. Its text is a part of what Node has read already: to read the file again took 1 ms, and a collection
 * of garbage. The build takes care that it is one line, and ASCII, so that each character is one byte in memory.
 */
function readProgram() {
  const text = (() => {
    __PROGRAM__;
  }).toString();
  return text.slice(text.indexOf("//") + 2, text.lastIndexOf("\n"));
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
