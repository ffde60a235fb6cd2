#!/bin/sh
# Installs by apt the packages that release artefacts and their tests need and this machine lacks, and names them.
# usage: need.sh build | test
set -eu
want=""
# Installs nothing if a program of the package is here.
need() {
    command -v "$1" >/dev/null 2>&1 || want="$want $2"
}
need dpkg-deb dpkg
need dpkg-shlibdeps dpkg-dev
need objcopy binutils
need xz xz-utils
need python3 python3
case "$1" in
build)
    need minisign minisign
    need lintian lintian
    [ -e /etc/ssl/certs/ca-certificates.crt ] || want="$want ca-certificates"
    need buildah buildah
    if [ "${ARCH:-amd64}" = arm64 ] && [ "$(dpkg --print-architecture)" != arm64 ]; then
        need aarch64-linux-gnu-gcc "gcc-aarch64-linux-gnu g++-aarch64-linux-gnu binutils-aarch64-linux-gnu libc6-dev-arm64-cross"
    fi
    ;;
test)
    need mmdebstrap mmdebstrap
    need lintian lintian
    need unshare util-linux
    need skopeo skopeo
    need umoci umoci
    need ip iproute2
    ;;
*)
    echo "need.sh: unknown purpose \"$1\"; use build or test" >&2
    exit 2
    ;;
esac
[ -n "$want" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "packages of orbsd are made with these Debian packages, and this machine has no apt:$want" >&2
    exit 1
fi
sudo=""
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    if ! command -v sudo >/dev/null 2>&1; then
        echo "packages of orbsd are made with these packages; install them as root: apt-get install$want" >&2
        exit 1
    fi
fi
echo "installing missing packages:$want"
$sudo apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $want >/dev/null
