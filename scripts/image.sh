#!/bin/sh
# Builds and pushes images with whichever of buildah, podman and docker is here.
# usage: image.sh build|push [ARCH...]; without ARCH, the image for this machine
#        image.sh save FILE; writes the image for this machine as a docker archive
#        image.sh layout DIR ARCH...; writes these images and a list of them as an OCI layout, with the digests they will have
#   REGISTRY BUILD_FLAGS PUSH_FLAGS COMPRESS_FLAGS CONTAINER_TOOL BASE_DIGEST: see the Makefile
set -eu
cd "$(dirname "$0")/.."
action=$1
shift
version=$(node scripts/version.mjs)
name=${REGISTRY:-localhost}/ip-masq-agent

tool=${CONTAINER_TOOL:-}
for candidate in buildah podman docker; do
  [ -n "$tool" ] || ! command -v "$candidate" >/dev/null 2>&1 || tool=$candidate
done
[ -n "$tool" ] || { echo "neither buildah nor podman nor docker is installed (e.g. apt-get install buildah runc)" >&2; exit 1; }

# Debian's crun fails on machines with both versions of control groups; runc works on all.
runtime=${BUILDAH_RUNTIME:-$(command -v runc || true)}
[ -z "$runtime" ] || export BUILDAH_RUNTIME="$runtime"

# Files have one time for all commits, so that equal files make equal layers in every version; a label has the time of the
# commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
export SOURCE_DATE_EPOCH

host_arch() { node -p '({ x64: "amd64" })[process.arch] ?? process.arch'; }

# build NAME [ARCH]
build() {
  image=$1 arch=${2:-}
  # shellcheck disable=SC2086 # BUILD_FLAGS is a list
  set -- ${BUILD_FLAGS:-} --file Dockerfile --tag "$image" --build-arg "VERSION=$version" \
    --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    --build-arg "CREATED=$(git log -1 --format=%cI 2>/dev/null || true)" \
    --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" --build-arg "BASE_DIGEST=${BASE_DIGEST:-}"
  [ -z "$arch" ] || set -- "$@" --platform "linux/$arch"
  case "$tool" in
    # buildah 1.28 takes the target's platform for the builder's without this.
    buildah | podman) set -- "$@" --build-arg "BUILDPLATFORM=linux/$(host_arch)" ;;
  esac
  case "$tool" in
    # Without the host's network buildah and podman make a bridge and rules of their own, on the machine. buildah leaves the
    # containers of stages that have no instructions, except with --force-rm.
    buildah) buildah bud --network=host --layers --force-rm --timestamp "$SOURCE_DATE_EPOCH" "$@" . ;;
    podman) podman ${runtime:+--runtime="$runtime"} build --network=host --layers --timestamp "$SOURCE_DATE_EPOCH" "$@" . ;;
    *) "$tool" build "$@" . ;;
  esac
}

# Level 9 makes 46.4 MB of what are 48.1 by default; podman 4.3 and docker do not know it.
compress=${COMPRESS_FLAGS:-}
[ -n "$compress" ] || [ "$tool" != buildah ] || compress=--compression-level=9

# shellcheck disable=SC2086 # lists of flags
push() { "$tool" push ${PUSH_FLAGS:-} $compress "$1"; }

# A list of the images of several platforms, under one name that every node can pull.
# shellcheck disable=SC2086
push_list() {
  case "$tool" in
    docker)
      docker manifest create --amend "$@"
      docker manifest push "$1" ;;
    *)
      list=$1
      shift
      "$tool" manifest rm "$list" >/dev/null 2>&1 || true
      "$tool" manifest create "$list" >/dev/null
      # As they are in the registry: buildah 1.28 and podman 4.3 would compress the local images again, with their default.
      for image in "$@"; do "$tool" manifest add ${PUSH_FLAGS:-} "$list" "docker://$image" >/dev/null; done
      "$tool" manifest push --all ${PUSH_FLAGS:-} "$list" "docker://$list" ;;
  esac
}

# save NAME FILE
save() {
  case "$tool" in
    buildah) buildah push --quiet "$1" "docker-archive:$2:$1" ;;
    *) "$tool" save --output "$2" "$1" ;;
  esac
}

# layout DIR ARCH...
layout() {
  directory=$1 list=$name-list:$version
  shift
  [ "$tool" != docker ] || { echo "docker writes no OCI layout: install buildah or podman" >&2; exit 1; }
  rm -rf "$directory" "$directory.parts"
  "$tool" manifest rm "$list" >/dev/null 2>&1 || true
  "$tool" manifest create "$list" >/dev/null
  # Each by itself first: of a list buildah and podman know no level of compression.
  for arch in "$@"; do
    # shellcheck disable=SC2086 # a list of flags
    "$tool" push --quiet $compress "$name-$arch:$version" "oci:$directory.parts:$arch"
    "$tool" manifest add "$list" "oci:$directory.parts:$arch" >/dev/null
  done
  "$tool" manifest push --quiet --all "$list" "oci:$directory:$version"
  "$tool" manifest rm "$list" >/dev/null
  rm -r "$directory.parts"
}

case "$action" in
  layout) layout "$@" ;;
  save) save "$name:$version" "$1" ;;
  build)
    [ $# -gt 0 ] || build "$name:$version"
    for arch in "$@"; do build "$name-$arch:$version" "$arch"; done ;;
  push)
    [ $# -gt 0 ] || push "$name:$version"
    images=""
    for arch in "$@"; do
      push "$name-$arch:$version"
      images="$images $name-$arch:$version"
    done
    # shellcheck disable=SC2086 # a list of images
    [ -z "$images" ] || push_list "$name:$version" $images ;;
  *) echo "usage: image.sh build|push [ARCH...], or image.sh save FILE, or image.sh layout DIR ARCH..." >&2; exit 2 ;;
esac
