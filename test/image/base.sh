#!/bin/sh
# Where no registry can be reached: makes the base image that the Dockerfile names, from Debian's packages, Node's binary
# as npm distributes it, and this machine's npm. For tests only; a release is built on the published image.
# usage: base.sh [NAME]
set -eu
cd "$(dirname "$0")/../.."
name=${1:-docker.io/library/node:24-bookworm-slim}
buildah inspect --type image "$name" >/dev/null 2>&1 && exit 0
work=$(mktemp -d)
container=
trap 'rm -rf "$work"; [ -z "$container" ] || buildah rm "$container" >/dev/null 2>&1 || true' EXIT

mirror=http://deb.debian.org/debian
# The published image has no documents either, but keeps the licences.
mmdebstrap --quiet --format=tar --variant=minbase --include=ca-certificates \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  bookworm "$work/root.tar" \
  "deb $mirror bookworm main" "deb $mirror bookworm-updates main" "deb $mirror-security bookworm-security main"

container=$(buildah from scratch)
buildah add -q "$container" "$work/root.tar" / >/dev/null
binary=$(scripts/node24.sh)
buildah copy -q "$container" "$binary" /usr/local/bin/node >/dev/null
buildah copy -q "$container" "$(dirname "$binary")/../LICENSE" /usr/local/LICENSE >/dev/null
buildah copy -q "$container" "$(readlink -f "$(npm root -g)/npm")" /usr/local/lib/node_modules/npm >/dev/null
# A machine behind a proxy trusts what others do not; npm has to trust the same.
buildah copy -q "$container" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt >/dev/null
echo cafile=/etc/ssl/certs/ca-certificates.crt >"$work/npmrc"
buildah copy -q "$container" "$work/npmrc" /usr/local/etc/npmrc >/dev/null
mkdir -p "$work/bin"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/bin/npm"
buildah copy -q "$container" "$work/bin" /usr/local/bin >/dev/null
buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd '["node"]' "$container"
buildah commit -q --rm "$container" "$name" >/dev/null
