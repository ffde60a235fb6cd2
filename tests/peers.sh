#!/bin/sh
# Fetches servers that only tests and benchmarks run, with their libraries, and unpacks them without installing them,
# because their packages conflict with each other and start services, and a test should not change the machine.
set -eu
to=$1
updated() {
    apt-cache policy rbldnsd 2>/dev/null | grep -q 'Candidate: [0-9]' || {
        if [ "$(id -u)" = 0 ]; then apt-get update -qq; else sudo apt-get update -qq; fi
    }
}
# Prints packages and their dependencies.
needs() {
    apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" \
        | grep -E '^[a-z0-9]' | sort -u
}
# Resolvers and mail servers that query orbsd and are tested by it; name servers that mirror it; readers of transfers; programs
# that load exported files; a clock that can be set.
packages="rbldnsd unbound postfix exim4-daemon-light rspamd spamassassin \
    nsd knot knot-dnsutils bind9 bind9-utils bind9-libs pdns-server pdns-backend-lmdb \
    pdns-recursor ldnsutils python3-dnspython nftables ipset postgrey libfaketime"
# A client that tests the API by its OpenAPI document, with a validator of JSON schemas (jsonschema_rs), and a parser of metrics.
if [ ! -e "$to/venv/.done-1" ]; then
    mkdir -p "$to"
    echo "fetching for tests, into $to/venv: schemathesis, prometheus-client"
    python3 -c 'import ensurepip' 2>/dev/null || {
        if [ "$(id -u)" = 0 ]; then apt-get install -y -qq python3-venv; else sudo apt-get install -y -qq python3-venv; fi
    }
    rm -rf "$to/venv"
    python3 -m venv "$to/venv"
    "$to/venv/bin/pip" -q --disable-pip-version-check install schemathesis==4.32.5 prometheus-client==0.22.1
    touch "$to/venv/.done-1"
fi
# A generator of clients from an OpenAPI document, and a validator of such documents.
if [ ! -e "$to/client/.done-1" ]; then
    echo "fetching for tests, into $to/client: openapi-python-client, openapi-spec-validator"
    rm -rf "$to/client"
    python3 -m venv "$to/client"
    "$to/client/bin/pip" -q --disable-pip-version-check install openapi-python-client==0.29.1 openapi-spec-validator==0.9.0 || exit 1
    touch "$to/client/.done-1"
