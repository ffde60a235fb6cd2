#!/bin/sh
# Runs a mail host in a network and mount namespace of its own: orbsd with a zone of recent log-ins, the resolver unbound on
# 127.0.0.1:53, Dovecot, which reports log-ins, and Postfix and Exim, which relay for them; with the files of docs/recent-logins as
# they are. The tests run this script in an empty folder. ORBSD, PEERS and RECIPES are the paths of the programs and of those
# files; LIFETIME is the lifetime of a log-in in seconds. Prints the results.
set -u
root=$PEERS/root
export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/usr/lib/postfix:$root/usr/lib/aarch64-linux-gnu
pids=""
trap 'kill $pids 2>/dev/null; wait 2>/dev/null' EXIT
# Users who log in by POP3 and by IMAP, somebody who never does, and a user whose log-in fails.
pop=45.51.100.7 imap=45.51.100.8 stranger=45.51.100.9 failed=45.51.100.10
chmod 755 .
ip link set lo up
for a in $pop $imap $stranger $failed; do ip addr add $a/32 dev lo; done
# The programs of the packages at their usual paths. Changes stay in this namespace.
mount -t overlay overlay -o "lowerdir=/usr:$PEERS/servers/usr" /usr || { echo "FAILED: overlay"; exit 1; }
mkdir -p etc/dovecot dovecot local/bin zones un run-dovecot
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
cat > zones/relays.toml <<CONF
origin = "relays.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "relay", code = "127.0.0.2" }]
CONF
cat > zones/logins.toml <<CONF
origin = "logins.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
durability = "volatile"
[query]
allow = ["127.0.0.1"]
[logins]
allow = ["dovecot"]
lifetime = "${LIFETIME}s"
CONF
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

cat > un/unbound.conf <<CONF
server:
    interface: 127.0.0.1
    port: 53
    username: ""
    chroot: ""
    directory: "$PWD/un"
    pidfile: ""
    use-syslog: no
    logfile: "$PWD/un/log"
    do-not-query-localhost: no
    module-config: "iterator"
    qname-minimisation: yes
    qname-minimisation-strict: yes
    harden-below-nxdomain: yes
    num-threads: 1
$(for z in logins relays; do printf 'stub-zone:\n    name: "%s.orbs.example"\n    stub-addr: 127.0.0.1@5300\n    stub-prime: no\n' $z; done)
remote-control:
    control-enable: no
CONF
"$root/usr/sbin/unbound" -d -c un/unbound.conf & pids="$pids $!"
i=0; while ! dig +short +time=1 +tries=1 @127.0.0.1 2.0.0.127.logins.orbs.example | grep -q 127.0.0.2 && [ $i -lt 50 ]; do sleep 0.2; i=$((i + 1)); done

cat > dovecot/dovecot.conf <<CONF
protocols = pop3 imap
listen = 127.0.0.1
base_dir = $PWD/run-dovecot
state_dir = $PWD/run-dovecot
log_path = $PWD/dovecot.log
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
userdb {
  driver = static
  args = uid=8 gid=8 home=$PWD/mail/%u
}
$(cat "$RECIPES/dovecot.conf")
CONF
mkdir -p mail; chown 8:8 mail
env -u LD_LIBRARY_PATH /usr/sbin/dovecot -F -c /etc/dovecot/dovecot.conf 2>> dovecot.err & pids="$pids $!"

mkdir -p pf/conf pf/data pf/queue
for d in pid private public maildrop incoming active deferred bounce defer corrupt hold flush saved trace; do mkdir -p pf/queue/$d; done
chown -R 6501:6501 pf/data pf/queue; chown 0:0 pf/queue pf/queue/pid; chown 6501:6502 pf/queue/maildrop pf/queue/public; chmod 730 pf/queue/maildrop; chmod 710 pf/queue/public
cat > pf/conf/main.cf <<CONF
compatibility_level = 3.6
queue_directory = $PWD/pf/queue
data_directory = $PWD/pf/data
daemon_directory = $root/usr/lib/postfix/sbin
command_directory = $root/usr/sbin
shlib_directory = $root/usr/lib/postfix
meta_directory = $root/etc/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.test
mydestination = mx.test
mynetworks = 192.0.2.1/32
inet_interfaces = all
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
maillog_file = $PWD/pf/log
maillog_file_prefixes = $PWD
import_environment = LD_LIBRARY_PATH MAIL_CONFIG MAIL_LOGTAG TZ
$(cat "$RECIPES/postfix-main.cf")
permit_alone = permit_dnswl_client logins.orbs.example=127.0.0.2, reject_unauth_destination
$(sed 's/^smtpd_recipient_restrictions/skip_lists/' "$RECIPES/postfix-skip.cf")
CONF
cat > pf/conf/master.cf <<CONF
127.0.0.1:25 inet n - n - - smtpd
127.0.0.1:26 inet n - n - - smtpd -o smtpd_relay_restrictions=\$permit_alone -o smtpd_recipient_restrictions=\$skip_lists
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
$(cat "$RECIPES/postfix-master.cf")
CONF
MAIL_CONFIG=$PWD/pf/conf "$root/usr/lib/postfix/sbin/master" -c "$PWD/pf/conf" -d 2> pf/err & pids="$pids $!"

