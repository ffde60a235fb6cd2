#!/bin/sh
# A client that is generated from the description of the API, against a running daemon: client.sh VENV URL TOKEN. The document
# has to be valid OpenAPI, and every operation has to be generated.
set -eu
venv=$1 url=$2 token=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$venv/bin/python" -c 'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())' "$url/openapi.json" >openapi.json
"$venv/bin/python" -m openapi_spec_validator openapi.json
# It knows no streams of lines; everything else has to be generated.
PATH="$venv/bin:$PATH" openapi-python-client generate --path openapi.json --output-path "$work/orbsd_client" --meta none >warnings 2>&1 || { cat warnings; exit 1; }
if grep 'WARNING' warnings | grep -v ' /v1/bulk '; then exit 1; fi
PYTHONPATH="$work" PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/client.py" "$url" "$token"
