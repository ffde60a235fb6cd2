#!/bin/sh
# Runs a mail host in a network and mount namespace of its own: orbsd, the resolver unbound on 127.0.0.1:53, and real mail
# servers that query orbsd through it with the recipes of src/recipes. The tests run this script in an empty folder.
# ORBSD and PEERS are the paths of the programs. RECIPES is a folder with the parts of each recipe for the zone that is served
# here, as ID/PURPOSE.FILE. Prints the results.
. "$(dirname "$0")/mailhost.sh"
# Prints a part of a recipe (recipe, purpose, file), with addresses and folders that exist here.
recipe() {
    sed -e "s|198\\.51\\.100\\.25|$allowed|g" -e "s|198[\\]\\.51[\\]\\.100[\\]\\.25|$allowed|g" -e "s|/etc/postfix/|$PWD/pf/conf/|g" \
        -e "s|/var/lib/unbound/|$PWD/rpz/|g" "$RECIPES/$1/$2.$3" | grep . || echo "FAILED: no part $2.$3 of the recipe $1" >&2
}
# LIST and LISTED set another list, and an address in it.
listed=${LISTED:-45.51.100.7} clean=45.51.100.8
# A listed address that the recipes let through, and one that is first queried when the list is down.
allowed=45.51.100.11 late=45.51.100.12
# An address that is listed for two reasons: two bits of the list of bit masks.
both=45.51.100.13

