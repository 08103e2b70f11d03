#!/bin/sh
# Boots a machine with a kernel of Debian's and a copy of an image's files as its root, runs a script in it, and prints what
# that prints. Not qemu-user, which only translates system calls: it has no netfilter netlink, without which nft, conntrack
# and iptables-nft do not even say their version. The processor is emulated, since KVM does not work in every virtual
# machine.
# usage: machine.sh amd64|arm64 SUITE ROOT SCRIPT
set -eu
arch=$1 suite=$2 root=$3 script=$4
cache=$PWD/build/machine-$arch-$suite
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case "$arch" in
  amd64) console=ttyS0 ;;
  arm64) console=ttyAMA0 ;;
esac

# Once: the kernel, and the shell and few commands that the image does not have.
if [ ! -e "$cache/done" ]; then
  rm -rf "$cache"
  mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" "$cache/files"
  : >"$cache/apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" >"$cache/sources.list"
  apt() {
    tool=$1
    shift
    "$tool" -qq -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State=$cache/apt" \
      -o "Dir::State::status=$cache/apt/status" -o "Dir::Cache=$cache/apt" -o APT::Sandbox::User=root \
      -o "Dir::Etc::sourcelist=$cache/sources.list" -o Dir::Etc::sourceparts=- "$@"
  }
  needs() { apt apt-cache depends "$1" | sed -n 's/.*Depends: \(linux-\(image\|modules\|binary\)-.*\)/\1/p'; }
  apt apt-get update
  kernel=$(needs "linux-image-cloud-$arch")
  # shellcheck disable=SC2046 # newer kernels have their modules in another package
  (cd "$cache" && apt apt-get download "$kernel" $(needs "$kernel") busybox-static)
  for deb in "$cache"/*.deb; do dpkg-deb -x "$deb" "$cache/files"; done
  find "$cache/files" -name '*.ko.xz' -exec unxz {} +
  touch "$cache/done"
fi

cp -a "$root" "$work/root"
modules=$(find "$cache/files" -type d -path '*/lib/modules/*' -prune)
destination=$work/root/usr/lib/modules/$(basename "$modules")
mkdir -p "$destination" "$work/root/busybox"
(cd "$modules" && cp -a --parents kernel/net kernel/lib kernel/drivers/net/veth.ko "$destination" &&
  find . -name 'modules.builtin' -o -name modules.order | cpio --quiet -pd "$destination")
cp "$(find "$cache/files" -path '*/bin/busybox')" "$work/root/busybox/busybox"
cp "$script" "$work/root/script"
cat >"$work/root/init" <<INIT
#!/busybox/busybox sh
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/busybox NODE_ENV=production
/busybox/busybox --install -s /busybox
mkdir -p /proc /sys /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec </dev/null >/dev/$console 2>&1
# The kernel loads by itself what rules need, with this program.
ln -s /busybox/modprobe /usr/sbin/modprobe
depmod
ip link set lo up
# What the firmware says may not end its line.
echo
sh /script
echo the machine ends
poweroff -f
INIT
chmod +x "$work/root/init"
(cd "$work/root" && find . | cpio --create --format=newc --quiet | gzip -1 >"$work/initrd")
set -- -m 1024 -nographic -no-reboot -net none -kernel "$(find "$cache/files" -name "vmlinuz*")" -initrd "$work/initrd" \
  -append "console=$console rdinit=/init quiet panic=-1"
case "$arch" in
  amd64) set -- qemu-system-x86_64 -cpu max -accel tcg "$@" ;;
  arm64) set -- qemu-system-aarch64 -machine virt -cpu cortex-a72 "$@" ;;
esac
timeout 500 "$@" </dev/null >"$work/said"
# The carriage returns are the terminal's.
tr -d '\r' <"$work/said"
grep -q '^the machine ends' "$work/said"
