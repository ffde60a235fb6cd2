#!/bin/sh
# Runs a mail host in a network and mount namespace of its own: orbsd with a zone of recent log-ins, the resolver unbound on
# 127.0.0.1:53, Dovecot once with the script and once with Lua, which report log-ins, and Postfix and Exim, which relay for them; with
# the files of docs/recent-logins as they are. The tests run this script in an empty folder. ORBSD, PEERS and RECIPES are the paths of
# the programs and of those files; LIFETIME is the lifetime of a log-in in seconds. Prints the results.
. "$(dirname "$0")/mailhost.sh"
# Users who log in by POP3 and by IMAP, somebody who never does, a user whose log-in fails, and users of the Dovecot with Lua.
pop=45.51.100.7 imap=45.51.100.8 stranger=45.51.100.9 failed=45.51.100.10 lua=45.51.100.11 late=45.51.100.12
for a in $pop $imap $stranger $failed $lua $late; do ip addr add $a/32 dev lo; done
# The programs of the packages at their usual paths. Changes stay in this namespace.
mount -t overlay overlay -o "lowerdir=/usr:$PEERS/servers/usr" /usr || { echo "FAILED: overlay"; exit 1; }
mkdir -p etc/dovecot dovecot local/bin
mount --bind local /usr/local
install -m 755 "$RECIPES/report-login.sh" "$RECIPES/login-policy.pl" local/bin
echo 'nameserver 127.0.0.1' > etc/resolv.conf
echo 'hosts: files dns' > etc/nsswitch.conf
printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' > etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\npostdrop:x:6502:\n' > etc/group
for u in postfix:6501 Debian-exim:6503 dovecot:6504 dovenull:6505 mail:8; do
    echo "${u%:*}:x:${u#*:}:${u#*:}::/:/bin/false" >> etc/passwd; echo "${u%:*}:x:${u#*:}:" >> etc/group
done
mount -t overlay overlay -o "lowerdir=$PWD/etc:/etc" /etc && mount --bind dovecot /etc/dovecot || { echo "FAILED: /etc"; exit 1; }

cat > config.toml <<CONF
[admin]
listen = "127.0.0.1:8053"
[dns]
listen = ["127.0.0.1:5300"]
[[reason]]
name = "relay"
CONF
zone relays address 'publish = [{ reason = "relay", code = "127.0.0.2" }]'
zone logins address "durability = 'volatile'
[query]
allow = ['127.0.0.1']
[logins]
allow = ['dovecot']
lifetime = '${LIFETIME}s'"
$ORBSD check || echo "FAILED: check"
serve() {
    $ORBSD serve 2>> orbsd.log & orbsd=$! pids="$pids $!"
    i=0; while ! dig +short +time=1 +tries=1 -p 5300 @127.0.0.1 2.0.0.127.logins.orbs.example | grep -q 127.0.0.2 && [ $i -lt 300 ]; do sleep 0.1; i=$((i + 1)); done
}
serve
# Both are on a list that refuses clients.
$ORBSD list $pop $stranger --reason relay > /dev/null || echo "FAILED: list"
token=$($ORBSD token create --owner dovecot --role login | grep -o 'orbsd_[A-Za-z0-9_]*' | head -n 1)
echo "Authorization: Bearer $token" > dovecot/orbsd-token
chown 6504 dovecot/orbsd-token; chmod 400 dovecot/orbsd-token

start_resolver logins relays

# Starts Dovecot with a recipe: its name, the address of the servers, and the file of the recipe.
mailboxes() {
    mkdir -p "run-$1"
    cat > "dovecot/$1.conf" <<CONF
protocols = pop3 imap
listen = $2
base_dir = $PWD/run-$1
state_dir = $PWD/run-$1
log_path = $PWD/$1.log
ssl = no
disable_plaintext_auth = no
mail_location = maildir:$PWD/mail/%u
mail_uid = 8
mail_gid = 8
first_valid_uid = 8
passdb {
  driver = static
  args = password=secret
}
$(cat "$RECIPES/$3")
userdb {
  driver = static
  args = uid=8 gid=8 home=$PWD/mail/%u
}
CONF
    env -u LD_LIBRARY_PATH /usr/sbin/dovecot -F -c "/etc/dovecot/$1.conf" 2>> "$1.err" & pids="$pids $!"
}
mkdir -p mail; chown 8:8 mail
install -m 644 "$RECIPES/report-login.lua" dovecot
mailboxes dovecot 127.0.0.1 dovecot.conf
mailboxes lua 127.0.0.2 dovecot-lua.conf

start_postfix '127.0.0.1:25 inet n - n - - smtpd
127.0.0.1:26 inet n - n - - smtpd -o smtpd_relay_restrictions=$permit_alone -o smtpd_recipient_restrictions=$skip_lists
'"$(cat "$RECIPES/postfix-master.cf")" "$(cat "$RECIPES/postfix-main.cf")
permit_alone = permit_dnswl_client logins.orbs.example=127.0.0.2, reject_unauth_destination
$(sed 's/^smtpd_recipient_restrictions/skip_lists/' "$RECIPES/postfix-skip.cf")"

exim_conf logins "domainlist local_domains = mx.test" "$(cat "$RECIPES/exim4.conf")
  accept domains = +local_domains
  deny message = relay not permitted"

