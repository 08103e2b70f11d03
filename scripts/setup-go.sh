#!/bin/sh
# Installs Debian's Go and the decoders of the Go program, for the comparison with them.
set -eu
needed="golang-go golang-gopkg-yaml.v2-dev golang-k8s-sigs-yaml-dev"
# shellcheck disable=SC2086 # a list of packages
dpkg -s $needed >/dev/null 2>&1 && exit 0
[ "$(id -u)" = 0 ] || { echo "missing Debian packages: $needed" >&2; exit 1; }
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $needed >/dev/null
