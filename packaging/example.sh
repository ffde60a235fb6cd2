#!/bin/sh
# Writes the example configuration and the example zones, with the paths that the unit needs, into a folder.
# usage: example.sh FOLDER
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
to=$1
mkdir -p "$to"
cp -r "$source/zones" "$to/zones"
sed -e 's|^path = "data"   *#|path = "/var/lib/orbsd/data"     #|' \
    -e 's|^# socket = "run/orbsd.sock"   *#|socket = "/run/orbsd/orbsd.sock" #|' "$source/config.toml" >"$to/config.toml"
# The header of the unit has these settings.
for setting in 'path = "/var/lib/orbsd/data"' 'socket = "/run/orbsd/orbsd.sock"'; do
    grep -q "^$setting" "$to/config.toml" || {
        echo "example.sh: config.toml has no line that becomes \`$setting\`; adapt the expressions of this script" >&2
        exit 1
    }
done
