#!/bin/sh
# Makes packages of a ready program, checks them with lintian, and tests them in a root of each Debian release.
# usage: run.sh PROGRAM ROOTS SUITE...
set -eu
program=$1
roots=$2
shift 2
cd "$(dirname "$0")/../.."
if [ "$(id -u)" != 0 ]; then
    echo "run.sh: the tests of packages make root directories and need root; run: sudo make packages" >&2
    exit 1
fi
sh tests/need.sh packages
sh tests/packages/roots.sh "$roots" "$@"
to=$(mktemp -d)
trap 'rm -rf "$to"' EXIT
arch=$(dpkg --print-architecture)
store=$("$program" packaging store-version --supported)
python3 packaging/crates.py licences --target "$(rustc -vV | awk '/^host:/ { print $2 }')" >"$to/licences"
export LICENCES="$to/licences" COMPRESSION=gzip
sh packaging/deb.sh "$program" 1.0.0-1 "$arch" "$to/debs"
sh packaging/deb.sh "$program" 1.1.0-1 "$arch" "$to/debs"
# A program that reads older stores only; the package is refused before it is unpacked.
STORE_VERSION=$((store - 1)) sh packaging/deb.sh "$program" 0.9.0-1 "$arch" "$to/debs"
lintian --allow-root --fail-on error "$to"/debs/orbsd*_1.0.0-1_*.deb
for suite in "$@"; do
    unshare --net --mount --pid --fork --mount-proc python3 tests/packages/test.py "$roots/$suite.tar" "$to/debs"
done