ip addr add $listed/32 dev lo
for a in $clean $allowed $late $both; do ip addr add $a/32 dev lo; done
mkdir -p etc
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
[[reason]]
name = "input"
text = "Input \$"
[[reason]]
name = "spam"
text = "Spam domain \$"
[[reason]]
name = "sender"
text = "Spam sender"
CONF
zone hbl hash 'digest = "sha1-hex"
publish = [{ reason = "sender", code = "127.0.2.2" }]'
zone mask address 'bitmask = true
publish = [{ reason = "relay", code = "127.0.0.2" }, { reason = "input", code = "127.0.0.4" }]'
zone dbl domain 'addresses = true
publish = [{ reason = "spam", code = "127.0.1.2" }]'
zone bl address 'publish = [{ reason = "relay", code = "127.0.0.2" }, { reason = "input", code = "127.0.0.3" }]'
$ORBSD serve 2> orbsd.log & orbsd=$! pids="$pids $!"
i=0; while [ ! -S run/orbsd.sock ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done
if [ -n "${LIST:-}" ]; then $ORBSD import --source list --reason relay "$LIST"; listed_here=; else listed_here=$listed; fi
$ORBSD list $listed_here $allowed $late 2606:4700:1:2::/64 46.0.0.0/12 --reason relay > /dev/null || echo "FAILED: list"
$ORBSD list $both --reason relay > /dev/null && $ORBSD list $both --reason input > /dev/null || echo "FAILED: list for two reasons"
# A literal host of links, and a client; both are in the domain zone alone.
literal=45.51.103.7 spammer=46.99.1.2
$ORBSD list bad.example example.com $literal $spammer --reason spam > /dev/null || echo "FAILED: list of domains"
digest() { printf '%s' "$1" | sha1sum | cut -d ' ' -f 1; }
$ORBSD list $(digest a@bad.example) $(digest a@example.com) --reason sender > /dev/null || echo "FAILED: list of digests"

MORE='    harden-large-queries: yes
    use-caps-for-id: yes' start_resolver bl dbl hbl mask
ask() { echo "$1 $2: $(dig +time=3 +tries=3 @127.0.0.1 "$1.bl.orbs.example" "$2" | sed -n 's/.*status: \([A-Z]*\),.*/\1/p') $(dig +short +time=3 @127.0.0.1 "$1.bl.orbs.example" "$2" | sort | tr '\n' ' ')"; }
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

# Prints the replies of a server to each kind of client: name of the server, port.
each() {
    echo "$1 listed: $(talk $listed $2)"
    echo "$1 clean: $(talk $clean $2)"
    echo "$1 allowed: $(talk $allowed $2)"
    echo "$1 exempt: $(talk $listed $2 postmaster@mx.test)"
}
# Waits until a server answers at a port.
await() { await_smtp $clean $1; }

mkdir -p pf/conf
recipe postfix allow dnsbl_allow.cidr > pf/conf/dnsbl_allow.cidr
recipe postfix exempt dnsbl_exempt > pf/conf/dnsbl_exempt
recipe postfix-domain allow dnsbl_allow_senders > pf/conf/dnsbl_allow_senders
start_postfix '127.0.0.1:25 inet n - n - - smtpd
127.0.0.1:26 inet n - n - 1 postscreen
127.0.0.1:28 inet n - n - - smtpd -o smtpd_recipient_restrictions=$domain_restrictions
127.0.0.1:33 inet n - n - - smtpd -o smtpd_recipient_restrictions=$mask_restrictions
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy' "$(recipe postfix use main.cf)
$(recipe postscreen use main.cf)
$(recipe postfix-domain use main.cf | sed 's/^smtpd_recipient_restrictions/domain_restrictions/')
$(recipe postfix-mask use main.cf | sed 's/^smtpd_recipient_restrictions/mask_restrictions/')
postscreen_greet_action = ignore
postscreen_greet_wait = 1s"
await 25
each postfix 25
each postfix-mask 33
echo "postscreen listed: $(talk $listed 26)"
echo "postscreen clean: $(talk $clean 26)"
echo "postscreen allowed: $(talk $allowed 26)"
domains() {
    echo "$1 listed: $($2 root@mx.test bad.example)"
    echo "$1 clean: $($2 root@mx.test good.example)"
    echo "$1 allowed: $($2 root@mx.test example.com)"
    echo "$1 exempt: $($2 postmaster@mx.test bad.example)"
}
postfix_domain() { talk $clean 28 "$@"; }
domains postfix-domain postfix_domain

for r in exim exim-domain exim-mask; do
    exim_conf $r "$(recipe $r allow exim4.conf)
$(recipe $r exempt exim4.conf)" "$(recipe $r use exim4.conf)
  accept"
done
echo "exim listed: $(exim exim $listed)"
echo "exim clean: $(exim exim $clean)"
echo "exim allowed: $(exim exim $allowed)"
echo "exim exempt: $(exim exim $listed postmaster@mx.test)"
echo "exim-mask listed: $(exim exim-mask $listed)"
echo "exim-mask clean: $(exim exim-mask $clean)"
echo "exim-mask allowed: $(exim exim-mask $allowed)"
echo "exim-mask exempt: $(exim exim-mask $listed postmaster@mx.test)"
# The conditions of Exim on the codes of the list of bit masks. The reply names those that hold, with the last octets; a
# longer reply would have several lines.
masks=mask.orbs.example
exim_conf exim-bits "" "$(for test in =127.0.0.2 =127.0.0.6 =127.0.0.2,127.0.0.4 "&0.0.0.2" "&0.0.0.4" "&0.0.0.6" "&0.0.0.8" ==127.0.0.2 ==127.0.0.6 "=&0.0.0.2" "=&0.0.0.6" "=&0.0.0.8" \
    !=127.0.0.2 !=127.0.0.6 "!&0.0.0.4" "!&0.0.0.8" !==127.0.0.6 "!=&0.0.0.2" "!=&0.0.0.8"; do
    printf '  warn dnslists = %s%s\n       set acl_m_held = $acl_m_held %s\n' "$masks" "$test" "$(echo "$test" | sed -e 's/127[.]0[.]0[.]//g' -e 's/0[.]0[.]0[.]//' -e 's|,|/|')"
done)
  deny message = holds:\$acl_m_held"
for who in listed both clean; do eval "at=\$$who"; echo "exim-bits $who: $(exim exim-bits $at)"; done
exim_domain() { exim exim-domain $clean "$@"; }
domains exim-domain exim_domain

