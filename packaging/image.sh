#!/bin/sh
# Makes a container image (OCI) of a ready program: the program, the libraries that it is linked with, certificates, and nothing
# else. There is no shell in it. It runs as a user without privileges, and the root may be read-only.
# usage: image.sh PROGRAM VERSION ARCH FOLDER; LICENCES as for deb.sh
set -eu
program=$1
version=$2
arch=$3
out=$4
packaging=$(cd "$(dirname "$0")" && pwd)
source=$(dirname "$packaging")
if [ "$(id -u)" != 0 ]; then
    echo "image.sh: owners of files in an image are set by root; run it as root, or by \`buildah unshare\`" >&2
    exit 1
fi
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$source" log -1 --format=%ct)}
# The user of the image, whom volumes have to belong to.
readonly USER_ID=65532
if [ "$arch" != "$(dpkg --print-architecture)" ]; then
    echo "image.sh: the libraries of $arch are not here; make the image on a machine of that architecture" >&2
    exit 1
fi
umask 022
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/etc/ssl/certs" "$root/etc/orbsd" "$root/var/lib" "$root/run" "$root/usr/bin" "$root/usr/share/doc/orbsd"
install -m 0755 "$program" "$root/usr/bin/orbsd"
strip --strip-unneeded --remove-section=.comment "$root/usr/bin/orbsd"
# The dynamic loader and the libraries, at the paths by which the program finds them, with their copyright files.
ldd "$program" | awk '/=> \// { print $3 } /^\t\// { print $1 }' | while read -r library; do
    install -D -m 0755 "$(readlink -f "$library")" "$root$library"
    package=$(dpkg -S "$(readlink -f "$library")" "$library" 2>/dev/null | head -n 1 | cut -d : -f 1)
    install -D -m 0644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
done
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
echo "orbsd:x:$USER_ID:$USER_ID:orbsd:/var/lib/orbsd:/usr/sbin/nologin" >"$root/etc/passwd"
echo "orbsd:x:$USER_ID:" >"$root/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$root/etc/nsswitch.conf"
install -m 0644 "$source/LICENSE-MIT" "$source/LICENSE-APACHE" "$root/usr/share/doc/orbsd"
gzip -9nc "${LICENCES:?names the file of licences that crates.py has written}" >"$root/usr/share/doc/orbsd/licences.txt.gz"
"$packaging/example.sh" "$root/usr/share/doc/orbsd/examples"
# New volumes get the owner and mode of these folders.
install -d -m 1777 "$root/tmp"
install -d -m 0750 "$root/run/orbsd"
install -d -m 0700 "$root/var/lib/orbsd"
chown "$USER_ID:$USER_ID" "$root/run/orbsd" "$root/var/lib/orbsd"

# Storage of its own, without a file system of the kernel, so that it also runs in a container.
built() {
    buildah --root "$work/storage" --runroot "$work/runroot" --storage-driver vfs "$@"
}
container=$(built from scratch)
# `buildah copy` would give all folders to root.
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
cp -a "$root/." "$(built mount "$container")"
built umount "$container" >/dev/null
built config --arch "$arch" --os linux --user "$USER_ID:$USER_ID" --workingdir /var/lib/orbsd \
    --entrypoint '["/usr/bin/orbsd", "--config", "/etc/orbsd/config.toml"]' --cmd serve \
    --port 53/udp --port 53/tcp --volume /var/lib/orbsd --stop-signal SIGTERM \
    --label org.opencontainers.image.title=orbsd --label "org.opencontainers.image.version=$version" \
    --label "org.opencontainers.image.licenses=MIT OR Apache-2.0" "$container"
name=orbsd-$version-oci-$arch.tar
# With a time stamp, two images of the same files are equal.
built commit --quiet --disable-compression=false --timestamp "$SOURCE_DATE_EPOCH" --format oci "$container" \
    "oci:$work/image:orbsd:$version" >/dev/null
tar -C "$work/image" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -cf "$out/$name" .
built rm "$container" >/dev/null
echo "$out/$name: $(stat -c %s "$out/$name") bytes"
