#!/bin/sh
# Makes the packages orbsd and orbsd-dbgsym of a ready program, and prints their sizes.
# usage: deb.sh PROGRAM VERSION ARCH FOLDER
#
# The packages are made with dpkg-deb alone, because nothing is compiled here and a list of files shows what is in them;
# debhelper's own work would be a dozen lines of the scripts in debian/.
#
# HELP_PROGRAM: a program for this machine that writes the man pages, if PROGRAM is for another one
# LICENCES: the file of licences that crates.py has written; it is written if this is not set
# STORE_VERSION: the store version of the program; for tests of the downgrade
# COMPRESSION: xz, or gzip for tests
set -eu
program=$1
version=$2
arch=$3
out=$4
packaging=$(cd "$(dirname "$0")" && pwd)
source=$(dirname "$packaging")
help=${HELP_PROGRAM:-$program}
case "$arch" in
amd64) cross="" triple=x86_64-unknown-linux-gnu ;;
arm64) cross=aarch64-linux-gnu- triple=aarch64-unknown-linux-gnu ;;
*)
    echo "deb.sh: unknown architecture \"$arch\"; use amd64 or arm64" >&2
    exit 2
    ;;
esac
[ "$arch" = "$(dpkg --print-architecture)" ] && cross=""
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$source" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
store=${STORE_VERSION:-$("$help" packaging store-version --supported)}
maintainer=${MAINTAINER:-orbsd maintainers <hostmaster@orbs.example>}
umask 022
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/orbsd
symbols=$work/orbsd-dbgsym
doc=$root/usr/share/doc/orbsd
mkdir -p "$doc/examples" "$doc/docs"

# The program, and its symbols apart.
install -D -m 0755 "$program" "$root/usr/bin/orbsd"
id=$("${cross}readelf" -n "$program" | awk '/Build ID:/ { print $3 }')
[ -n "$id" ] || {
    echo "deb.sh: $program has no build ID; link it with --build-id" >&2
    exit 1
}
file=$symbols/usr/lib/debug/.build-id/$(printf %.2s "$id")/$(echo "$id" | cut -c 3-).debug
mkdir -p "$(dirname "$file")"
"${cross}objcopy" --only-keep-debug --compress-debug-sections "$program" "$file"
chmod 0644 "$file"
"${cross}strip" --strip-unneeded --remove-section=.comment "$root/usr/bin/orbsd"

# The service, with the path of packages.
unit=$root/usr/lib/systemd/system/orbsd.service
mkdir -p "$(dirname "$unit")"
sed 's|/usr/local/bin|/usr/bin|g' "$source/orbsd.service" >"$unit"
install -D -m 0644 "$packaging/debian/orbsd.sysusers" "$root/usr/lib/sysusers.d/orbsd.conf"
install -D -m 0644 "$packaging/debian/orbsd.tmpfiles" "$root/usr/lib/tmpfiles.d/orbsd.conf"
mkdir -p "$root/etc/orbsd"

# Man pages and completions, as the program writes them.
"$help" packaging help-files "$work/help"
# The program writes private files.
chmod -R u=rwX,go=rX "$work/help"
mkdir -p "$root/usr/share/man"
cp -r "$work/help/man1" "$root/usr/share/man/man1"
gzip -9n "$root"/usr/share/man/man1/*.1
install -D -m 0644 "$work/help/bash/orbsd.bash" "$root/usr/share/bash-completion/completions/orbsd"
install -D -m 0644 "$work/help/zsh/_orbsd" "$root/usr/share/zsh/vendor-completions/_orbsd"
install -D -m 0644 "$work/help/fish/orbsd.fish" "$root/usr/share/fish/vendor_completions.d/orbsd.fish"

# Documentation. The example has the paths that the unit needs.
"$packaging/example.sh" "$doc/examples"
cp -r "$source/docs/." "$doc/docs"
find "$doc/docs" -type f -name '*.md' -size +3k -exec gzip -9n {} +
install -m 0644 "$packaging/debian/README.Debian" "$doc/README.Debian"
mit=$(sed 's/^$/./; s/^/ /' "$source/LICENSE-MIT")
awk -v mit="$mit" '/^@MIT@$/ { print mit; next } { print }' "$packaging/debian/copyright" >"$doc/copyright"
gzip -9nc "$source/CHANGELOG.md" >"$doc/changelog.gz"
printf 'orbsd (%s) stable; urgency=medium\n\n  * See changelog.gz for the changes of this version.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$(LC_ALL=C date -uR -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.Debian.gz"
if [ -n "${LICENCES:-}" ]; then
    cp "$LICENCES" "$work/licences"
else
    python3 "$packaging/crates.py" licences --target "$triple" --folder "$source" >"$work/licences"
fi
gzip -9nc "$work/licences" >"$doc/licences.txt.gz"
mkdir -p "$symbols/usr/share/doc"
ln -s orbsd "$symbols/usr/share/doc/orbsd-dbgsym"
install -D -m 0644 "$packaging/debian/lintian-overrides" "$root/usr/share/lintian/overrides/orbsd"

# The libraries that the program is linked with.
mkdir -p "$work/debian"
printf 'Source: orbsd\n\nPackage: orbsd\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O ${cross:+-l/usr/aarch64-linux-gnu/lib} -eorbsd/usr/bin/orbsd 2>"$work/shlibdeps.log") || {
    cat "$work/shlibdeps.log" >&2
    exit 1
}
depends=${depends#shlibs:Depends=}

# Fills in a file of debian/.
filled() {
    sed -e "s|@VERSION@|$version|; s|@ARCH@|$arch|; s|@MAINTAINER@|$maintainer|; s|@DEPENDS@|$depends|; s|@SIZE@|$size|" \
        -e "s|@BUILD_ID@|$id|; s|@STORE_VERSION@|$store|" "$packaging/debian/$1"
}
for part in "$root" "$symbols"; do
    size=$(du -k --apparent-size -s "$part" | cut -f 1)
    mkdir "$part/DEBIAN"
    case "$part" in
    *-dbgsym) filled control-dbgsym.in >"$part/DEBIAN/control" ;;
    *)
        filled control.in >"$part/DEBIAN/control"
        for script in config preinst postinst prerm postrm; do
            filled "$script" >"$part/DEBIAN/$script"
            chmod 0755 "$part/DEBIAN/$script"
        done
        cp "$packaging/debian/templates" "$part/DEBIAN/templates"
        ;;
    esac
    (cd "$part" && find usr -type f | LC_ALL=C sort | xargs md5sum) >"$part/DEBIAN/md5sums"
    find "$part" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    name=$(basename "$part")
    deb=$out/${name}_${version}_$arch.deb
    # One thread, because the output of several depends on their number.
    dpkg-deb --root-owner-group -Z"${COMPRESSION:-xz}" --threads-max=1 --build "$part" "$deb" >/dev/null
    echo "$deb: $(stat -c %s "$deb") bytes, installed $((size / 1024)) MiB"
done
