#!/bin/sh
# Makes a root of a Debian release with what the tests of packages run, from the archive that apt uses here, as FOLDER/SUITE.tar.
# usage: roots.sh FOLDER SUITE...
set -eu
to=$1
shift
mkdir -p "$to"
# The release that the sources of apt name.
own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# systemd has the programs that the scripts of the package call, and systemd-analyze; it is not started.
programs=systemd,debconf,bind9-dnsutils,man-db,python3-minimal,procps
for suite in "$@"; do
    [ -e "$to/$suite.done-1" ] && continue
    echo "making a root of Debian $suite, in $to"
    rm -f "$to/$suite.tar"
    sources=$(mktemp)
    # Only the archive of Debian: other sources have no packages of other releases.
    for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
        [ -e "$file" ] || continue
        sed "s/\b$own\b/$suite/g" "$file" >"$sources"
        break
    done
    [ -s "$sources" ] || {
        echo "roots.sh: apt has neither /etc/apt/sources.list.d/debian.sources nor /etc/apt/sources.list; write one" >&2
        exit 1
    }
    # The options by which apt reaches the archive from here.
    apt-config dump | grep -E '^Acquire::(http|https|Check-Valid-Until|Check-Date)\b' >"$sources.conf" || true
    mmdebstrap --quiet --variant=minbase --include="$programs" --aptopt="$sources.conf" "$suite" "$to/$suite.tar" "$sources"
    rm -f "$sources" "$sources.conf"
    touch "$to/$suite.done-1"
done
