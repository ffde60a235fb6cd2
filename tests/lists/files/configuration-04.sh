#!/bin/sh
set -e
for ip in 45.51.100.1 45.51.100.2; do
  do_block "$ip"
done
echo done.example
