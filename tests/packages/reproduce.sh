#!/bin/sh
# Makes the artefacts of this commit twice, from clones at different paths and with different target folders, and compares them. A
# second run continues with the builds of the first one.
# usage: reproduce.sh FOLDER
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
if [ "$(id -u)" != 0 ]; then
    echo "reproduce.sh: the container image is made by root; run: sudo make reproduce" >&2
    exit 1
fi
sh tests/need.sh develop release
arch=$(dpkg --print-architecture)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
commit=$(git rev-parse HEAD)
source=$(pwd)
# Makes the artefacts in a clone and the target folder, into the third folder.
artefacts() {
    [ -d "$1" ] || git clone -q "$source" "$1"
    git -C "$1" fetch -q "$source" "$commit"
    git -C "$1" checkout -q --detach "$commit"
    rm -rf "$3"
    UNTAGGED=yes ADVISORIES=skip sh "$1/packaging/release.sh" "$version" "$arch" "$2" "$3"
}
readonly ANOTHER="$folder/another/place"
artefacts "$folder/one/orbsd" "$folder/one/target" "$folder/one/release"
artefacts "$ANOTHER/orbsd" "$ANOTHER/.cache/orbsd/target" "$ANOTHER/release"
cmp "$folder/one/target/dist/orbsd" "$ANOTHER/.cache/orbsd/target/dist/orbsd" && echo "the programs with their symbols are equal"
if cmp -s "$folder/one/release/SHA256SUMS" "$ANOTHER/release/SHA256SUMS"; then
    echo "all artefacts are equal"
else
    echo "not so: artefacts of two checkouts are equal; these differ:" >&2
    diff "$folder/one/release/SHA256SUMS" "$ANOTHER/release/SHA256SUMS" >&2
    exit 1
fi
