#!/bin/sh
# Runs a mail host in a network and mount namespace of its own: orbsd, the resolver unbound on 127.0.0.1:53, and real mail
# servers that query orbsd through it with the settings of docs/mail-servers.md. The tests run this script in an empty folder.
# ORBSD and PEERS are the paths of the programs, and PAGE is that of docs/mail-servers.md. Prints the results.
set -u
root=$PEERS/root
export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/usr/lib/postfix:$root/usr/lib/rspamd:$root/usr/lib/aarch64-linux-gnu
pids=""
trap 'kill $pids 2>/dev/null; wait 2>/dev/null' EXIT
# Prints the block of the page after the line that starts with a text, with the name of the zone that is served here.
recipe() {
    awk -v head="$1" 'index($0, head) == 1 { found = 1 } found && /^```/ { if (open) exit; open = 1; next } open' "$PAGE" \
        | sed 's/relays\.example\.org/bl.orbs.example/g' | grep . || echo "FAILED: docs/mail-servers.md has no block after \"$1\"" >&2
}
# LIST and LISTED set another list, and an address in it.
listed=${LISTED:-45.51.100.7} clean=45.51.100.8

# Servers that give up root privileges have to read their files here.
chmod 755 .
ip link set lo up
ip addr add $listed/32 dev lo
ip addr add $clean/32 dev lo
mkdir -p etc un zones
echo 'nameserver 127.0.0.1' > etc/resolv.conf
printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\npostfix:x:6501:6501::/:/bin/false\nDebian-exim:x:6503:6503::/:/bin/false\n' > etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\npostfix:x:6501:\npostdrop:x:6502:\nDebian-exim:x:6503:\n' > etc/group
for f in passwd group; do mount --bind etc/$f /etc/$f; done
# resolv.conf may be a link to a missing file.
mount --bind etc/resolv.conf "$(readlink -f /etc/resolv.conf)" 2>/dev/null || mount --bind etc /etc

