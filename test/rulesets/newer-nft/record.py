"""Records what nft sends for a ruleset: python3 record.py RULESET CHROOT OUT, CHROOT having a newer nft and its libraries. Needs root and strace."""
import os, re, subprocess, sys

BATCH_BEGIN = 0x10
ruleset_path, chroot, out = sys.argv[1:]
trace = f"{out}.strace"
command = ["unshare", "-n", "strace", "-f", "-e", "trace=sendmsg", "-e", "write=all", "-o", trace]
with open(ruleset_path, "rb") as ruleset:
    subprocess.run([*command, "chroot", chroot, "/usr/sbin/nft", "-f", "-"], stdin=ruleset, check=True)
with open(trace) as file:
    calls = file.read().split("sendmsg(")
os.unlink(trace)
for call in calls:
    lines = re.findall(r"^ \| [0-9a-f]{5,}  ((?:[0-9a-f]{2}  ?){1,16})", call, re.M)
    batch = bytes.fromhex("".join(lines))
    if int.from_bytes(batch[4:6], "little") == BATCH_BEGIN:
        with open(out, "wb") as file:
            file.write(batch)
