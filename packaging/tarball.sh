#!/bin/sh
# Makes the tarball of a ready program, with what a system without packages of Debian needs besides, and prints its size.
# usage: tarball.sh PROGRAM VERSION ARCH FOLDER; HELP_PROGRAM and LICENCES as for deb.sh
set -eu
program=$1
version=$2
arch=$3
out=$4
packaging=$(cd "$(dirname "$0")" && pwd)
source=$(dirname "$packaging")
[ "$arch" = arm64 ] && [ "$arch" != "$(dpkg --print-architecture)" ] && cross=aarch64-linux-gnu- || cross=""
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$source" log -1 --format=%ct)}
umask 022
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=orbsd-$version-linux-$arch
folder=$work/$name
mkdir "$folder"
install -m 0755 "$program" "$folder/orbsd"
"${cross}strip" --strip-unneeded --remove-section=.comment "$folder/orbsd"
"${HELP_PROGRAM:-$program}" packaging help-files "$folder/help"
# The program writes private files.
chmod -R u=rwX,go=rX "$folder/help"
"$packaging/example.sh" "$folder/examples"
cp -r "$source/docs" "$folder/docs"
for file in orbsd.service README.md CHANGELOG.md SECURITY.md LICENSE-MIT LICENSE-APACHE; do
    install -m 0644 "$source/$file" "$folder/$file"
done
install -m 0644 "$packaging/debian/orbsd.sysusers" "$folder/sysusers.conf"
install -m 0644 "$packaging/debian/orbsd.tmpfiles" "$folder/tmpfiles.conf"
sed "s|image: localhost/orbsd:.*|image: localhost/orbsd:$version|" "$packaging/compose.yaml" >"$folder/compose.yaml"
install -m 0644 "${LICENCES:?names the file of licences that crates.py has written}" "$folder/licences.txt"
tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -cf - "$name" \
    | xz -6 --threads=1 >"$out/$name.tar.xz"
echo "$out/$name.tar.xz: $(stat -c %s "$out/$name.tar.xz") bytes"
