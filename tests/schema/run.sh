#!/bin/sh
# The whole description of the API against a running daemon: run.sh SCHEMATHESIS URL TOKEN EXAMPLES. No 5xx, nothing outside
# the schema, nothing taken that the schema forbids. Not asked: that whatever fits the schema is taken (which reasons there
# are stands in config.toml), and wrong tokens, which are counted and shut out (tests/it/api/access.rs has them).
set -eu
export SCHEMATHESIS_HOOKS=hooks
export PYTHONPATH="$(cd "$(dirname "$0")" && pwd)" PYTHONDONTWRITEBYTECODE=1
# What it keeps between runs is not wanted.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
look() {
    "$schemathesis" run "$url/openapi.json" -H "Authorization: Bearer $token" --workers 2 --max-examples "$examples" \
        --request-timeout 30 --generation-database none "$@"
}
schemathesis=$1 url=$2 token=$3 examples=$4
# A token is not revoked: it would find its own.
look --exclude-checks positive_data_acceptance,ignored_auth --exclude-path-regex '^/v1/(changes|bulk|tokens/.*)$'
# A stream is taken whatever is in it: each line has an answer of its own.
look --exclude-checks positive_data_acceptance,ignored_auth,negative_data_rejection --include-path /v1/bulk