mkdir -p ex/log
cat > ex/conf <<CONF
primary_hostname = mx.test
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = $PWD/ex
log_file_path = $PWD/ex/log/%slog
keep_environment = LD_LIBRARY_PATH
domainlist local_domains = mx.test
acl_smtp_rcpt = check
begin acl
check:
$(cat "$RECIPES/exim4.conf")
  accept domains = +local_domains
  deny message = relay not permitted
CONF
chown -R 6503:6503 ex; chown 0:0 ex/conf; chmod 644 ex/conf

now() { date +%s%3N; }
# Logs in from an address: protocol, address, password. Prints the reply to the log-in, and writes the milliseconds before it to `at`.
login() {
    now > at
    perl -MIO::Socket::INET -e '
        my ($protocol, $from, $password) = @ARGV;
        my $port = $protocol eq "pop3" ? 110 : 143;
        my $s = IO::Socket::INET->new(LocalAddr => $from, PeerAddr => "127.0.0.1", PeerPort => $port, Timeout => 10) or die "connect: $!";
        my $read = sub { my ($end) = @_; while (my $l = <$s>) { return $l if $l =~ $end } "nothing" };
        $read->(qr/^(\+OK|\* OK)/);
        if ($protocol eq "pop3") { print $s "USER user\r\n"; $read->(qr/^(\+OK|-ERR)/); print $s "PASS $password\r\n"; print $read->(qr/^(\+OK|-ERR)/); print $s "QUIT\r\n" }
        else { print $s "a LOGIN user $password\r\n"; print $read->(qr/^a /); print $s "b LOGOUT\r\n" }
        $read->(qr/^(\+OK|b )/);' "$@" 2>&1 | tr -d '\r' | cut -c 1-30
}
# Prints the reply to a recipient elsewhere, or another one: address, port, recipient.
talk() {
    perl -MIO::Socket::INET -e '
        my ($from, $port, $to) = @ARGV;
        my $s = IO::Socket::INET->new(LocalAddr => $from, PeerAddr => "127.0.0.1", PeerPort => $port, Timeout => 10) or die "connect: $!";
        my $reply = sub { my $r = ""; while (my $l = <$s>) { $r = $l; last if $l =~ /^\d{3} / } return $r };
        my $out = $reply->();
        for my $c ("EHLO client.test", "MAIL FROM:<user\@mx.test>", "RCPT TO:<" . ($to || "friend\@elsewhere.test") . ">") { last if $out =~ /^[45]/; print $s "$c\r\n"; $out = $reply->() }
        print $out; print $s "QUIT\r\n";' "$@" 2>&1 | tr -d '\r' | tail -n 1
}
exim() { printf 'EHLO client.test\r\nMAIL FROM:<user@mx.test>\r\nRCPT TO:<friend@elsewhere.test>\r\nQUIT\r\n' | "$root/usr/sbin/exim4" -C "$PWD/ex/conf" -bh "$1" 2>> ex/err | tr -d '\r' | grep -E '^(250|550)' | tail -n 1; }
# Prints what the servers reply to a client: a word, address.
servers() {
    echo "$1 postfix: $(talk $2 25)"
    echo "$1 exim: $(exim $2)"
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
i=0; while ! talk $stranger 25 | grep -q '^[2-5]' && [ $i -lt 100 ]; do sleep 0.2; i=$((i + 1)); done
# Run once before the times are measured.
login imap $failed wrong > /dev/null

servers before $pop
echo "pop3 login: $(login pop3 $pop secret)"
echo "pop3 listed after: $(await listed $pop)"
servers pop3 $pop
echo "permit_dnswl_client alone relays: $(talk $pop 26)"
echo "permit_dnswl_client alone accepts: $(talk $pop 26 postmaster@mx.test)"
echo "stranger to a user: $(talk $stranger 26 postmaster@mx.test)"
echo "imap login: $(login imap $imap secret)"
echo "imap listed after: $(await listed $imap)"
servers imap $imap
echo "failed login: $(login pop3 $failed wrong)"
servers failed $failed
servers stranger $stranger
echo "count: $($ORBSD logins logins)"
echo "presence: $($ORBSD logins logins --address $imap | tail -n 1)"
login imap $imap secret > /dev/null; await listed $imap > /dev/null
echo "imap gone after: $(await gone $imap)"
servers ended $imap
# Nothing of a log-in is on disk: neither the address as text nor its four bytes.
login imap $imap secret > /dev/null; await listed $imap > /dev/null
kill $orbsd; wait $orbsd 2> /dev/null
echo "files: $(find data -type f | wc -l)"
echo "text on disk: $(grep -rlF "$imap" data orbsd.log | tr '\n' ' ')"
echo "bytes on disk: $(LC_ALL=C grep -rlaP '\x2d\x33\x64\x08' data | tr '\n' ' ')"
echo "list on disk: $(LC_ALL=C grep -rlaP '\x2d\x33\x64\x07' data | wc -l)"
serve
echo "after a start: $(dig +noall +comments -p 5300 @127.0.0.1 "$(name $imap)" | sed -n 's/.*status: \([A-Z]*\),.*/\1/p')"
echo "audit: $($ORBSD audit --json | grep -cF "$imap")"
