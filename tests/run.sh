#!/bin/sh
# Starts the daemon with the configuration of the repository and a small sample list in the store.
set -eu
orbsd=$1
if [ ! -e data/CURRENT ]; then
    "$orbsd" import --source sample --reason relay --allow-special-ranges zones/sample.txt
fi
cat <<TEXT

orbsd answers on port 5300. Try, in another terminal:

  dig @127.0.0.1 -p 5300 2.0.0.127.relays.orbs.example A        the test point: every code of the zone
  dig @127.0.0.1 -p 5300 2.0.0.127.relays.orbs.example TXT
  dig @127.0.0.1 -p 5300 7.113.0.203.relays.orbs.example ANY    a host of the sample list
  $orbsd list 198.51.100.7 --reason relay --allow-special-ranges --note "seen relaying"
  $orbsd lookup 198.51.100.7
  $orbsd status

Ctrl-C stops it.

TEXT
exec "$orbsd" serve
