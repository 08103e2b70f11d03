#!/bin/sh
# Builds and pushes images with whichever of buildah, podman and docker is here.
# usage: image.sh build|push [ARCH...]; without ARCH, the image for this machine
#   REGISTRY PUSH_FLAGS CONTAINER_TOOL BASE_DIGEST: see the Makefile
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

# The commit's time stands in the image instead of today's, so that one commit makes one image.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

# build NAME [ARCH]
build() {
  image=$1 arch=${2:-}
  set -- --file Dockerfile --tag "$image" --build-arg "VERSION=$version" \
    --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" --build-arg "BASE_DIGEST=${BASE_DIGEST:-}"
  [ -z "$arch" ] || set -- "$@" --platform "linux/$arch"
  case "$tool" in
    # Without the host's network buildah and podman make a bridge and rules of their own, on the machine.
    buildah) buildah bud --network=host --layers --timestamp "$SOURCE_DATE_EPOCH" "$@" . ;;
    podman) podman build --network=host --layers --timestamp "$SOURCE_DATE_EPOCH" "$@" . ;;
    *) "$tool" build "$@" . ;;
  esac
}

# shellcheck disable=SC2086 # PUSH_FLAGS is a list
push() { "$tool" push ${PUSH_FLAGS:-} "$1"; }

# A list of the images of several platforms, under the name that every node can pull.
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
      for image in "$@"; do "$tool" manifest add "$list" "$image" >/dev/null; done
      "$tool" manifest push --all ${PUSH_FLAGS:-} "$list" "docker://$list" ;;
  esac
}

case "$action" in
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
  *) echo "usage: image.sh build|push [ARCH...]" >&2; exit 2 ;;
esac
