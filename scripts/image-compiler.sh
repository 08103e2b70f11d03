#!/bin/sh
# In the Dockerfile's builder: installs the C compiler for the image's platform.
# usage: image-compiler.sh amd64|arm64
set -eu
if [ "$1" = "$(dpkg --print-architecture)" ]; then
  packages="gcc libc6-dev"
else
  case "$1" in
    amd64) packages="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;;
    arm64) packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;;
    *) echo "no image for $1: Node 24 and the compilers exist for amd64 and arm64" >&2; exit 1 ;;
  esac
fi
apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
