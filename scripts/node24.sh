#!/bin/sh
# Installs Node 24 from npm beside the project, for tests on the version in the image; prints its path.
set -eu
cd "$(dirname "$0")/.."
version=24.21.0
package="node-linux-$(node -p process.arch)"
mkdir -p build/node24
# Several tests may want it at once.
exec 9>build/node24/lock
flock 9
[ -x "build/node24/node_modules/$package/bin/node" ] ||
  npm install --silent --no-save --no-package-lock --prefix build/node24 "$package@$version" >/dev/null 2>&1 9>&-
echo "build/node24/node_modules/$package/bin/node"