# Prints a message from an address, as the two filters get it. Optional: the recipient, the domain of the sender and of a link,
# another host of the link.
message() {
    printf 'Received: from client.test (client.test [%s])\r\n\tby mx.test (Postfix) with ESMTP id 4ABC for <%s>;\r\n\tTue, 24 Nov 2026 10:00:00 +0000 (UTC)\r\nFrom: <a@%s>\r\nTo: <%s>\r\nSubject: hello\r\nMessage-ID: <1@client.test>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n\r\nHello http://%s/ there.\r\n' "$1" "${2:-root@mx.test}" "${3:-client.test}" "${2:-root@mx.test}" "${4:-www.${3:-client.test}}"
}
# Prints what a filter finds for each kind of client.
filtered() {
    echo "$1 listed: $($1 $listed)"
    echo "$1 clean: $($1 $clean)"
    echo "$1 allowed: $($1 $allowed)"
    echo "$1 exempt: $($1 $listed postmaster@mx.test)"
}

# Prepares SpamAssassin in a folder with the recipe of an ending.
spamassassin_conf() {
    mkdir -p sa$1/home
    for p in Check DNSEval URIDNSBL; do echo "loadplugin Mail::SpamAssassin::Plugin::$p"; done > sa$1/init.pre
    [ "$1" != -hash ] || recipe spamassassin$1 use local.pre > sa$1/local.pre
    cat > sa$1/local.cf <<CONF
dns_available yes
dns_server 127.0.0.1
use_bayes 0
util_rb_tld example com test
add_header all Status _YESNO_, score=_SCORE_ tests=_TESTSSCORES_
clear_internal_networks
clear_trusted_networks
$(recipe spamassassin$1 use local.cf)
$(recipe spamassassin$1 allow local.cf)
$(recipe spamassassin$1 exempt local.cf)
CONF
}
# Ending, then as for `message`.
spamassassin_with() {
    sa=$PWD/sa$1; shift
    message "$@" | tr -d '\r' | HOME=$sa/home \
        perl -T -I"$root/usr/share/perl5" -I"$(echo "$root"/usr/lib/*/perl5/5.*)" "$root/usr/bin/spamassassin" -t -x -C "$sa" --siteconfigpath="$sa" -p /dev/null 2>> "$PWD/sa/err" \
        | sed -n 's/^X-Spam-Status: .* tests=//p'
}
for list in "" -mask -domain -hash; do spamassassin_conf "$list"; done
spamassassin() { spamassassin_with "" "$@"; }
filtered spamassassin
echo "spamassassin-mask listed: $(spamassassin_with -mask $listed)"
echo "spamassassin-mask clean: $(spamassassin_with -mask $clean)"
echo "spamassassin-mask allowed: $(spamassassin_with -mask $allowed)"
# Rules for single bits, besides the recipe.
cp -r sa-mask sa-bits
for bit in 2 4 8 12; do
    printf 'header B%s eval:check_rbl("mask%s-lastexternal", "mask.orbs.example.", "%s")\ntflags B%s net\nscore B%s 1\n' $bit $bit $bit $bit $bit
done | tr '"' "'" >> sa-bits/local.cf
echo "spamassassin-bits listed: $(spamassassin_with -bits $listed)"
echo "spamassassin-bits both: $(spamassassin_with -bits $both)"
spamassassin_domain() { spamassassin_with -domain $clean "$@"; }
domains spamassassin-domain spamassassin_domain
# Links to literal hosts.
literals() {
    echo "$1 literal: $($2 root@mx.test good.example $literal)"
    echo "$1 other literal: $($2 root@mx.test good.example 45.51.103.8)"
}
literals spamassassin-domain spamassassin_domain
spamassassin_hash() { spamassassin_with -hash $clean "$@"; }
domains spamassassin-hash spamassassin_hash

