#!/bin/sh
# Installs by apt the packages that the build of orbsd needs and this machine lacks, and names them.
set -eu
want=""
command -v cc >/dev/null 2>&1 && command -v c++ >/dev/null 2>&1 || want="$want build-essential"
# libclang-cpp alone is not enough: bindgen loads the C library.
found=""
for f in /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* /usr/lib/*/libclang-[0-9]*.so* /usr/lib*/libclang.so*; do
    [ -e "$f" ] && found=yes
done
[ -n "$found" ] || want="$want libclang-dev"
command -v ccache >/dev/null 2>&1 || want="$want ccache"
command -v dig >/dev/null 2>&1 || want="$want bind9-dnsutils"
command -v openssl >/dev/null 2>&1 || want="$want openssl"
command -v curl >/dev/null 2>&1 || want="$want curl"
command -v python3 >/dev/null 2>&1 || want="$want python3"
command -v unshare >/dev/null 2>&1 || want="$want util-linux"
command -v ip >/dev/null 2>&1 || want="$want iproute2"
# For systemd-analyze, which checks the unit and starts no service.
command -v systemd-analyze >/dev/null 2>&1 || want="$want systemd"
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
if ! command -v cargo >/dev/null 2>&1; then
    echo "orbsd needs Rust 1.91 or newer, and cargo was not found; install Rust by rustup (the package of Debian is too old)" >&2
    exit 1
fi
