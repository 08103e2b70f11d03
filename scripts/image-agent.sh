#!/bin/sh
# In the Dockerfile's builder: builds the agent, puts it in its layer with the licences of the bundled packages, and gives
# all files of the layers one time, so that equal files make equal layers.
# usage: image-agent.sh amd64|arm64 LAYER COMPILED_LAYER
set -eu
case "$1" in
  amd64) platform=linux-x64 ;;
  arm64) platform=linux-arm64 ;;
  *) echo "no image for $1" >&2; exit 1 ;;
esac
PLATFORMS=$platform node build.mjs
mkdir -p "$2/usr/local/lib/ip-masq-agent" "$2/usr/local/bin" "$2/usr/share/doc/ip-masq-agent"
cp dist/*.cjs dist/*.node "$2/usr/local/lib/ip-masq-agent"
# What V8 compiles is not the same twice, so it has a layer of its own. It is for this machine's V8: an image for the other
# platform starts without.
mkdir -p "$3/usr/local/lib/ip-masq-agent"
cp dist/*-"${platform#linux-}".cache "$3/usr/local/lib/ip-masq-agent" 2>/dev/null || true
ln -s ../lib/ip-masq-agent/ip-masq-agent.cjs "$2/usr/local/bin/ip-masq-agent"
cp LICENSE "$2/usr/share/doc/ip-masq-agent"
npm ls --omit=dev --all --parseable | sed 1d | sort -u | while read -r package; do
  licences=$2/usr/share/doc/npm/${package#"$PWD"/node_modules/}
  mkdir -p "$licences"
  cp "$package/package.json" "$licences"
  find "$package" -maxdepth 1 -iname 'licen[cs]e*' -exec cp {} "$licences" \;
done
find "$(dirname "$2")" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
