#!/bin/sh
# Boots an arm64 machine, emulated as a whole, with Debian's kernel and a copy of an image's files as its root, runs a
# script in it, and prints what that prints. Not qemu-user, which only translates system calls: it has no netfilter
# netlink, without which nft, conntrack and iptables-nft do not even say their version.
# usage: machine.sh ROOT SCRIPT
set -eu
root=$1 script=$2
cache=$PWD/build/arm64-machine
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Once: the kernel, and the shell and few commands that the image does not have.
if [ ! -e "$cache/done" ]; then
  rm -rf "$cache"
  mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" "$cache/files"
  : >"$cache/apt/status"
  apt() {
    tool=$1
    shift
    "$tool" -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$cache/apt" \
      -o "Dir::State::status=$cache/apt/status" -o "Dir::Cache=$cache/apt" -o APT::Sandbox::User=root "$@"
  }
  apt apt-get update
  kernel=$(apt apt-cache depends linux-image-cloud-arm64 | sed -n 's/.*Depends: //p')
  (cd "$cache" && apt apt-get download "$kernel" busybox-static)
  for deb in "$cache"/*.deb; do dpkg-deb -x "$deb" "$cache/files"; done
  touch "$cache/done"
fi

cp -a "$root" "$work/root"
modules=$(echo "$cache"/files/lib/modules/*)
destination=$work/root/usr/lib/modules/$(basename "$modules")
mkdir -p "$destination" "$work/root/busybox"
(cd "$modules" && cp -a --parents modules.builtin modules.order kernel/net kernel/lib "$destination")
cp "$cache/files/bin/busybox" "$work/root/busybox/busybox"
cp "$script" "$work/root/script"
cat >"$work/root/init" <<'INIT'
#!/busybox/busybox sh
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/busybox NODE_ENV=production
/busybox/busybox --install -s /busybox
mkdir -p /proc /sys /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/null >/dev/ttyAMA0 2>&1
# The kernel loads by itself what rules need, with this program.
ln -s /busybox/modprobe /usr/sbin/modprobe
depmod
ip link set lo up
sh /script
echo the machine ends
poweroff -f
INIT
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio --create --format=newc --quiet | gzip -1 >"$work/initrd")
timeout 500 qemu-system-aarch64 -machine virt -cpu cortex-a72 -m 1024 -nographic -no-reboot -net none \
  -kernel "$cache"/files/boot/vmlinuz-* -initrd "$work/initrd" \
  -append "console=ttyAMA0 rdinit=/init quiet panic=-1" </dev/null >"$work/said"
# The carriage returns are the terminal's.
tr -d '\r' <"$work/said"
grep -q '^the machine ends' "$work/said"
