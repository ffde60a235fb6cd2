#!/bin/sh
# Makes all artefacts of a release from its tag, into a new folder: packages, tarball, image, bill of materials, licences, checksums
# and a signature.
# usage: release.sh VERSION ARCH TARGET FOLDER
#
# BINARY: a ready program, with its symbols, instead of a build
# HELP_PROGRAM: a program for this machine, if ARCH is another one
# MINISIGN_KEY: the file of the secret key that signs the checksums; without it they are not signed
# UNTAGGED=yes: make it from this commit, and leave out the checks of tag and version; for tests
# ADVISORIES=skip: do not check the crates for known vulnerabilities, because their database cannot be reached
set -eu
version=$1
arch=$2
target=$3
out=$4
packaging=$(cd "$(dirname "$0")" && pwd)
cd "$packaging/.."
fail() {
    echo "release.sh: $1" >&2
    exit 1
}
[ -n "$version" ] || fail "the version is missing; run: make release VERSION=0.2.0"
case "$arch" in
amd64) triple=x86_64-unknown-linux-gnu ;;
arm64) triple=aarch64-unknown-linux-gnu ;;
*) fail "unknown architecture \"$arch\"; use amd64 or arm64" ;;
esac
if [ "${UNTAGGED:-}" != yes ]; then
    tag=v$version
    [ "$(git rev-parse -q --verify "$tag^{commit}")" = "$(git rev-parse HEAD)" ] \
        || fail "the tag $tag is not this commit; check out the tag, or create it: git tag -s $tag"
    [ -z "$(git status --porcelain --untracked-files=no)" ] || fail "files of the checkout are changed; commit or restore them"
    grep -q "^version = \"$version\"$" Cargo.toml || fail "Cargo.toml has another version than $version; set it before the tag"
    grep -q "^## $version" CHANGELOG.md || fail "CHANGELOG.md has no heading \"## $version\"; add it before the tag"
fi
[ ! -e "$out" ] || [ -z "$(ls -A "$out")" ] || fail "$out is not empty; remove it, or name another folder by OUT="
ARCH=$arch sh tests/need.sh release
mkdir -p "$out"
out=$(cd "$out" && pwd)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

case "${ADVISORIES:-check}" in
skip) echo "advisories: not checked" ;;
*) sh tests/deny.sh "$target" advisories || fail "see the advisories above; without access to their database, set ADVISORIES=skip" ;;
esac
program=${BINARY:-$(sh packaging/build.sh "$target" "$arch")}
[ -x "$program" ] || fail "$program is not a program; name it by BINARY="
python3 packaging/crates.py licences --target "$triple" >"$out/orbsd-$version-licences.txt"
python3 packaging/crates.py sbom --target "$triple" --version "$version" >"$out/orbsd-$version-$arch.cdx.json"
export LICENCES="$out/orbsd-$version-licences.txt"
sh packaging/deb.sh "$program" "$version-1" "$arch" "$out"
sh packaging/tarball.sh "$program" "$version" "$arch" "$out"
if [ "$arch" = "$(dpkg --print-architecture)" ]; then
    sh packaging/image.sh "$program" "$version" "$arch" "$out"
else
    echo "no image of $arch: the libraries in it come from a machine of that architecture"
fi
lintian --allow-root --fail-on error,warning "$out"/*.deb
(cd "$out" && find . -type f ! -name 'SHA256SUMS*' -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
if [ -n "${MINISIGN_KEY:-}" ]; then
    minisign -S -s "$MINISIGN_KEY" -m "$out/SHA256SUMS" -t "orbsd $version $arch"
else
    echo "SHA256SUMS is not signed; sign it: minisign -S -m $out/SHA256SUMS"
fi
echo "the artefacts are in $out"