cat > config.toml <<CONF
[admin]
listen = ""
[dns]
listen = ["127.0.0.1:5300"]
[[reason]]
name = "relay"
text = "Open relay, see https://orbs.example/\$"
CONF
cat > zones/bl.toml <<CONF
origin = "bl.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "relay", code = "127.0.0.2" }]
CONF
$ORBSD serve 2> orbsd.log & pids="$pids $!"
i=0; while [ ! -S run/orbsd.sock ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done
if [ -n "${LIST:-}" ]; then $ORBSD import --source list --reason relay "$LIST"; listed_here=; else listed_here=$listed; fi
$ORBSD list $listed_here 2606:4700:1:2::/64 46.0.0.0/12 --reason relay > /dev/null || echo "FAILED: list"

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
    harden-large-queries: yes
    use-caps-for-id: yes
    num-threads: 1
stub-zone:
    name: "bl.orbs.example"
    stub-addr: 127.0.0.1@5300
    stub-prime: no
remote-control:
    control-enable: no
CONF
"$root/usr/sbin/unbound" -d -c un/unbound.conf & pids="$pids $!"
ask() { echo "$1 $2: $(dig +time=3 +tries=3 @127.0.0.1 "$1.bl.orbs.example" "$2" | sed -n 's/.*status: \([A-Z]*\),.*/\1/p') $(dig +short +time=3 @127.0.0.1 "$1.bl.orbs.example" "$2" | sort | tr '\n' ' ')"; }
i=0; while ! dig +short +time=1 +tries=1 @127.0.0.1 2.0.0.127.bl.orbs.example | grep -q 127.0.0.2 && [ $i -lt 30 ]; do sleep 0.2; i=$((i + 1)); done
ask 7.100.51.45 A
ask 7.100.51.45 TXT
ask 8.100.51.45 A
ask 9.100.51.45 A
ask 1.2.3.46 A
ask 1.2.3.47 A
ask 5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.0.0.7.4.6.0.6.2 A
ask 5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.0.0.0.1.0.0.0.0.0.7.4.6.0.6.2 A
ask 1.0.0.127 A
ask 2.0.0.127 A

# Runs an SMTP session from an address to a port, and prints the reply to RCPT.
talk() {
    perl -MIO::Socket::INET -e '
        my ($from, $port) = @ARGV;
        my $s = IO::Socket::INET->new(LocalAddr => $from, PeerAddr => "127.0.0.1", PeerPort => $port, Timeout => 10) or die "connect: $!";
        my $reply = sub { my $r = ""; while (my $l = <$s>) { $r = $l; last if $l =~ /^\d{3} / } return $r };
        my $out = $reply->();
        for my $c ("EHLO client.test", "MAIL FROM:<a\@client.test>", "RCPT TO:<root\@mx.test>") { print $s "$c\r\n"; $out = $reply->(); last if $out =~ /^[45]/ }
        print $out; print $s "QUIT\r\n";' "$1" "$2" 2>&1 | tr -d '\r' | tail -n 1
}

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
$(recipe 'Postfix, `main.cf`')
$(recipe 'Postfix postscreen, `main.cf`')
postscreen_greet_action = ignore
postscreen_greet_wait = 1s
postscreen_access_list =
maillog_file = $PWD/pf/log
maillog_file_prefixes = $PWD
import_environment = LD_LIBRARY_PATH MAIL_CONFIG MAIL_LOGTAG TZ
CONF
cat > pf/conf/master.cf <<CONF
127.0.0.1:25 inet n - n - - smtpd
127.0.0.1:26 inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
CONF
MAIL_CONFIG=$PWD/pf/conf "$root/usr/lib/postfix/sbin/master" -c "$PWD/pf/conf" -d 2> pf/err & pids="$pids $!"
i=0; while ! talk $clean 25 | grep -q '^[2-5]' && [ $i -lt 300 ]; do sleep 0.2; i=$((i + 1)); done
echo "postfix listed: $(talk $listed 25)"
echo "postfix clean: $(talk $clean 25)"
echo "postscreen listed: $(talk $listed 26)"
echo "postscreen clean: $(talk $clean 26)"

mkdir -p ex/log
cat > ex/conf <<CONF
primary_hostname = mx.test
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = $PWD/ex
log_file_path = $PWD/ex/log/%slog
keep_environment = LD_LIBRARY_PATH
acl_smtp_rcpt = check
begin acl
check:
$(recipe 'Exim, in the RCPT ACL')
  accept
CONF
chown -R 6503:6503 ex; chown 0:0 ex/conf; chmod 644 ex/conf
exim() { printf 'EHLO client.test\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<root@mx.test>\r\nQUIT\r\n' | "$root/usr/sbin/exim4" -C "$PWD/ex/conf" -bh "$1" 2> ex/err | tr -d '\r' | grep -E '^(250|550)' | tail -n 1; }
echo "exim listed: $(exim $listed)"
echo "exim clean: $(exim $clean)"

# Prints a message from an address, as the two filters get it.
message() {
    printf 'Received: from client.test (client.test [%s])\r\n\tby mx.test (Postfix) with ESMTP id 4ABC for <root@mx.test>;\r\n\tTue, 24 Nov 2026 10:00:00 +0000 (UTC)\r\nFrom: <a@client.test>\r\nTo: <root@mx.test>\r\nSubject: hello\r\nMessage-ID: <1@client.test>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n\r\nHello.\r\n' "$1"
}

mkdir -p sa/home
printf 'loadplugin Mail::SpamAssassin::Plugin::Check\nloadplugin Mail::SpamAssassin::Plugin::DNSEval\n' > sa/init.pre
cat > sa/local.cf <<CONF
dns_available yes
dns_server 127.0.0.1
use_bayes 0
add_header all Status _YESNO_, score=_SCORE_ tests=_TESTSSCORES_
clear_internal_networks
clear_trusted_networks
$(recipe 'SpamAssassin, `local.cf`')
CONF
assassin() {
    message "$1" | tr -d '\r' | HOME=$PWD/sa/home \
        perl -T -I"$root/usr/share/perl5" -I"$(echo "$root"/usr/lib/*/perl5/5.*)" "$root/usr/bin/spamassassin" -t -x -C "$PWD/sa" --siteconfigpath="$PWD/sa" -p /dev/null 2>> sa/err \
        | sed -n 's/^X-Spam-Status: .* tests=//p'
}
echo "spamassassin listed: $(assassin $listed)"
echo "spamassassin clean: $(assassin $clean)"

mkdir -p rs/local.d rs/override.d rs/db rs/run rs/log
recipe 'rspamd, `local.d/rbl.conf`' > rs/local.d/rbl.conf
recipe 'and its weight in `local.d/groups.conf`' > rs/local.d/groups.conf
chown -R 65534:65534 rs
share=$root/usr/share/rspamd
# Of the public suffixes only what the messages use: rspamd compiles all of them before it listens,
# which takes up to a minute on a busy machine.
printf 'com\nexample\norg\ntest\n' > rs/suffixes
cat > rs/rspamd.conf <<CONF
options {
    url_tld = "$PWD/rs/suffixes";
    dns { nameserver = ["127.0.0.1"]; timeout = 2s; retransmits = 3; }
    filters = "";
    local_addrs = ["192.0.2.1/32"];
    pidfile = "$PWD/rs/run/pid";
    rundir = "$PWD/rs/run"; dbdir = "$PWD/rs/db"; temp_dir = "$PWD/rs/run";
    map_watch_interval = 1h;
}
logging { type = "file"; filename = "$PWD/rs/log/log"; level = "info"; }
worker "normal" { bind_socket = "127.0.0.1:11333"; count = 1; }
modules { path = "$share/plugins/rbl.lua"; }
actions { reject = 15; add_header = 1; }
# These lines are as in rspamd's package.
rbl { .include(priority=1,duplicate=merge) "$PWD/rs/local.d/rbl.conf" }
.include(priority=1,duplicate=merge) "$PWD/rs/local.d/groups.conf"
CONF
"$root/usr/bin/rspamd" -f -u nobody -g nogroup -i -c "$PWD/rs/rspamd.conf" --var=CONFDIR="$PWD/rs" --var=LOCAL_CONFDIR="$PWD/rs" \
    --var=SHAREDIR="$share" --var=RULESDIR="$share/rules" --var=LUALIBDIR="$share/lualib" --var=PLUGINSDIR="$share/plugins" \
    --var=DBDIR="$PWD/rs/db" --var=RUNDIR="$PWD/rs/run" --var=LOGDIR="$PWD/rs/log" 2> rs/err & rspamd=$! pids="$pids $!"
rspamd() {
    message "$1" | perl -MIO::Socket::INET -e '
        my $m = join "", <STDIN>;
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => 11333, Timeout => 10) or die "connect: $!";
        printf $s "POST /checkv2 HTTP/1.0\r\nIP: %s\r\nFrom: a\@client.test\r\nRcpt: root\@mx.test\r\nContent-Length: %d\r\n\r\n%s", $ARGV[0], length $m, $m;
        my $r = join "", <$s>; print $r =~ /"ORBS_RELAY":\{[^}]*"score":([0-9.]+)/ ? "ORBS_RELAY $1" : $r =~ /"symbols"/ ? "none" : "no answer"' "$1" 2>&1 | tail -n 1
}
i=0; while ! rspamd $listed | grep -q ORBS_RELAY && [ $i -lt 600 ] && kill -0 $rspamd; do sleep 0.2; i=$((i + 1)); done
echo "rspamd listed: $(rspamd $listed)"
echo "rspamd clean: $(rspamd $clean)"
echo "rspamd refuses: $(grep -c -E 'invalid config|DISABLED' rs/log/log)"
