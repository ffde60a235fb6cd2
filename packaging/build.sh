#!/bin/sh
# Builds the program of a release, and prints its path. Its bytes do not depend on the folder of the checkout.
# usage: build.sh TARGET ARCH, where ARCH is amd64 or arm64
set -eu
target=$1
arch=$2
cd "$(dirname "$0")/.."
here=$(pwd)
cargo=${CARGO:-cargo}
own=$(dpkg --print-architecture)
case "$arch" in
amd64) triple=x86_64-unknown-linux-gnu ;;
arm64) triple=aarch64-unknown-linux-gnu ;;
*)
    echo "build.sh: unknown architecture \"$arch\"; use amd64 or arm64" >&2
    exit 2
    ;;
esac
export CARGO_TARGET_DIR="$target"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
crates=${CARGO_HOME:-$HOME/.cargo}
# Messages of panics and debug symbols name source files. The linker packs relocations (Debian 12 and newer read them), which
# makes the program smaller.
RUSTFLAGS="--remap-path-prefix=$here=/usr/src/orbsd --remap-path-prefix=$crates=/usr/src/cargo"
RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$target=/usr/src/target -C link-arg=-Wl,-z,pack-relative-relocs"
export RUSTFLAGS
if [ "$arch" = "$own" ]; then
    $cargo build --profile dist --bin orbsd --locked >&2
    echo "$target/dist/orbsd"
    exit
fi
case "$arch" in
arm64) cross=aarch64-linux-gnu ;;
*)
    echo "build.sh: there is no cross compiler from $own to $arch; build on a machine of that architecture" >&2
    exit 1
    ;;
esac
rustc --print target-libdir --target "$triple" | {
    read -r folder
    [ -d "$folder" ] || {
        echo "build.sh: Rust has no standard library for $triple here; install it: rustup target add $triple" >&2
        exit 1
    }
}
ccache=""
command -v ccache >/dev/null 2>&1 && ccache="ccache "
export CC_aarch64_unknown_linux_gnu="$ccache$cross-gcc" CXX_aarch64_unknown_linux_gnu="$ccache$cross-g++"
export AR_aarch64_unknown_linux_gnu="$cross-ar" CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER="$cross-gcc"
export BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu="--sysroot=/usr/$cross -I/usr/$cross/include"
$cargo build --profile dist --bin orbsd --locked --target "$triple" >&2
echo "$target/$triple/dist/orbsd"
