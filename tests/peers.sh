#!/bin/sh
# Fetches servers that only tests and benches run, with their libraries, and unpacks them without installing:
# they conflict with each other, start themselves, and a user's machine is not ours.
set -eu
to=$1
packages="rbldnsd unbound postfix exim4-daemon-light rspamd spamassassin"
done="$to/.done-3"
[ -e "$done" ] && exit 0
mkdir -p "$to/debs"
cd "$to/debs"
echo "fetching for tests, into $to: $packages"
apt-cache policy rbldnsd 2>/dev/null | grep -q 'Candidate: [0-9]' || {
    if [ "$(id -u)" = 0 ]; then apt-get update -qq; else sudo apt-get update -qq; fi
}
# What they depend on and this machine lacks comes along.
all=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances $packages \
    | grep -E '^[a-z0-9]' | sort -u)
for p in $all; do
    case " $packages " in
    *" $p "*) ;;
    *) dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' && continue
       case $p in lib*) ;; *) continue ;; esac ;;
    esac
    apt-get download -qq "$p" 2>/dev/null || echo "(no $p)"
done
for deb in *.deb; do dpkg -x "$deb" "$to/root"; done
for p in usr/sbin/rbldnsd usr/sbin/unbound usr/sbin/postfix usr/sbin/exim4 usr/bin/rspamd usr/bin/spamassassin; do
    [ -x "$to/root/$p" ] || { echo "$p was not fetched: see apt's messages above" >&2; exit 1; }
done
touch "$done"
