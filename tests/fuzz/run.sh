#!/bin/sh
# Runs every decoder under libFuzzer, RUNS executions each (ten million by default). TARGETS names some of them.
set -eu
cd "$(dirname "$0")"
runs=${RUNS:-10000000}
command -v cargo-fuzz >/dev/null 2>&1 || cargo install cargo-fuzz --locked
all=$runs
for t in ${TARGETS:-respond formats subject stored incoming smtp}; do
    runs=$all
    [ "$t" = formats ] && runs=$((runs * 5)) # many formats share the target
    [ "$t" = smtp ] && runs=$((runs * 4))    # and four decoders this one
    echo "== $t: $runs executions"
    mkdir -p "corpus/$t"
    cargo fuzz run --fuzz-dir . --sanitizer none "$t" -- -runs="$runs" -max_len=600 -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1
done
