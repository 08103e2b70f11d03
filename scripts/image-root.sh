#!/bin/sh
# In the Dockerfile's builder: puts together the image's root from single files of Debian's packages for its platform,
# as distroless images do: programs, the libraries that they name, licences, and the packages' records for scanners.
# usage: image-root.sh amd64|arm64 NODE_DIRECTORY DESTINATION
set -eu
arch=$1 node=$2 destination=$3
case "$arch" in
  amd64) triplet=x86_64-linux-gnu loader=lib64/ld-linux-x86-64.so.2 ;;
  arm64) triplet=aarch64-linux-gnu loader=lib/ld-linux-aarch64.so.1 ;;
  *) echo "no image for $arch" >&2; exit 1 ;;
esac
debs=/tmp/image-debs

# An apt of its own in which nothing is installed also brings the libraries, in the target's architecture.
download() {
  apt=/tmp/image-apt
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
  : >"$apt/status"
  set -- "$@" -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State=$apt/state" \
    -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root
  apt-get -qq update -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State=$apt/state" \
    -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root
  apt-get -qq install -y --no-install-recommends --download-only "$@" >/dev/null
  for deb in "$apt"/cache/archives/*.deb; do
    name=$(dpkg-deb -f "$deb" Package)
    mkdir -p "$debs/$name"
    dpkg-deb -x "$deb" "$debs/$name"
    dpkg-deb -f "$deb" >"$debs/$name.control"
  done
}

# A layer's directory; both have the same links, as /bin of a merged /usr.
layer() {
  root=$destination/$1
  mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib/$triplet" "$root/usr/local/bin"
  ln -s usr/bin "$root/bin"
  ln -s usr/sbin "$root/sbin"
  ln -s usr/lib "$root/lib"
}

# Finds a file below / and /usr in the packages, and adds the licence and the record of its package.
find_file() {
  for found in "$debs"/*/usr/"$1" "$debs"/*/"$1"; do
    [ -e "$found" ] || [ -L "$found" ] || continue
    package=${found#"$debs"/}
    package=${package%%/*}
    record "$package"
    return
  done
  echo "no Debian package has $1" >&2
  exit 1
}

record() {
  [ ! -e "$root/var/lib/dpkg/status.d/$1" ] || return 0
  mkdir -p "$root/var/lib/dpkg/status.d" "$root/usr/share/doc/$1"
  cp "$debs/$1.control" "$root/var/lib/dpkg/status.d/$1"
  # Some packages' directory is a link to another's, which is beside it only once everything is installed.
  licence=$debs/$1/usr/share/doc/$1/copyright
  [ -e "$licence" ] || licence=$(ls "$debs"/*/usr/share/doc/"$(basename "$(readlink "$debs/$1/usr/share/doc/$1")")"/copyright)
  cp "$licence" "$root/usr/share/doc/$1/copyright"
}

# add DIRECTORY NAME...: files below /usr, links as files
add() {
  directory=$1
  shift
  for name in "$@"; do
    find_file "$directory/$name"
    cp -L "$found" "$root/usr/$directory/$name"
  done
}

# Adds the libraries that the layer's files name, and those that these name, unless a lower layer has them.
add_libraries() {
  while :; do
    before=$(ls "$root/usr/lib/$triplet" | wc -l)
    for library in $(find "$root" -type f -exec "$triplet-readelf" -d {} + 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u); do
      for layer in node tools; do
        [ ! -e "$destination/$layer/usr/lib/$triplet/$library" ] || continue 2
      done
      add "lib/$triplet" "$library"
    done
    [ "$before" != "$(ls "$root/usr/lib/$triplet" | wc -l)" ] || return 0
  done
}

# Its errors about files that are not programs are hidden, but not that it is missing.
command -v "$triplet-readelf" >/dev/null || { echo "no $triplet-readelf: scripts/image-compiler.sh installs it" >&2; exit 1; }

download base-files coreutils libstdc++6 iptables ipset nftables conntrack

layer node
cp "$node/node" "$root/usr/local/bin/node"
"$triplet-strip" --strip-all "$root/usr/local/bin/node"
mkdir -p "$root/usr/share/doc/node" "$root/etc/config" "$root/run" "$root/tmp"
cp "$node/LICENSE" "$root/usr/share/doc/node/copyright"
# The bundle's first line needs it.
add bin env
# Scanners look here for the release that the packages' records are of.
add lib os-release
ln -s ../usr/lib/os-release "$root/etc/os-release"
add_libraries
[ -e "$root/usr/lib/$triplet/libc.so.6" ] || { echo "node's libraries were not found" >&2; exit 1; }
case "$loader" in lib64/*) ln -s usr/lib64 "$root/lib64" && mkdir "$root/usr/lib64" ;; esac
ln -s "/usr/lib/$triplet/$(basename "$loader")" "$root/usr/$loader"
echo root:x:0:0:root:/:/nonexistent >"$root/etc/passwd"
echo root:x:0: >"$root/etc/group"

layer tools
add sbin xtables-nft-multi xtables-legacy-multi ipset nft conntrack
for family in ip ip6; do
  for tool in tables tables-save tables-restore; do
    for variant in nft legacy; do
      ln -s "xtables-$variant-multi" "$root/usr/sbin/${family}tables-$variant${tool#tables}"
    done
    ln -s "xtables-nft-multi" "$root/usr/sbin/$family$tool"
  done
done
# All matches and targets, since a listing fails at the first unknown one, in rules of any program.
mkdir -p "$root/usr/lib/$triplet/xtables"
find_file "lib/$triplet/xtables/libxt_comment.so"
cp -a "$(dirname "$found")"/libxt_* "$(dirname "$found")"/libip*t_* "$root/usr/lib/$triplet/xtables"
add_libraries
