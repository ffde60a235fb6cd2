#!/bin/sh
# Prints a folder for the files of tests. It is in memory if there is room, because a store syncs each commit, which takes most
# of the time of the tests on a disk.
set -eu
if [ -n "${TMPDIR:-}" ]; then
    echo "$TMPDIR"
    exit
fi
free=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
try=$(mktemp /dev/shm/orbsd-XXXXXX 2>/dev/null) || try=""
runs=no
if [ -n "$try" ]; then
    printf '#!/bin/sh\n' >"$try" && chmod +x "$try" && "$try" 2>/dev/null && runs=yes
    rm -f "$try"
fi
if [ "$runs" = yes ] && [ "${free:-0}" -gt 4000000 ]; then
    echo /dev/shm
else
    echo /tmp
fi
