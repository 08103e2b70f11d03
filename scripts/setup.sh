#!/bin/sh
# Installs what the build and the tests need: Debian packages as root, else prints which are missing; then npm's.
# usage: setup.sh [--npm]     (--npm: only the npm packages, which is what unit tests need, on any system)
set -eu
cd "$(dirname "$0")/.."

# command=package; cc compiles netlink.c
wanted="ip=iproute2 xtables-nft-multi=iptables xtables-legacy-multi=iptables nft=nftables ipset=ipset conntrack=conntrack
python3=python3 unshare=util-linux setpriv=util-linux strace=strace git=git cc=gcc cc=libc6-dev
promtool=prometheus prometheus=prometheus"

[ "${1:-}" != --npm ] || wanted=""
missing=""
for pair in $wanted; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%=*}" >/dev/null 2>&1 || missing="$missing ${pair#*=}"
done
if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    # Debian starts what it installs; the tests start a Prometheus of their own.
    case "$missing" in *prometheus*) systemctl disable --now prometheus >/dev/null 2>&1 || true ;; esac
  else
    echo "missing Debian packages:$missing (as root: apt-get install$missing)" >&2
    exit 1
  fi
fi

node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null ||
  { echo "Node.js 20.19 or newer is needed; found: $(node --version 2>/dev/null || echo none)" >&2; exit 1; }

# Install again only when the lock file has changed.
if ! cmp -s package-lock.json node_modules/.installed-lock 2>/dev/null; then
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.installed-lock
fi