share=$root/usr/share/rspamd
# Starts rspamd in a folder with the recipe of an ending: ending, port.
rspamd_start() {
    rs=$PWD/rs$1
    mkdir -p $rs/local.d $rs/override.d $rs/db $rs/run $rs/log
    recipe rspamd$1 use rbl.conf > $rs/local.d/rbl.conf
    # Besides the recipe, symbols for single bits.
    [ "$1" != -mask ] || sed -i '1a BITS { rbl = "mask.orbs.example"; checks = ["from"]; ipv4 = true; returnbits { BIT_2 = 2; BIT_4 = 4; BIT_8 = 8; } }' $rs/local.d/rbl.conf
    recipe rspamd$1 use groups.conf > $rs/local.d/groups.conf
    (recipe rspamd$1 allow settings.conf; recipe rspamd$1 exempt settings.conf) > $rs/local.d/settings.conf
    # Of the public suffixes only what the messages use: rspamd compiles all of them before it listens,
    # which takes up to a minute on a busy machine.
    printf 'com\nexample\norg\ntest\n' > $rs/suffixes
    cat > $rs/rspamd.conf <<CONF
options {
    url_tld = "$rs/suffixes";
    dns { nameserver = ["127.0.0.1"]; timeout = 2s; retransmits = 3; }
    filters = "";
    local_addrs = ["192.0.2.1/32"];
    pidfile = "$rs/run/pid";
    rundir = "$rs/run"; dbdir = "$rs/db"; temp_dir = "$rs/run";
    map_watch_interval = 1h;
}
logging { type = "file"; filename = "$rs/log/log"; level = "info"; }
worker "normal" { bind_socket = "127.0.0.1:$2"; count = 1; }
modules { path = "$share/plugins/rbl.lua"; path = "$share/plugins/settings.lua"; }
actions { reject = 5; add_header = 1; }
# These lines are as in rspamd's package.
rbl { .include(priority=1,duplicate=merge) "$rs/local.d/rbl.conf" }
settings { .include(priority=1,duplicate=merge) "$rs/local.d/settings.conf" }
.include(priority=1,duplicate=merge) "$rs/local.d/groups.conf"
CONF
    chown -R 65534:65534 $rs
    "$root/usr/bin/rspamd" -f -u nobody -g nogroup -i -c "$rs/rspamd.conf" --var=CONFDIR="$rs" --var=LOCAL_CONFDIR="$rs" \
        --var=SHAREDIR="$share" --var=RULESDIR="$share/rules" --var=LUALIBDIR="$share/lualib" --var=PLUGINSDIR="$share/plugins" \
        --var=DBDIR="$rs/db" --var=RUNDIR="$rs/run" --var=LOGDIR="$rs/log" 2> $rs/err & pids="$pids $!"
}
# Port, then as for `message`. Prints the symbol of the list and its score; with BITS, the symbols for single bits.
rspamd_with() {
    port=$1; shift
    message "$@" | perl -MIO::Socket::INET -e '
        my ($port, $ip, $to, $domain) = @ARGV; $to ||= "root\@mx.test"; $domain ||= "client.test"; my $m = join "", <STDIN>;
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port, Timeout => 10) or die "connect: $!";
        printf $s "POST /checkv2 HTTP/1.0\r\nIP: %s\r\nFrom: a\@%s\r\nRcpt: %s\r\nContent-Length: %d\r\n\r\n%s", $ip, $domain, $to, length $m, $m;
        my $r = join "", <$s>; print $ENV{BITS} ? join " ", sort $r =~ /"(BIT_[0-9])":/g : $r =~ /"(RBL_[A-Z]+)":\{[^}]*"score":([0-9.]+)/ ? "$1 $2" : $r =~ /"symbols"/ ? "none" : "no answer"' $port "$@" 2>&1 | tail -n 1
}
rspamd_start "" 11333; rspamd_start -mask 11334; rspamd_start -domain 11335; rspamd_start -hash 11336
# Waits until rspamd finds what is listed: port, arguments of `message`.
rspamd_await() { i=0; while ! rspamd_with "$@" | grep -q RBL_ && [ $i -lt 300 ]; do sleep 0.2; i=$((i + 1)); done; }
rspamd() { rspamd_with 11333 "$@"; }
rspamd_await 11333 $listed
filtered rspamd
rspamd_mask() { rspamd_with 11334 "$@"; }
rspamd_await 11334 $listed
filtered rspamd_mask | sed 's/_/-/'
echo "rspamd-bits listed: $(BITS=1 rspamd_with 11334 $listed)"
echo "rspamd-bits both: $(BITS=1 rspamd_with 11334 $both)"
rspamd_domain() { rspamd_with 11335 $clean "$@"; }
rspamd_await 11335 $clean root@mx.test bad.example
domains rspamd-domain rspamd_domain
literals rspamd-domain rspamd_domain
rspamd_hash() { rspamd_with 11336 $clean "$@"; }
rspamd_await 11336 $clean root@mx.test bad.example
domains rspamd-hash rspamd_hash
echo "rspamd refuses: $(cat rs*/log/log | grep -c -E 'invalid config|DISABLED')"

