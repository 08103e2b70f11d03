/** Units are run on other systems too; what only Linux has is not there to be tested. */

/** Whether this is Linux: a directory of files, for one, is read by way of `/proc/self/fd`. */
export const ON_LINUX = process.platform === "linux";
if (!ON_LINUX) console.warn("NOT TESTED: what the agent does by way of /proc, which only Linux has");
