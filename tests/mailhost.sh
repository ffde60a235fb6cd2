# What the scripts that run a mail host have in common: mail.sh and logins.sh read this file. PEERS is the path of the programs.
set -u
root=$PEERS/root
export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/usr/lib/postfix:$root/usr/lib/rspamd:$root/usr/lib/aarch64-linux-gnu
pids=""
trap 'kill -CONT $pids 2>/dev/null; kill $pids 2>/dev/null; wait 2>/dev/null' EXIT
# Servers that give up root privileges have to read their files here.
chmod 755 .
ip link set lo up

# Writes a zone file: its short name, its kind, and more lines.
zone() {
    mkdir -p zones
    cat > "zones/$1.toml" <<CONF
origin = "$1.orbs.example"
kind = "$2"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
$3
CONF
}
# Starts unbound on 127.0.0.1:53, for the zones of orbsd with these short names. MORE has more lines for its section `server`.
start_resolver() {
    mkdir -p un
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
${MORE:-}
$(for z in "$@"; do printf 'stub-zone:\n    name: "%s.orbs.example"\n    stub-addr: 127.0.0.1@5300\n    stub-prime: no\n' "$z"; done)
remote-control:
    control-enable: no
CONF
    "$root/usr/sbin/unbound" -d -c un/unbound.conf & pids="$pids $!"
    i=0; while ! dig +short +time=1 +tries=1 @127.0.0.1 "2.0.0.127.$1.orbs.example" | grep -q 127.0.0.2 && [ $i -lt 50 ]; do sleep 0.2; i=$((i + 1)); done
}
# Starts Postfix: the services that receive mail, for master.cf, and more settings for main.cf.
start_postfix() {
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
$2
CONF
    cat > pf/conf/master.cf <<CONF
$1
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
CONF
    MAIL_CONFIG=$PWD/pf/conf "$root/usr/lib/postfix/sbin/master" -c "$PWD/pf/conf" -d 2> pf/err & pids="$pids $!"
}
# Writes a configuration of Exim: its name, more lines before the ACLs, and the ACL of recipients.
exim_conf() {
    mkdir -p ex/log
    cat > "ex/$1" <<CONF
primary_hostname = mx.test
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = $PWD/ex
log_file_path = $PWD/ex/log/%slog
keep_environment = LD_LIBRARY_PATH
acl_smtp_rcpt = check
$2
begin acl
check:
$3
CONF
    chown -R 6503:6503 ex/log; chown 6503:6503 ex; chown 0:0 "ex/$1"; chmod 644 "ex/$1"
}
# Prints the reply of Exim to a recipient: the name of the configuration, the address of the client. Optional: the recipient, the
# domain of the sender.
exim() {
    printf "EHLO client.test\r\nMAIL FROM:<a@${4:-client.test}>\r\nRCPT TO:<${3:-root@mx.test}>\r\nQUIT\r\n" \
        | "$root/usr/sbin/exim4" -C "$PWD/ex/$1" -bh "$2" 2>> ex/err | tr -d '\r' | grep -E '^(250|550)' | tail -n 1
}
# Runs an SMTP session from an address to a port, and prints the last reply: to RCPT, or after a refusal. Optional: the recipient,
# the domain of the sender, and `data` to send a message. PROXY names the address in a PROXY header instead of using it.
talk() {
    perl -MIO::Socket::INET -e '
        my ($from, $port, $to, $domain, $data) = @ARGV;
        $to ||= "root\@mx.test"; $domain ||= "client.test";
        my $s = IO::Socket::INET->new(LocalAddr => $ENV{PROXY} ? "127.0.0.1" : $from, PeerAddr => "127.0.0.1", PeerPort => $port, Timeout => 10) or die "connect: $!";
        print $s "PROXY TCP4 $from 127.0.0.1 40000 $port\r\n" if $ENV{PROXY};
        my $reply = sub { my $r = ""; while (my $l = <$s>) { $r = $l; last if $l =~ /^\d{3} / } return $r };
        my $out = $reply->();
        my @commands = ("EHLO client.test", "MAIL FROM:<a\@$domain>", "RCPT TO:<$to>");
        push @commands, "DATA", "From: <a\@client.test>\r\nTo: <$to>\r\nSubject: hello\r\nMessage-ID: <1\@client.test>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n\r\nHello.\r\n." if $data;
        for my $c (@commands) { last if $out =~ /^[45]/; print $s "$c\r\n"; $out = $reply->() }
        print $out; print $s "QUIT\r\n";' "$@" 2>&1 | tr -d '\r' | tail -n 1
}
# Waits until an SMTP server answers a client: the address of the client, and the port.
await_smtp() { i=0; while ! talk "$1" "$2" | grep -q '^[2-5]' && [ $i -lt 100 ]; do sleep 0.2; i=$((i + 1)); done; }
