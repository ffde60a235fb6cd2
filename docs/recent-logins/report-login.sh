#!/bin/sh
# Reports the address of a log-in to orbsd. Dovecot runs it after each log-in (see dovecot.conf), with the address of the client in
# IP, and continues with the mailbox. A log-in does not wait for orbsd, and succeeds if orbsd does not answer.
# The file has one line, which only the user of the script may read: Authorization: Bearer orbsd_…
url=http://127.0.0.1:8053/v1/zones/logins.orbs.example/logins
token=/etc/dovecot/orbsd-token
curl -s -m 5 -H "@$token" -H 'Content-Type: application/json' -d "{\"addresses\": [\"$IP\"]}" "$url" < /dev/null > /dev/null 2>&1 &
exec "$@"
