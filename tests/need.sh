#!/bin/sh
# Installs by apt the packages that tasks need and this machine lacks, and names them.
# usage: need.sh TASK..., where a TASK is one of
#   develop   build and test the program
#   deb       make the package of a ready program
#   release   make all artefacts of a ready program; with ARCH=arm64 also build it on another machine
#   packages  test the artefacts
set -eu
want=""
# Installs nothing if a program of the packages is here.
need() {
    command -v "$1" >/dev/null 2>&1 || want="$want $2"
}
needs_cargo=no
for task in "$@"; do
    case "$task" in
    develop)
        needs_cargo=yes
        need cc build-essential
        need c++ build-essential
        # libclang-cpp alone is not enough: bindgen loads the C library.
        found=""
        for f in /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* /usr/lib/*/libclang-[0-9]*.so* /usr/lib*/libclang.so*; do
            [ -e "$f" ] && found=yes
        done
        [ -n "$found" ] || want="$want libclang-dev"
        need ccache ccache
        need dig bind9-dnsutils
        need openssl openssl
        need curl curl
        need unshare util-linux
        need ip iproute2
        # For systemd-analyze, which checks the unit and starts no service.
        need systemd-analyze systemd
        need python3 python3
        ;;
    deb | release | packages)
        need dpkg-deb dpkg
        need dpkg-shlibdeps dpkg-dev
        need objcopy binutils
        need xz xz-utils
        need python3 python3
        ;;
    *)
        echo "need.sh: unknown task \"$task\"; use develop, deb, release or packages" >&2
        exit 2
        ;;
    esac
    case "$task" in
    release)
        need minisign minisign
        need lintian lintian
        [ -e /etc/ssl/certs/ca-certificates.crt ] || want="$want ca-certificates"
        need buildah buildah
        if [ "${ARCH:-amd64}" = arm64 ] && [ "$(dpkg --print-architecture)" != arm64 ]; then
            need aarch64-linux-gnu-gcc "gcc-aarch64-linux-gnu g++-aarch64-linux-gnu binutils-aarch64-linux-gnu libc6-dev-arm64-cross"
        fi
        ;;
    packages)
        need mmdebstrap mmdebstrap
        need lintian lintian
        need unshare util-linux
        need skopeo skopeo
        need umoci umoci
        need ip iproute2
        need dig bind9-dnsutils
        ;;
    esac
done
if [ -n "$want" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "orbsd needs these Debian packages or their equivalents, and this machine has no apt:$want" >&2
        exit 1
    fi
    sudo=""
    if [ "$(id -u)" != 0 ]; then
        sudo=sudo
        if ! command -v sudo >/dev/null 2>&1; then
            echo "orbsd needs these packages; install them as root: apt-get install$want" >&2
            exit 1
        fi
    fi
    echo "installing missing packages:$want"
    $sudo apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $want >/dev/null
fi
if [ "$needs_cargo" = yes ] && ! command -v cargo >/dev/null 2>&1; then
    echo "orbsd needs Rust 1.91 or newer, and cargo was not found; install Rust by rustup (the package of Debian is too old)" >&2
    exit 1
fi