# A root directory for a server whose paths are fixed at build time.
private_root() {
    for d in etc/mail dev run tmp var/empty var/lib/opensmtpd/empty var/spool/mqueue var/run; do mkdir -p $1/$d; done
    for d in bin lib lib64 usr; do
        [ -d "$PEERS/mtas/$d" ] || continue
        mkdir -p $1/$d; mount -o bind,ro "$PEERS/mtas/$d" $1/$d
    done
    for d in null urandom random; do touch $1/dev/$d; mount --bind /dev/$d $1/dev/$d; done
    for u in root:0 postmaster:6515 mail:8 nobody:65534 opensmtpd:6511 opensmtpq:6512 smmta:6513 smmsp:6514; do
        n=${u#*:}; echo "${u%:*}:x:$n:$n::/var/empty:/bin/false" >> $1/etc/passwd; echo "${u%:*}:x:$n:" >> $1/etc/group
    done
    echo 'nameserver 127.0.0.1' > $1/etc/resolv.conf
    echo '127.0.0.1 localhost mx.test' > $1/etc/hosts
    printf 'hosts: files dns\naliases: files\npasswd: files\ngroup: files\n' > $1/etc/nsswitch.conf
}

private_root sm
chmod 700 sm/var/spool/mqueue
sendmail_cf() {
    cat > sm/etc/mail/sendmail.mc <<CONF
include(\`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(\`linux')dnl
define(\`confDOMAIN_NAME', \`mx.test')dnl
define(\`STATUS_FILE', \`')dnl
define(\`HELP_FILE', \`')dnl
define(\`confPID_FILE', \`/run/pid')dnl
define(\`confTO_IDENT', \`0s')dnl
define(\`confDONT_PROBE_INTERFACES', \`true')dnl
define(\`confREFUSE_LA', \`1000')dnl
define(\`LOCAL_MAILER_PATH', \`/usr/libexec/sendmail/mail.local')dnl
FEATURE(\`no_default_msa')dnl
FEATURE(\`accept_unresolvable_domains')dnl
DAEMON_OPTIONS(\`Name=MTA, Family=inet, Addr=127.0.0.1, Port=$1')dnl
LOCAL_DOMAIN(\`mx.test')dnl
$2
MAILER(\`local')dnl
MAILER(\`smtp')dnl
CONF
    chroot sm /usr/bin/m4 -D_CF_DIR_=/usr/share/sendmail/cf/ /etc/mail/sendmail.mc > sm/etc/mail/$1.cf 2>> sm/err
}
echo 'abuse: /dev/null' > sm/etc/mail/aliases
sendmail_cf 29 "$(recipe sendmail use sendmail.mc)"
sendmail_cf 31 "$(recipe sendmail other sendmail.mc)"
(recipe sendmail allow access; recipe sendmail exempt access) > sm/etc/mail/access
chroot sm /usr/sbin/makemap -C /etc/mail/29.cf hash /etc/mail/access < sm/etc/mail/access >> sm/err 2>&1
chroot sm /usr/libexec/sendmail/sendmail -bi -C/etc/mail/29.cf >> sm/err 2>&1
for port in 29 31; do
    chroot sm /usr/libexec/sendmail/sendmail -bD -C/etc/mail/$port.cf 2>> sm/err & pids="$pids $!"
    await $port
done
each sendmail 29
echo "sendmail dnsbl listed: $(talk $listed 31)"
echo "sendmail dnsbl clean: $(talk $clean 31)"

private_root os
mkdir -p os/var/spool/smtpd; chmod 711 os/var/spool/smtpd
cat > os/etc/smtpd.conf <<CONF
$(recipe opensmtpd use smtpd.conf | sed 's/^listen on all/listen on 127.0.0.1 port 30/')
action "here" maildir "/tmp/mail" user nobody
match from any for domain "mx.test" action "here"
CONF
chroot os /usr/sbin/smtpd -d -f /etc/smtpd.conf > os/log 2>&1 & pids="$pids $!"
await 30
echo "opensmtpd listed: $(talk $listed 30 root@mx.test client.test data)"
echo "opensmtpd clean: $(talk $clean 30 root@mx.test client.test data)"
echo "opensmtpd allowed: $(talk $allowed 30 root@mx.test client.test data)"
echo "opensmtpd exempt: $(talk $listed 30 postmaster@mx.test client.test data)"

mkdir -p hk/config hk/plugins hk/queue
(echo dnsbl_allow; recipe haraka use plugins; echo rcpt_to.in_host_list) > hk/config/plugins
# Haraka uses a list only if its test points are as in RFC 5782; the domain zone has those of addresses too.
recipe haraka use dns-list.ini | sed 's/^zones=.*/&,dbl.orbs.example/' > hk/config/dns-list.ini
printf '[dbl.orbs.example]\ntype=block\nreject=true\n' >> hk/config/dns-list.ini
recipe haraka allow dnsbl_allow.js | sed "s/$allowed/46.1.2.9/" > hk/plugins/dnsbl_allow.js
printf 'listen=127.0.0.1:32\nnodes=0\n' > hk/config/smtp.ini
printf '[message]\ngreeting[]=Haraka\n[max]\n[uuid]\n[headers]\n[haproxy]\nhosts[]=127.0.0.1\n' > hk/config/connection.ini
echo mx.test | tee hk/config/me > hk/config/host_list
"${NODE:-node}" "$PEERS/haraka/node_modules/Haraka/bin/haraka" -c "$PWD/hk" > hk/log 2>&1 & pids="$pids $!"
# Haraka takes the addresses of this machine for private ones, which it does not look up: others come through a proxy.
export PROXY=1
await 32
# Haraka queries the test points before it uses a list.
i=0; while ! talk 46.1.2.3 32 | grep -q '^5' && [ $i -lt 100 ]; do sleep 0.2; i=$((i + 1)); done
echo "haraka listed: $(talk 46.1.2.3 32)"
i=0; while ! talk $spammer 32 | grep -q '^5' && [ $i -lt 100 ]; do sleep 0.2; i=$((i + 1)); done
echo "haraka domain zone: $(talk $spammer 32)"
echo "haraka clean: $(talk 47.1.2.3 32)"
echo "haraka allowed: $(talk 46.1.2.9 32)"
unset PROXY

mkdir -p rpz
$ORBSD export dbl --format rpz > rpz/dbl.rpz
recipe unbound allow dbl-allow.rpz > rpz/dbl-allow.rpz
cat > rpz/unbound.conf <<CONF
$(recipe unbound use unbound.conf | sed '/^rpz:/,$d')
    interface: 127.0.0.1@5353
    username: ""
    chroot: ""
    directory: "$PWD/rpz"
    pidfile: ""
    use-syslog: no
    logfile: "$PWD/rpz/log"
$(recipe unbound allow unbound.conf)
$(recipe unbound use unbound.conf | sed -n '/^rpz:/,$p')
auth-zone:
    name: "example"
    zonefile: "names"
auth-zone:
    name: "com"
    zonefile: "names"
remote-control:
    control-enable: no
CONF
printf '$TTL 300\n@ SOA a. b. 1 3600 600 86400 300\n@ NS a.\n* A 192.0.2.1\n' > rpz/names
"$root/usr/sbin/unbound" -d -c rpz/unbound.conf 2> rpz/err & pids="$pids $!"
resolve() { dig +time=2 +tries=3 -p 5353 @127.0.0.1 $1 A | sed -n 's/.*status: \([A-Z]*\),.*/\1/p'; }
i=0; while [ "$(resolve good.example)" != NOERROR ] && [ $i -lt 30 ]; do sleep 0.2; i=$((i + 1)); done
echo "unbound listed: $(resolve bad.example)"
echo "unbound clean: $(resolve good.example)"
echo "unbound allowed: $(resolve example.com)"

# The list is down: mail is accepted.
kill $orbsd; wait $orbsd 2>/dev/null
echo "postfix down: $(talk $late 25)"
echo "exim down: $(exim exim $late)"
echo "sendmail down: $(talk $late 29)"
echo "haraka down: $(PROXY=1 talk 46.1.2.77 32)"
echo "spamassassin down: $(spamassassin $late)"
echo "rspamd down: $(rspamd $late)"
