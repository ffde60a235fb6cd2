#!/bin/sh
# The whole description of the API against a running daemon: run.sh SCHEMATHESIS URL TOKEN EXAMPLES. Fails on a 5xx, on
# an answer outside the schema, and on an accepted request that the schema forbids. Not tested: that every request which fits
# the schema is accepted (reasons are defined in config.toml), and wrong tokens, which are limited (tests/it/api/access.rs).
set -eu
export SCHEMATHESIS_HOOKS=hooks
export PYTHONPATH="$(cd "$(dirname "$0")" && pwd)" PYTHONDONTWRITEBYTECODE=1
# Do not use what it keeps between runs.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# One worker: Python 3.11 counts the depth of syntax trees for all threads together, and two workers that read a lambda at
# once fail with "AST constructor recursion depth mismatch" (CPython gh-106905).
look() {
    "$schemathesis" run "$url/openapi.json" -H "Authorization: Bearer $token" --workers 1 --max-examples "$examples" \
        --request-timeout 30 --generation-database none "$@"
}
schemathesis=$1 url=$2 token=$3 examples=$4
# Tokens are not revoked: it would revoke its own.
look --exclude-checks positive_data_acceptance,ignored_auth --exclude-path-regex '^/v1/(changes|bulk|tokens/.*)$'
# A stream is accepted whatever it contains: each line has an answer of its own.
look --exclude-checks positive_data_acceptance,ignored_auth,negative_data_rejection --include-path /v1/bulk
