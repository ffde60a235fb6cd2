#!/bin/sh
# Makes the artefacts of a release from this commit and tests all of them. BINARY: a ready program instead of a build.
# usage: release.sh TARGET SUITE...
set -eu
target=$1
shift
cd "$(dirname "$0")/../.."
# The limits of the package: bytes, and KiB when it is installed.
readonly MAX_DEB_BYTES=15000000
readonly MAX_INSTALLED_KIB=46080
if [ "$(id -u)" != 0 ]; then
    echo "release.sh: the tests of packages make root directories and need root; run: sudo make packages" >&2
    exit 1
fi
sh tests/need.sh develop release packages
arch=$(dpkg --print-architecture)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
to=$(mktemp -d)
trap 'rm -rf "$to"' EXIT
fail() {
    echo "not so: $1" >&2
    exit 1
}
program=${BINARY:-$(sh packaging/build.sh "$target" "$arch")}

# A key for this test alone, without a password.
minisign -G -W -p "$to/key.pub" -s "$to/key" >/dev/null
out=$to/release
BINARY=$program MINISIGN_KEY=$to/key UNTAGGED=yes ADVISORIES=skip sh packaging/release.sh "$version" "$arch" "$target" "$out"
(cd "$out" && sha256sum --quiet -c SHA256SUMS) || fail "the checksums are those of the artefacts"
minisign -V -q -p "$to/key.pub" -m "$out/SHA256SUMS" || fail "the signature is valid"
cp "$out/SHA256SUMS" "$out/SHA256SUMS.minisig" "$to"
sed -i 's/^0/1/; s/^[2-9a-f]/0/' "$to/SHA256SUMS"
! minisign -V -q -p "$to/key.pub" -m "$to/SHA256SUMS" 2>/dev/null || fail "changed checksums are noticed"
deb=$out/orbsd_$version-1_$arch.deb
[ "$(stat -c %s "$deb")" -le "$MAX_DEB_BYTES" ] || fail "the package has at most $MAX_DEB_BYTES bytes"
installed=$(dpkg-deb -f "$deb" Installed-Size)
[ "$installed" -le "$MAX_INSTALLED_KIB" ] || fail "the installed package has at most $MAX_INSTALLED_KIB KiB: $installed"
mkdir "$to/tar"
tar -xf "$out/orbsd-$version-linux-$arch.tar.xz" -C "$to/tar"
"$to/tar/orbsd-$version-linux-$arch/orbsd" --version || fail "the program of the tarball runs"
python3 tests/packages/materials.py "$out/orbsd-$version-$arch.cdx.json" "$out/orbsd-$version-licences.txt"

# Made again, the artefacts have the same bytes.
again=$to/again
BINARY=$program UNTAGGED=yes ADVISORIES=skip sh packaging/release.sh "$version" "$arch" "$target" "$again" >/dev/null
cmp "$out/SHA256SUMS" "$again/SHA256SUMS" || fail "artefacts of the same program are equal"
rm -rf "$again"

echo "the container image"
unshare --net --mount --pid --fork --mount-proc python3 tests/packages/image.py "$out/orbsd-$version-oci-$arch.tar"
rm -rf "$out"
sh tests/packages/run.sh "$program" "$target/peers/roots" "$@"