now() { date +%s%3N; }
# Logs in from an address: protocol, address, password, and the server (default: the Dovecot with the script). Prints the reply to the
# log-in, and writes the time before it to `at`.
login() {
    now > at
    perl -MIO::Socket::INET -e '
        my ($protocol, $from, $password, $server) = @ARGV;
        my $port = $protocol eq "pop3" ? 110 : 143;
        my $s = IO::Socket::INET->new(LocalAddr => $from, PeerAddr => $server || "127.0.0.1", PeerPort => $port, Timeout => 10) or die "connect: $!";
        my $read = sub { my ($end) = @_; while (my $l = <$s>) { return $l if $l =~ $end } "nothing" };
        $read->(qr/^(\+OK|\* OK)/);
        if ($protocol eq "pop3") { print $s "USER user\r\n"; $read->(qr/^(\+OK|-ERR)/); print $s "PASS $password\r\n"; print $read->(qr/^(\+OK|-ERR)/); print $s "QUIT\r\n" }
        else { print $s "a LOGIN user $password\r\n"; print $read->(qr/^a /); print $s "b LOGOUT\r\n" }
        $read->(qr/^(\+OK|b )/);' "$@" 2>&1 | tr -d '\r' | cut -c 1-30
}
# Prints the reply to a recipient elsewhere, or another one: address, port, recipient.
send() { talk "$1" "$2" "${3:-friend@elsewhere.test}" mx.test; }
# Prints what the servers reply to a client: a word, address.
servers() {
    echo "$1 postfix: $(send $2 25)"
    echo "$1 exim: $(exim logins $2 friend@elsewhere.test mx.test)"
}
name() { echo "$1" | awk -F . '{ print $4 "." $3 "." $2 "." $1 ".logins.orbs.example" }'; }
# Waits until the resolver has an address, or not; prints the milliseconds since the log-in.
await() {
    began=$(cat at)
    while :; do
        found=$(dig +short +time=1 +tries=1 @127.0.0.1 "$(name $2)")
        case "$1 $found" in "listed 127.0.0.2" | "gone ") break ;; esac
        [ $(($(now) - began)) -lt 60000 ] || break
        sleep 0.02
    done
    echo $(($(now) - began))
}
await_smtp $stranger 25
# Run once before the times are measured.
login imap $failed wrong > /dev/null

servers before $pop
echo "pop3 login: $(login pop3 $pop secret)"
echo "pop3 listed after: $(await listed $pop)"
servers pop3 $pop
echo "permit_dnswl_client alone relays: $(send $pop 26)"
echo "permit_dnswl_client alone accepts: $(send $pop 26 postmaster@mx.test)"
echo "stranger to a user: $(send $stranger 26 postmaster@mx.test)"
echo "imap login: $(login imap $imap secret)"
echo "imap listed after: $(await listed $imap)"
servers imap $imap
echo "failed login: $(login pop3 $failed wrong)"
servers failed $failed
servers stranger $stranger
# With Lua a log-in is published before the user knows that it succeeded. An account that is looked up is no log-in.
presence() { dig +short -p 5300 @127.0.0.1 "$(name $1)"; }
echo "lua failed: $(login pop3 $failed wrong 127.0.0.2) $(presence $failed)"
echo "lua login: $(login imap $lua secret 127.0.0.2) $(presence $lua)"
servers lua $lua
reported() { $ORBSD --json logins logins | grep -o '"reported": *[0-9]*' | grep -o '[0-9]*$'; }
before=$(reported)
echo "lua account: $(env -u LD_LIBRARY_PATH /usr/bin/doveadm -c /etc/dovecot/lua.conf user -f uid user 2>> lua.err) $(($(reported) - before)) reported"
# A server that does not answer delays one log-in by half a second.
kill -STOP $orbsd
echo "lua frozen: $(login imap $late secret 127.0.0.2)"
echo "lua frozen after: $(($(now) - $(cat at)))"
echo "lua paused: $(login pop3 $late secret 127.0.0.2)"
echo "lua paused after: $(($(now) - $(cat at)))"
kill -CONT $orbsd
echo "count: $($ORBSD logins logins)"
echo "presence: $($ORBSD logins logins --address $imap | tail -n 1)"
login imap $imap secret > /dev/null; await listed $imap > /dev/null
echo "imap gone after: $(await gone $imap)"
servers ended $imap
# Nothing of a log-in is on disk: neither the address as text nor its four bytes.
login imap $imap secret > /dev/null; await listed $imap > /dev/null
kill $orbsd; wait $orbsd 2> /dev/null
echo "lua down: $(login pop3 $late secret 127.0.0.2)"
echo "files: $(find data -type f | wc -l)"
echo "text on disk: $(grep -rlF "$imap" data orbsd.log | tr '\n' ' ')"
echo "bytes on disk: $(LC_ALL=C grep -rlaP '\x2d\x33\x64\x08' data | tr '\n' ' ')"
echo "list on disk: $(LC_ALL=C grep -rlaP '\x2d\x33\x64\x07' data | wc -l)"
serve
echo "after a start: $(dig +noall +comments -p 5300 @127.0.0.1 "$(name $imap)" | sed -n 's/.*status: \([A-Z]*\),.*/\1/p')"
echo "audit: $($ORBSD audit --json | grep -cF "$imap")"
