#!/bin/sh
# Checks licences, bans and sources of all dependencies, or what else is named. Installs cargo-deny if it is missing.
# usage: deny.sh TARGET [CHECK...]
set -eu
tools=$1/tools
shift
[ $# -gt 0 ] || set -- licenses bans sources
export PATH="$tools/bin:$PATH"
command -v cargo-deny >/dev/null 2>&1 || {
    echo "installing cargo-deny into $tools"
    CARGO_TARGET_DIR="$tools/target" cargo install cargo-deny --locked --quiet --root "$tools"
    rm -rf "$tools/target"
}
exec cargo deny --log-level error --all-features --config .deny.toml check "$@"