fi
# Downloads one package into this folder.
get() {
    apt-get download -qq "$1" 2>/dev/null || echo "(no $1)"
}
# Mail servers whose paths are fixed at build time run in a root directory of their own, with all files that they need.
if [ ! -e "$to/mtas/.done-1" ]; then
    mtas="opensmtpd sendmail-bin sendmail-base sendmail-cf m4 dash coreutils sed"
    echo "fetching for tests, into $to/mtas: $mtas"
    updated
    rm -rf "$to/mtas" "$to/mta-debs"
    mkdir -p "$to/mtas" "$to/mta-debs"
    ( cd "$to/mta-debs" && for p in $mtas $(needs $mtas | grep -E '^(lib|zlib1g|gcc-[0-9]+-base)'); do get "$p"; done )
    for deb in "$to"/mta-debs/*.deb; do dpkg -x "$deb" "$to/mtas"; done
    [ -e "$to/mtas/bin/sh" ] || ln -s dash "$to/mtas/bin/sh"
    rm -rf "$to/mta-debs"
    for p in sbin/smtpd libexec/sendmail/sendmail bin/m4; do
        [ -x "$to/mtas/usr/$p" ] || { echo "$p was not fetched: see apt's messages above" >&2; exit 1; }
    done
    touch "$to/mtas/.done-1"
fi
# Proxies for the HTTP listeners, and promtool, which checks files for Prometheus: programs whose paths can be set at run time.
if [ ! -e "$to/web/.done-1" ]; then
    web="haproxy nginx prometheus"
    echo "fetching for tests, into $to/web: $web"
    updated
    rm -rf "$to/web" "$to/web-debs"
    mkdir -p "$to/web" "$to/web-debs"
    ( cd "$to/web-debs" && for p in $web $(needs $web | grep -E '^lib' | grep -vE 'perl|-(data|common|dev)$'); do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || get "$p"
    done )
    for deb in "$to"/web-debs/*.deb; do dpkg -x "$deb" "$to/web"; done
    # Of the package prometheus only promtool is run.
    rm -rf "$to/web-debs" "$to/web/usr/bin/prometheus"
    for p in sbin/haproxy sbin/nginx bin/promtool; do
        [ -x "$to/web/usr/$p" ] || { echo "$p was not fetched: see apt's messages above" >&2; exit 1; }
    done
    touch "$to/web/.done-1"
fi
# Prometheus, which scrapes the daemon and evaluates the rules and the dashboard of contrib/.
if [ ! -e "$to/prometheus/.done-1" ]; then
    echo "fetching for tests, into $to/prometheus: prometheus"
    updated
    rm -rf "$to/prometheus"
    mkdir -p "$to/prometheus/debs"
    ( cd "$to/prometheus/debs" && get prometheus )
    for deb in "$to"/prometheus/debs/*.deb; do dpkg -x "$deb" "$to/prometheus"; done
    rm -rf "$to/prometheus/debs"
    [ -x "$to/prometheus/usr/bin/prometheus" ] || { echo "prometheus was not fetched: see apt's messages above" >&2; exit 1; }
    touch "$to/prometheus/.done-1"
fi
# A browser with its driver and fonts for Japanese, for tests of the public site; and two checkers of its pages, for which Node runs.
if [ ! -e "$to/browser/.done-1" ]; then
    command -v npm >/dev/null 2>&1 || {
        updated
        if [ "$(id -u)" = 0 ]; then apt-get install -y -qq --no-install-recommends nodejs npm
        else sudo apt-get install -y -qq --no-install-recommends nodejs npm; fi
    }
    # The newest html-validate whose `engines` accepts the installed Node.
    validate=$(node -p 'const [major, minor] = process.versions.node.split(".").map(Number), from = (a, b) => major == a && minor >= b;
        from(22, 22) || from(24, 8) || major > 24 ? "11.21.1" : from(20, 19) || from(22, 12) || major > 22 ? "10.9.0" : "9.7.1"')
    echo "fetching for tests, into $to/browser: chromium, axe-core, html-validate $validate"
    updated
    rm -rf "$to/browser" "$to/browser-debs"
    mkdir -p "$to/browser/root" "$to/browser-debs"
    # What apt would install here; recommended packages are sound, desktops and help.
    debs="chromium chromium-common chromium-driver fonts-liberation fonts-noto-cjk"
    lacking=$(apt-get install -s --no-install-recommends $debs | awk '/^Inst/ { print $2 }')
    ( cd "$to/browser-debs" && for p in $(printf '%s\n' $debs $lacking | sort -u); do get "$p"; done )
    for deb in "$to"/browser-debs/*.deb; do dpkg -x "$deb" "$to/browser/root"; done
    rm -rf "$to/browser-debs"
    ( cd "$to/browser" && npm install --silent --no-save --no-audit --no-fund axe-core@4.14.1 "html-validate@$validate" )
    # The fetched fonts and no others, so that pages look the same on every machine.
    cat > "$to/browser/fonts.conf" <<XML
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>$to/browser/root/usr/share/fonts</dir>
  <cachedir>$to/browser/font-cache</cachedir>
  <alias binding="same"><family>system-ui</family><prefer><family>Liberation Sans</family><family>Noto Sans CJK JP</family></prefer></alias>
  <alias binding="same"><family>sans-serif</family><prefer><family>Liberation Sans</family><family>Noto Sans CJK JP</family></prefer></alias>
  <alias binding="same"><family>ui-monospace</family><prefer><family>Liberation Mono</family><family>Noto Sans Mono CJK JP</family></prefer></alias>
  <alias binding="same"><family>monospace</family><prefer><family>Liberation Mono</family><family>Noto Sans Mono CJK JP</family></prefer></alias>
</fontconfig>
XML
    for p in root/usr/lib/chromium/chromium root/usr/bin/chromedriver root/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc \
        node_modules/axe-core/axe.min.js node_modules/html-validate/bin/html-validate.mjs; do
        [ -e "$to/browser/$p" ] || { echo "$p was not fetched: see the messages of apt and npm above" >&2; exit 1; }
    done
    touch "$to/browser/.done-1"
fi
# The filter by which OpenSMTPD asks rspamd.
if [ ! -e "$to/mtas/.done-filter-1" ]; then
    echo "fetching for tests, into $to/mtas: opensmtpd-filter-rspamd"
    updated
    mkdir -p "$to/filter-debs"
    ( cd "$to/filter-debs" && get opensmtpd-filter-rspamd )
    for deb in "$to"/filter-debs/*.deb; do dpkg -x "$deb" "$to/mtas"; done
    rm -rf "$to/filter-debs"
    [ -x "$to/mtas/usr/libexec/opensmtpd/filter-rspamd" ] || { echo "filter-rspamd was not fetched: see apt's messages above" >&2; exit 1; }
    touch "$to/mtas/.done-filter-1"
fi
# Haraka, a mail server that Debian does not have. The browser above has installed npm.
if [ ! -e "$to/haraka/.done-1" ]; then
    echo "fetching for tests, into $to/haraka: Haraka"
    rm -rf "$to/haraka"
    mkdir -p "$to/haraka"
    ( cd "$to/haraka" && npm install --silent --no-save --no-audit --no-fund --ignore-scripts Haraka@3.3.4 )
    [ -e "$to/haraka/node_modules/Haraka/bin/haraka" ] || { echo "Haraka was not fetched: see npm's messages above" >&2; exit 1; }
    touch "$to/haraka/.done-1"
fi
# Programs by which the owner of a listed server proves that it is theirs, beside those of this machine.
if [ ! -e "$to/proof-clients/.done-1" ]; then
    clients="curl wget netcat-openbsd ncat"
    echo "fetching for tests, into $to/proof-clients: $clients"
    updated
    rm -rf "$to/proof-clients" "$to/proof-debs"
    mkdir -p "$to/proof-clients" "$to/proof-debs"
    ( cd "$to/proof-debs" && for p in $clients $(needs $clients | grep -E '^lib'); do
        case " $clients " in
        *" $p "*) ;;
        *) dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' && continue ;;
        esac
        get "$p"
    done )
    for deb in "$to"/proof-debs/*.deb; do dpkg -x "$deb" "$to/proof-clients"; done
    rm -rf "$to/proof-debs"
    for p in usr/bin/curl usr/bin/wget bin/nc.openbsd usr/bin/ncat; do
        [ -x "$to/proof-clients/$p" ] || { echo "$p was not fetched: see apt's messages above" >&2; exit 1; }
    done
    touch "$to/proof-clients/.done-1"
fi
# Mail servers and filters whose texts are recognised, beside those above. Their paths are fixed, so tests show them at these paths.
if [ ! -e "$to/servers/.done-1" ]; then
    servers="exim4-config qpsmtpd courier-mta courier-base amavisd-new msmtp-mta clamsmtp chasquid dovecot-core dovecot-submissiond libnet-ip-perl"
    echo "fetching for tests, into $to/servers: $servers"
    updated
    rm -rf "$to/servers" "$to/server-debs"
    mkdir -p "$to/servers" "$to/server-debs"
    # The virus scanner behind clamsmtp is not run, and the dialogues of packages are not shown.
    all=$servers
    for p in $(needs $servers | grep -E '^(lib|gamin$|courier-auth)' | grep -vE 'clamav|debian-installer|exttextcat-data|newt|textwrap|encode-perl|libelogind|libpam-systemd'); do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || all="$all $p"
    done
    # One call is much faster than one for each package, and fails if one of them is missing.
    ( cd "$to/server-debs" && { apt-get download -qq $all 2>/dev/null || for p in $all; do get "$p"; done } )
    for deb in "$to"/server-debs/*.deb; do dpkg -x "$deb" "$to/servers"; done
    rm -rf "$to/server-debs"
    for p in sbin/update-exim4.conf bin/qpsmtpd-forkserver sbin/courieresmtpd sbin/amavisd bin/msmtpd sbin/clamsmtpd bin/chasquid sbin/dovecot \
        lib/dovecot/submission-login; do
        [ -x "$to/servers/usr/$p" ] || { echo "$p was not fetched: see apt's messages above" >&2; exit 1; }
    done
    touch "$to/servers/.done-1"
fi
# Two filters that stand between mail servers, the virus scanner of one of them, and the program by which msmtpd sends mail.
if [ ! -e "$to/servers/.done-2" ]; then
    servers="spampd msmtp clamav-daemon"
    echo "fetching for tests, into $to/servers: $servers"
    updated
    rm -rf "$to/server-debs"
    mkdir -p "$to/server-debs"
    # Without the desktop's password store, for which msmtp asks, and without signatures of viruses: a test brings its own.
    all=$servers
    for p in $(needs $servers | grep -E '^lib' | grep -vE 'debian-installer|newt|textwrap|encode-perl|libelogind|libpam-systemd'); do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || all="$all $p"
    done
    ( cd "$to/server-debs" && { apt-get download -qq $all 2>/dev/null || for p in $all; do get "$p"; done } )
    for deb in "$to"/server-debs/*.deb; do dpkg -x "$deb" "$to/servers"; done
    rm -rf "$to/server-debs"
    for p in sbin/spampd bin/msmtp sbin/clamd; do
        [ -x "$to/servers/usr/$p" ] || { echo "$p was not fetched: see apt's messages above" >&2; exit 1; }
    done
    touch "$to/servers/.done-2"
fi
# Servers of mailboxes, from which users log in, and the interpreter by which one of them reports log-ins.
if [ ! -e "$to/servers/.done-mailboxes-2" ]; then
    echo "fetching for tests, into $to/servers: dovecot-imapd dovecot-pop3d dovecot-auth-lua"
    updated
    rm -rf "$to/mailbox-debs"
    mkdir -p "$to/mailbox-debs"
    ( cd "$to/mailbox-debs" && for p in dovecot-imapd dovecot-pop3d dovecot-auth-lua; do get "$p"; done )
    for deb in "$to"/mailbox-debs/*.deb; do dpkg -x "$deb" "$to/servers"; done
    rm -rf "$to/mailbox-debs"
    for p in imap-login pop3-login modules/auth/libauthdb_lua.so; do
        [ -e "$to/servers/usr/lib/dovecot/$p" ] || { echo "$p was not fetched: see apt's messages above" >&2; exit 1; }
    done
    touch "$to/servers/.done-mailboxes-2"
fi
# Two libraries with which Python programs receive mail; the older one was part of Python.
if [ ! -e "$to/venv/.done-aiosmtpd-1" ]; then
    echo "fetching for tests, into $to/venv: aiosmtpd"
    "$to/venv/bin/pip" -q --disable-pip-version-check install aiosmtpd==1.4.6 standard-smtpd==3.13.0 || exit 1
    touch "$to/venv/.done-aiosmtpd-1"
fi
done="$to/.done-6"
[ -e "$done" ] && exit 0
mkdir -p "$to/debs"
cd "$to/debs"
echo "fetching for tests, into $to: $packages"
updated
# Dependencies that this machine lacks are fetched too.
all=$(needs $packages)
for p in $all; do
    case " $packages " in
    *" $p "*) ;;
    *) dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' && continue
       case $p in lib*) ;; *) continue ;; esac ;;
    esac
    get "$p"
done
for deb in *.deb; do dpkg -x "$deb" "$to/root"; done
for p in sbin/rbldnsd sbin/unbound sbin/postfix sbin/exim4 bin/rspamd bin/spamassassin \
    sbin/nsd sbin/nsd-control sbin/knotd sbin/knotc bin/kdig sbin/named sbin/rndc bin/named-compilezone \
    sbin/pdns_server sbin/pdns_recursor bin/pdnsutil bin/pdns_control bin/drill bin/ldns-read-zone sbin/nft sbin/ipset sbin/postgrey; do
    [ -x "$to/root/usr/$p" ] || [ -x "$to/root/$p" ] || { echo "$p was not fetched: see apt's messages above" >&2; exit 1; }
done
for p in "$to"/root/usr/lib/*/pdns/liblmdbbackend.so "$to/root/usr/lib/python3/dist-packages/dns/__init__.py" \
    "$to"/root/usr/lib/*/faketime/libfaketime.so.1; do
    [ -e "$p" ] || { echo "$p was not fetched: see apt's messages above" >&2; exit 1; }
done
touch "$done"
