#!/usr/bin/env python3
"""Tries the knowledge base with real mail servers, in the closed network of lab.py.

Usage: advice.py ORBSD PEERS facts PRODUCT, or advice.py ORBSD PEERS facts texts.

With a product, the script opens its servers by the mistake that the knowledge base describes, lets orbsd test and list them, reads
the advice from the public look-up, does what it says, and claims that the servers are closed. With `texts` it starts as many
programs as it can, and collects what they say in a session. It prints JSON for the tests. Programs run at the paths at which their
packages install them, because the advice names these paths.
"""
import glob, json, os, re, shlex, shutil, subprocess, time, urllib.request

import lab
from lab import (
    COLLECTOR, HOSTS, facts, closed_net, exim, is_listening, nsd, opensmtpd, peers, postfix, query, rcpt_reply_class, restart, root,
    run, run_laboratory, run_test, sendmail, set_up_network, start, start_name_servers, start_orbsd, stop, tmp, wait_for_job, wait_until, write,
)

product = lab.sys.argv[4]


def address(name, n=None):
    """Returns the address of a host; `n` sets it."""
    if n is not None: HOSTS[name] = n
    return lab.address(name)


WEB = 8054
USERS = ["mail", "daemon", "courier", "qpsmtpd", "amavis", "dovecot", "dovenull", "uucp", "spampd"]


# ── Programs at their usual paths ────────────────────────────────────────────────────────────────────────────────────────
def overlay(folder):
    """Shows the files of the fetched packages in a folder of this machine, whose own files come first. Changes stay in this
    namespace."""
    sources = [f"/{folder}", *(f"{d}/{folder}" for d in (root, f"{peers}/servers") if os.path.isdir(f"{d}/{folder}"))]
    upper, work = (f"{tmp}/overlay/{folder}/{d}" for d in ("upper", "work"))
    os.makedirs(upper); os.makedirs(work)
    os.chmod(upper, 0o755)
    options = f"lowerdir={':'.join(sources)},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, f"/{folder}"], check=True)
    lab.mounted.append(f"/{folder}")


def install():
    """Makes this namespace a machine on which the fetched packages are installed."""
    if not closed_net: raise SystemExit("the knowledge base is tried in namespaces of its own, which are not allowed here")
    for folder in ("usr", "etc", "var/lib", "var/spool", "var/log"): overlay(folder)
    write("run/lock", "")
    subprocess.run(["mount", "--bind", f"{tmp}/run", "/run"], check=True)
    lab.mounted.append("/run")
    # Programs that run as other users bind port 25.
    open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w").write("0")
    if not os.path.exists("/usr/bin/makedat"): os.symlink("makedat.courier", "/usr/bin/makedat")
    # A plain file, which lab.py replaces.
    if os.path.lexists("/etc/resolv.conf"): os.remove("/etc/resolv.conf")
    open("/etc/resolv.conf", "w").close()
    # Commands that a service manager has, and those that live in a root directory of their own.
    for manager, verb, unit in (("systemctl", "$1", "$2"), ("service", "$2", "$1")):
        command(manager, f'[ "{verb}" = restart ] && echo "{unit}" >> {tmp}/restarts')
    os.environ["PATH"] = f"{tmp}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"


def command(name, line):
    """Makes a command for the shell."""
    write(f"bin/{name}", f"#!/bin/sh\n{line}\n")
    os.chmod(f"{tmp}/bin/{name}", 0o755)


def link(usual, real):
    """Makes the configuration of a server available at its usual path."""
    if os.path.isdir(usual) and not os.path.islink(usual): shutil.rmtree(usual)
    elif os.path.lexists(usual): os.remove(usual)
    os.symlink(real, usual)


def shell(lines, folder=tmp):
    """Runs lines as an administrator types them. Returns what they print."""
    done = subprocess.run(["sh", "-c", lines], capture_output=True, text=True, cwd=folder)
    return done.stdout + done.stderr


# ── Servers that are open by the mistake of an entry ─────────────────────────────────────────────────────────────────────
class Server:
    """A server, and how its owner edits the files that the advice names.

    `begin` starts it. `files` has a function for each label of a file in the advice; it gets the lines. A label that is missing
    is for another way to install the server, and `commands` tells whether commands are for this one, or is a function that runs
    them. `restarts` tells whether the steps of the advice restart the server without a line for it. `check` puts values of this
    server into the command that shows whether a change is in force, which runs in `folder`. `entry` is the product and the entry
    that the owner follows; without it, the first suggestion of the look-up. `processes` has the program of each service that is
    not the server itself. `reachable` tells whether the closed server still listens on its public address."""

    def __init__(self, name, begin, files=(), commands=True, restarts=False, check=lambda command: command, folder=tmp, entry=None, processes=(), reachable=True):
        self.name, self.begin, self.files, self.commands, self.restarts = name, begin, dict(files), commands, restarts
        self.entry, self.processes, self.reachable = entry, dict(processes), reachable
        self.check = lambda command: shell(check(command), folder)

    def apply(self, change):
        if change["file"] is None:
            if callable(self.commands): return self.commands(change["lines"])
            return shell(f"set -e\n{change['lines']}") if self.commands else None
        edit = self.files.get(change["file"])
        if edit: edit(own_names(self.name, change["lines"]) + "\n")


def own_names(name, lines):
    """Puts the domain of a server in the place of the example, as the notes of the advice say."""
    return lines.replace("example.com", f"{name}.lab.example")


def replace_lines(path, pattern):
    """Returns a function that puts lines in the place of those that match a pattern."""
    def edit(lines):
        kept = [l for l in open(path) if not re.search(pattern, l)]
        first = next((i for i, l in enumerate(open(path)) if re.search(pattern, l)), len(kept))
        open(path, "w").write("".join(kept[:first]) + lines + "".join(kept[first:]))
    return edit


def replace_file(path): return lambda lines: open(path, "w").write(lines)


def put_in_order(path):
    """Returns a function that brings lines into their order, and leaves the lines between them where they are."""
    def edit(lines):
        new, old = lines.split(), open(path).read().splitlines()
        places = [i for i, l in enumerate(old) if l in new]
        for i, l in zip(places, new): old[i] = l
        open(path, "w").write("\n".join(old + new[len(places):]) + "\n")
    return edit


def add_before(path, mark):
    """Returns a function that puts lines in front of the last place of a text in a file."""
    def edit(lines):
        first, _, last = open(path).read().rpartition(mark)
        open(path, "w").write(first + lines + mark + last)
    return edit


def set_keys(path):
    """Returns a function that sets the keys of a section in a file and leaves the other keys."""
    def edit(lines):
        keys = [l.split("=")[0] for l in lines.splitlines() if "=" in l]
        old = [l for l in open(path).read().splitlines() if l.split("=")[0].strip() not in keys]
        section, *new = lines.splitlines()
        at = old.index(section) + 1
        open(path, "w").write("\n".join(old[:at] + new + old[at:]) + "\n")
    return edit


def open_postfix(name, n):
    """The restrictions of Debian, with networks that contain everybody."""
    start_it = postfix(name, "smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination\nmynetworks = 0.0.0.0/0", n)
    def begin():
        start_it()
        link("/etc/postfix", f"{tmp}/{name}/conf")
    return Server(name, begin)


OWN_ACL = "  accept hosts = +relay_from_hosts\n  accept domains = +own\n    local_parts = postmaster\n  deny message = relay not permitted"


def open_exim(name, n):
    """A configuration of one's own."""
    begin = exim(name, OWN_ACL, n, more="hostlist relay_from_hosts = 0.0.0.0/0")
    conf = f"{tmp}/{name}/conf"
    return Server(name, begin, {"exim.conf": replace_lines(conf, "^hostlist relay_from_hosts")}, commands=False, restarts=True,
        check=lambda command: command.replace("exim4", f"{tmp}/exim/exim4 -C {conf}"))


def debian_exim(name, n, networks):
    """The configuration of Debian, with the networks whose clients may send to anywhere."""
    HOSTS[name] = n
    settings = "/etc/exim4/update-exim4.conf.conf"
    def begin():
        open("/etc/mailname", "w").write(f"{name}.lab.example\n")
        write_text(settings, f"""dc_eximconfig_configtype='internet'
dc_other_hostnames='{name}.lab.example'
dc_local_interfaces='{address(name)}'
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets='{networks}'
dc_smarthost=''
CFILEMODE='644'
dc_use_split_config='false'
dc_hide_mailname=''
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
""")
        # This network has private addresses, and mail to root is delivered.
        write_text("/etc/exim4/exim4.conf.localmacros", f"ROUTER_DNSLOOKUP_IGNORE_TARGET_HOSTS = 192.0.2.1\nREMOTE_SMTP_INTERFACE = {address(name)}\nMAIN_HARDCODE_PRIMARY_HOSTNAME = {name}.lab.example\n")
        write_text("/etc/aliases", "postmaster: root\n")
        for d in ("/var/spool/exim4", "/var/log/exim4", "/run/exim4", "/var/lib/exim4"):
            os.makedirs(d, exist_ok=True)
            os.chown(d, 6503, 6503)
        said = shell("update-exim4.conf")
        if not os.path.exists("/var/lib/exim4/config.autogenerated"): raise SystemExit(said)
        start(name, ["/usr/sbin/exim4", "-bdf", "-q1m"])
    return Server(name, begin, {settings: replace_lines(settings, "^dc_relay_nets=")})


def write_text(path, text): open(path, "w").write(text)


def open_sendmail(name, n):
    """An access map with a number that covers too much."""
    start_it = sendmail(name, "FEATURE(`access_db')dnl", n, access="Connect:localhost\tRELAY\nConnect:10\tRELAY\n")
    own = f"{tmp}/{name}/root"
    def begin():
        start_it()
        link("/etc/mail", f"{own}/etc/mail")
        command("sendmail", f'exec chroot {own} /usr/libexec/sendmail/sendmail "$@"')
        command("makemap", f'exec chroot {own} /usr/libexec/sendmail/makemap "$@"')
    return Server(name, begin, {"/etc/mail/access": replace_lines("/etc/mail/access", r"\bRELAY\b")},
        # The page says to write an address that was open before.
        check=lambda command: command.replace("192.0.2.1", COLLECTOR))


def open_opensmtpd(name, n):
    start_it = opensmtpd(name, 'match for local action "local"\nmatch from any for any action "relay"', n)
    own = f"{tmp}/{name}/root"
    label = "/etc/mail/smtpd.conf (OpenBSD) or /etc/smtpd.conf (Debian)"
    def begin():
        start_it()
        link("/etc/smtpd.conf", f"{own}/etc/smtpd.conf")
        command("smtpd", f'exec chroot {own} /usr/sbin/smtpd "$@"')
    first = []
    def edit(lines):
        # The lines take the place of all rules; those of a second block are added.
        replace_lines("/etc/smtpd.conf", "^match" if not first else "^$")(lines)
        first.append(True)
    return Server(name, begin, {label: edit}, restarts=True)


def open_haraka(name, n, allowed, relay):
    """Haraka with the plugin relay: the networks of relay_acl_allow, and the lines of relay.ini."""
    HOSTS[name] = n
    d = f"{tmp}/{name}"
    def begin():
        shutil.copytree(f"{peers}/haraka/node_modules/Haraka/config", f"{d}/config")
        for file, text in {
            "plugins": "relay\nusers\nrcpt_to.in_host_list\n", "smtp.ini": f"listen={address(name)}:25\nnodes=0\n", "me": f"{name}.lab.example\n",
            "host_list": f"{name}.lab.example\n", "outbound.ini": "local_mx_ok=true\nenable_tls=false\n", "relay_acl_allow": allowed, "relay.ini": relay, "internalcmd_key": "x\n",
        }.items(): write(f"{name}/config/{file}", text)
        os.makedirs(f"{d}/queue")
        write(f"{name}/plugins/users.js", f"""exports.hook_rcpt = (next, connection, [to]) =>
    to.host === "{name}.lab.example" && to.user.toLowerCase() !== "postmaster" ? next(DENY, "no such user") : next()
""")
        start(name, [shutil.which("node"), f"{peers}/haraka/node_modules/Haraka/bin/haraka", "-c", d])
    return Server(name, begin, {"config/relay_acl_allow": replace_file(f"{d}/config/relay_acl_allow"), "config/relay.ini": set_keys(f"{d}/config/relay.ini")}, restarts=True, folder=d)


def open_aiosmtpd(name, n):
    """A proxy handler that passes everything on."""
    HOSTS[name] = n
    path = f"{tmp}/{name}/server.py"
    def begin():
        write(f"{name}/server.py", f"""import signal
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Proxy

class Handler(Proxy):
    def __init__(self):
        super().__init__("{COLLECTOR}", 25)

controller = Controller(Handler(), hostname="{address(name)}", port=25)
controller.start()
signal.pause()
""")
        start(name, [f"{peers}/venv/bin/python", path])
    def add_method(lines):
        text = open(path).read()
        indented = "".join(f"    {l}\n" if l else "\n" for l in lines.splitlines())
        open(path, "w").write(text.replace("\ncontroller = ", f"{indented}\ncontroller = "))
    return Server(name, begin, {"your handler class": add_method}, restarts=True)


def open_courier(name, n):
    """The access file that the package delivers, in a network with private addresses."""
    start_it = courier(name, n, access="10\tallow,RELAYCLIENT\n")
    return Server(name, start_it.begin, {"/etc/courier/smtpaccess/default": replace_file("/etc/courier/smtpaccess/default")})


def open_qpsmtpd(name, n):
    """Hands mail to the server behind, here the collector, and trusts a whole network."""
    d = f"{tmp}/{name}"
    server = qpsmtpd(name, n, relayclients="10.\n", more=f"queue/smtp-forward {COLLECTOR} 25\n")
    files = {"config/relayclients": replace_file(f"{d}/config/relayclients"), "config/plugins": put_in_order(f"{d}/config/plugins")}
    return Server(name, server.begin, files, restarts=True, folder=d)


def open_pure_proxy(name, n):
    """The proxy of Python's own module, which has to get texts and not bytes."""
    HOSTS[name] = n
    path = f"{tmp}/{name}/server.py"
    def begin():
        write(f"{name}/server.py", f"""import asyncore, smtpd

class Handler(smtpd.PureProxy):
    pass

server = Handler(("{address(name)}", 25), ("{COLLECTOR}", 25), decode_data=True)
asyncore.loop()
""")
        start(name, [PYTHON, "-W", "ignore", path])
    def replace_class(lines):
        text = open(path).read()
        open(path, "w").write(text.replace("class Handler(smtpd.PureProxy):\n    pass\n", lines))
    return Server(name, begin, {"your server class": replace_class}, restarts=True)


def open_msmtpd(name, n):
    """Listens on the public address, and sends through the account of the machine."""
    command = f"msmtpd --interface={address(name, n)} --port=25 --command='/usr/bin/msmtp -f %F --'"
    def begin():
        open("/etc/msmtprc", "w").write(f"account default\nhost {COLLECTOR}\nport 25\nauth off\ntls off\n")
        start(name, shlex.split(command))
    def run_again(lines):
        """Starts the program by the line of the advice, in place of the one that runs."""
        stop(name)
        start(name, shlex.split(lines))
    return Server(name, begin, commands=run_again, check=lambda line: line, reachable=False)


# ── Filters in front of a mail server ────────────────────────────────────────────────────────────────────────────────────
# As Debian's Postfix, which trusts its own machine.
DEBIAN_RULES = "mynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination"


def behind(name, n, begin_filter, port, files=(), **more):
    """A Postfix that receives all mail from a filter, which has port 25, on a port of the loopback."""
    begin_postfix = postfix(name, DEBIAN_RULES, n, f"127.0.0.1:{port} inet n - n - - smtpd")
    master = f"{tmp}/{name}/conf/master.cf"
    def begin():
        begin_postfix()
        link("/etc/postfix", f"{tmp}/{name}/conf")
        wait_until(f"the Postfix of {name}", lambda: is_listening("127.0.0.1", port))
        begin_filter()
    return Server(name, begin, {"/etc/postfix/master.cf": replace_lines(master, "^(127|smtp inet)"), **dict(files)}, **more)


def front_amavis(name, n):
    server = amavis(f"{name}-filter", n, own_name=name, behind="127.0.0.1:10025")
    conf = f"{tmp}/{name}-filter/conf"
    label = "/etc/amavis/conf.d/50-user (Debian) or /etc/amavisd/amavisd.conf"
    return behind(name, n, server.begin, 10025, {label: add_before(conf, "1;\n")}, processes={"amavis": f"{name}-filter"})


def front_clamsmtp(name, n):
    """With the real scanner, and a signature of our own."""
    conf, d = "/etc/clamsmtpd.conf", f"{tmp}/{name}-filter"
    def begin():
        write(f"{name}-filter/db/test.ndb", f"Lab.Test:0:*:{b'the text that the laboratory takes for a virus'.hex()}\n")
        write(f"{name}-filter/clamd.conf", f"LocalSocket /run/clamd.ctl\nDatabaseDirectory {d}/db\nForeground yes\nTemporaryDirectory {d}\n")
        start(f"{name}-scanner", ["/usr/sbin/clamd", "-c", f"{d}/clamd.conf"])
        wait_until("clamd", lambda: os.path.exists("/run/clamd.ctl"))
        write_text(conf, f"Listen: {address(name)}:25\nOutAddress: 127.0.0.1:10026\nClamAddress: /run/clamd.ctl\nTempDirectory: {d}\n")
        start(f"{name}-filter", ["/usr/sbin/clamsmtpd", "-d", "1", "-f", conf])
    return behind(name, n, begin, 10026, {conf: replace_lines(conf, "^(Listen|OutAddress):")}, processes={"clamsmtp": f"{name}-filter"})


def spampd(name, host, relay, more=()):
    """Returns a function that starts spampd. Its log goes to a port that takes datagrams and forgets them. The option --homedir is
    left out: with SpamAssassin 4, spampd 2.53 ends when its path is used (the option is not cleaned for Perl's taint mode)."""
    def begin():
        if not LOGS:
            LOGS.append(lab.socket.socket(lab.socket.AF_INET, lab.socket.SOCK_DGRAM))
            LOGS[0].bind(("127.0.0.1", 514))
        os.makedirs("/var/cache/spampd", exist_ok=True)
        shutil.chown("/var/cache/spampd", "spampd", "spampd")
        start(name, ["/usr/sbin/spampd", "--nodetach", f"--host={host}", f"--relayhost={relay}", "--logsock=inet", "--user=spampd", "--group=spampd", f"--pid={tmp}/{name}.pid", *more])
    return begin


LOGS = []


def front_spampd(name, n):
    """Shows nothing of itself, so the look-up names Postfix, whose entry about hidden clients leads to the one about spampd."""
    def begin(): spampd(f"{name}-filter", f"{address(name)}:25", "127.0.0.1:10026")()
    def settings(lines):
        """Starts spampd as the service of Debian does, by the settings in its file."""
        keys = dict(l.split("=") for l in lines.split())
        stop(f"{name}-filter")
        spampd(f"{name}-filter", f"{keys['LISTENHOST']}:{keys['LISTENPORT']}", f"{keys['DESTHOST']}:{keys['DESTPORT']}")()
    return behind(name, n, begin, 10026, {"/etc/default/spampd (Debian)": settings}, entry=("spampd", "public-address"))


SERVERS = {
    "postfix": lambda: [open_postfix("pf-wide", 1)],
    "exim": lambda: [open_exim("ex-wide", 2), debian_exim("ex-debian", 3, "0.0.0.0/0")],
    "sendmail": lambda: [open_sendmail("sm-wide", 4)],
    "opensmtpd": lambda: [open_opensmtpd("os-any", 5)],
    "haraka": lambda: [
        open_haraka("hk-halves", 6, "0.0.0.0/1\n128.0.0.0/1\n", "[relay]\nacl=true\nforce_routing=false\ndest_domains=false\n"),
        open_haraka("hk-all", 7, "127.0.0.1/32\n", "[relay]\nall=true\n"),
    ],
    "aiosmtpd": lambda: [open_aiosmtpd("ai-proxy", 8)],
    "pure-proxy": lambda: [open_pure_proxy("py-proxy", 9)],
    "courier": lambda: [open_courier("co-delivered", 10)],
    "qpsmtpd": lambda: [open_qpsmtpd("qp-wide", 26)],
    "msmtpd": lambda: [open_msmtpd("ms-public", 27)],
    "amavis": lambda: [front_amavis("av-front", 28)],
    "clamsmtp": lambda: [front_clamsmtp("cs-front", 29)],
    "spampd": lambda: [front_spampd("sp-front", 30)],
}


# ── Programs whose texts are recognised ──────────────────────────────────────────────────────────────────────────────────
POSTSCREEN = """smtp inet n - n - 1 postscreen
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy"""
PYTHON = f"{peers}/venv/bin/python"


def program(name, n, args, files=(), folders=(), before="", **more):
    """A program that needs no more than files below the folder of the laboratory, folders that a user owns, and shell lines."""
    if n is not None: HOSTS[name] = n
    def begin():
        for file, text in dict(files).items(): write(f"{name}/{file}", text)
        for folder, user in folders:
            os.makedirs(folder, exist_ok=True)
            shutil.chown(folder, user, user)
        printed = shell(before) if before else ""
        if printed: print(printed, file=lab.sys.stderr)
        start(name, args, **more)
    return Server(name, begin)


def qpsmtpd(name, n, relayclients="127.0.0.1\n", more=""):
    d = f"{tmp}/{name}"
    own = f"{name}.lab.example"
    files = {
        "plugins": f"relay\nbadrcptto\nrcpt_map domain {own} file {d}/config/map\nrcpt_ok\n{more}", "me": f"{own}\n", "rcpthosts": f"{own}\n", "relayclients": relayclients,
        "map": f"postmaster@{own} OK exists\n", "plugin_dirs": "/usr/share/qpsmtpd/plugins\n", "loglevel": "6\n", "spool_dir": f"{d}/spool\n",
    }
    files = {f"config/{file}": text for file, text in files.items()}
    return program(name, n, ["/usr/bin/qpsmtpd-forkserver", "-l", address(name, n), "-p", "25", "-u", "qpsmtpd"], files, [(f"{d}/spool", "qpsmtpd")], QPSMTPD_CONFIG=f"{d}/config")


def courier(name, n, access=""):
    """The services of Debian. `access` are the lines for private networks in the access file."""
    own = f"{name}.lab.example\n"
    lines = f"""sed -i 's/^ADDRESS=.*//; s/^BOFHCHECKDNS=1/BOFHCHECKDNS=0/; s/^TARPIT=1/TARPIT=0/; s/^PIDFILE=/ADDRESS={address(name, n)}\\nPIDFILE=/' /etc/courier/esmtpd
printf %s '{own}' | tee /etc/courier/me /etc/courier/locals /etc/courier/esmtpacceptmailfor /etc/courier/defaultdomain > /dev/null
sed -i 's/^postmaster:$/postmaster: mail/' /etc/courier/aliases/system
sed -i '/^10[[:space:]]/d' /etc/courier/smtpaccess/default
printf %s '{access}' >> /etc/courier/smtpaccess/default
makesmtpaccess && makeacceptmailfor && makealiases"""
    folders = [(f"/var/lib/courier/{d}", "courier") for d in ("", "tmp", "msgs", "msgq", "track", "allfilters", "filters")]
    folders += [(f"/run/courier/{d}", "courier") for d in ("", "authdaemon")]
    services = """authdaemond start; courier start; esmtpd start
trap 'esmtpd stop; courier stop; authdaemond stop; kill $!; exit' TERM
sleep infinity & wait"""
    return program(name, n, ["sh", "-c", services], folders=folders, before=lines)


def amavis(name, n, own_name=None, behind=f"{COLLECTOR}:25"):
    """`own_name` is the name of the host, and `behind` the server that gets the messages."""
    own_name, d = own_name or name, f"{tmp}/{name}"
    host, port = behind.split(":")
    conf = f"""use strict;
$MYHOME = '{d}/home'; $TEMPBASE = $MYHOME; $helpers_home = $MYHOME; $pid_file = "$MYHOME/pid"; $lock_file = "$MYHOME/lock";
$daemon_user = 'amavis'; $daemon_group = 'amavis'; $myhostname = '{own_name}.lab.example'; $mydomain = 'lab.example';
$inet_socket_bind = '{address(own_name, n)}'; $inet_socket_port = 25; @inet_acl = qw( 10.0.0.0/8 );
@bypass_virus_checks_maps = (1); @bypass_spam_checks_maps = (1); @bypass_banned_checks_maps = (1);
$enable_db = 0; $do_syslog = 0; $log_level = 1; $max_servers = 2; $bypass_decode_parts = 1;
$forward_method = 'smtp:[{host}]:{port}'; $notify_method = $forward_method;
1;
"""
    return program(name, n if name == own_name else None, ["/usr/sbin/amavisd", "-c", f"{d}/conf", "foreground"], {"conf": conf}, [(f"{d}/home", "amavis")])


def dovecot(name, n):
    d = f"{tmp}/{name}"
    conf = f"""protocols = submission
listen = {address(name, n)}
hostname = {name}.lab.example
base_dir = /run/dovecot
state_dir = /run/dovecot
log_path = /dev/stderr
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{d}/mail
submission_relay_host = 127.0.0.1
passdb {{
  driver = static
  args = password=x
}}
service submission-login {{
  inet_listener submission {{
    port = 25
  }}
}}
service stats {{
  client_limit = 100
}}
"""
    return program(name, n, ["/usr/sbin/dovecot", "-F", "-c", f"{d}/conf"], {"conf": conf})


def chasquid(name, n):
    d = f"{tmp}/{name}"
    certificate = f"""mkdir -p {d}/certs/{name}.lab.example {d}/domains/{name}.lab.example
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name}.lab.example -keyout {d}/certs/{name}.lab.example/privkey.pem -out {d}/certs/{name}.lab.example/fullchain.pem 2> /dev/null"""
    conf = f'hostname: "{name}.lab.example"\nsmtp_address: "{address(name, n)}:25"\ndata_dir: "{d}/data"\nmail_log_path: "<stderr>"\n'
    return program(name, n, ["/usr/bin/chasquid", f"--config_dir={d}"], {"chasquid.conf": conf}, before=certificate)


FAILING_PLUGIN = """package Failing;
use Mail::SpamAssassin::Plugin;
our @ISA = ("Mail::SpamAssassin::Plugin");
sub new { my ($class, $main) = @_; return bless($class->SUPER::new($main), $class); }
my $checked = 0;  # SpamAssassin checks a message of its own when it starts.
sub check_start { no warnings; *Mail::SpamAssassin::PerMsgStatus::is_spam = sub { die "the plugin fails\\n" } if $checked++; }
1;
"""


def spampd_behind(name, n):
    """Passes on each reply of a Postfix, except if SpamAssassin fails: here a plugin lets it fail with each message."""
    begin_postfix = postfix(name, "mynetworks = 127.0.0.0/8", n, "127.0.0.1:10026 inet n - n - - smtpd")
    begin_filter = spampd(f"{name}-filter", f"{address(name)}:25", "127.0.0.1:10026", ["--dose"])
    def begin():
        write_text("/etc/spamassassin/failing.pm", FAILING_PLUGIN)
        write_text("/etc/spamassassin/failing.pre", "loadplugin Failing /etc/spamassassin/failing.pm\n")
        begin_postfix()
        wait_until(f"the Postfix of {name}", lambda: is_listening("127.0.0.1", 10026))
        begin_filter()
    return Server(name, begin)


def texts():
    """All programs whose texts are recognised. Proxies stand in front of the closed Postfix."""
    postfix_address = address("postfix", 11)
    server = lambda name, begin: Server(name, begin)
    return [
        server("postfix", postfix("postfix", "", 11)),
        server("postscreen", postfix("postscreen", "postscreen_greet_wait = 1s\npostscreen_bare_newline_enable = yes\npostscreen_bare_newline_action = enforce", 12, POSTSCREEN)),
        debian_exim("exim", 13, ""),
        server("sendmail", sendmail("sendmail", "FEATURE(`access_db')dnl", 14, access="Connect:localhost\tRELAY\n")),
        server("opensmtpd", opensmtpd("opensmtpd", "", 15)),
        open_haraka("haraka", 16, "127.0.0.1/32\n", "[relay]\nacl=true\n"),
        program("aiosmtpd", 17, [PYTHON, "-m", "aiosmtpd", "-n", "-l", f"{address('aiosmtpd', 17)}:25", "-c", "aiosmtpd.handlers.Sink"]),
        program("python-smtpd", 18, [PYTHON, "-W", "ignore", "-m", "smtpd", "-n", "-c", "smtpd.DebuggingServer", f"{address('python-smtpd', 18)}:25", "127.0.0.1:26"]),
        qpsmtpd("qpsmtpd", 19),
        courier("courier", 20),
        amavis("amavis", 21),
        dovecot("dovecot-submission", 22),
        chasquid("chasquid", 23),
        program("msmtpd", 24, ["/usr/bin/msmtpd", f"--interface={address('msmtpd', 24)}", "--port=25", "--command=/bin/false %F"]),
        spampd_behind("spampd", 31),
        program("clamsmtp", 25, ["/usr/sbin/clamsmtpd", "-d", "1", "-f", f"{tmp}/clamsmtp/conf"], {"conf": f"Listen: {address('clamsmtp', 25)}:25\nOutAddress: {postfix_address}:25\nClamAddress: /run/clamd.ctl\nTempDirectory: {tmp}\n"}),
    ]


def help_of(name):
    """Returns the lines with which a program replies to HELP."""
    with lab.socket.create_connection((address(name), 25), 10, (COLLECTOR, 0)) as s:
        f = s.makefile("rwb")
        def reply():
            lines = []
            while (line := f.readline()):
                lines.append(line.decode(errors="replace").rstrip())
                if line[3:4] != b"-": break
            return lines
        reply()
        out = []
        for line in ("EHLO collector.lab.example", "HELP", "QUIT"):
            f.write(line.encode() + b"\r\n"); f.flush()
            lines = reply()
            if line == "HELP": out = lines
        return out


def transcript(job):
    """Returns the transcript of a job."""
    s = lab.socket.socket(lab.socket.AF_UNIX)
    s.connect(f"{tmp}/run/orbsd.sock")
    s.sendall(f"GET /v1/jobs/{job}/transcript HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    with s.makefile("rb") as f: head, _, body = f.read().partition(b"\r\n\r\n")
    return body.decode()


def collect_texts(servers):
    jobs = {s.name: run("relay", "nominate", address(s.name), "--evidence", "a line of a log", "--test", "plain", "--name", f"{s.name}.lab.example")["id"] for s in servers}
    for name, job in jobs.items():
        wait_for_job(job)
        try: said = help_of(name)
        except OSError as e: said = [str(e)]
        facts[name] = {"transcript": transcript(job), "help": said}
    return facts


def set_source(name):
    """Makes a server the source of its connections to the collector, if it does not choose an address."""
    # The collector's address is only routed: OpenSMTPD trusts the clients at all addresses of the interfaces.
    subprocess.run(["ip", "addr", "del", f"{COLLECTOR}/32", "dev", "lo"], stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "route", "replace", "table", "local", "local", COLLECTOR, "dev", "lo", "src", address(name)], check=True)


def look_up(name):
    """Returns what the public look-up shows of a host."""
    request = urllib.request.Request(f"http://127.0.0.1:{WEB}/lookup?subject={address(name)}", headers={"Accept": "application/json"})
    with urllib.request.urlopen(request) as reply: return json.load(reply)


def find_entry(product, entry):
    """Returns an entry of the page of a product, as the look-up shows entries."""
    request = urllib.request.Request(f"http://127.0.0.1:{WEB}/advice/{product}", headers={"Accept": "application/json"})
    with urllib.request.urlopen(request) as reply: page = json.load(reply)
    return {"product": product, "entry": next(e for e in page["entries"] if e["id"] == entry)}


def is_unreachable(name):
    """Whether no program listens at the public address of a host."""
    try: is_listening(address(name), 25)
    except ConnectionRefusedError: return True
    return False


def dns(name): return query(".".join(reversed(address(name).split("."))), lab.DNS)


def close_by_advice(server):
    """Lists a server by a relay test, closes it by the first suggestion of the look-up, and claims that it is closed."""
    name = server.name
    set_source(name)
    job, outcomes = run_test(name)
    fact = {"assessment": job["assessment"], "outcomes": outcomes, "listed": dns(name)}
    if job["assessment"] != "open": return fact
    advice = look_up(name)["relay_tests"]["product_advice"]
    fact["recognised"] = [r["product"] for r in advice["recognised"]]
    fact["suggested"] = [[s["product"], s["entry"]["id"]] for s in advice["suggestions"]]
    fact["suggestion"] = find_entry(*server.entry) if server.entry else (advice["suggestions"] or [None])[0]
    if not fact["suggestion"]: return fact
    entry = fact["suggestion"]["entry"]
    check = entry["check"]["command"]
    fact["check before"] = server.check(check)
    fact["printed"] = [server.apply(change) for change in entry["changes"]]
    fact["restarts"] = open(f"{tmp}/restarts").read().split() if os.path.exists(f"{tmp}/restarts") else []
    for service in ["the server"] if server.restarts else fact["restarts"]: restart(server.processes.get(service, name))
    fact["not closed"] = None
    if server.reachable:
        wait_until(f"{name} after the change", lambda: is_listening(address(name), 25))
        try: wait_until(f"the closed {name}", lambda: rcpt_reply_class(name) == 5, 15)
        except SystemExit as e: fact["not closed"] = str(e)
    else: wait_until(f"the unreachable {name}", lambda: is_unreachable(name))
    fact["check after"] = server.check(check)
    claim = run("relay", "claim", address(name), "--proved")
    job, outcomes = wait_for_job(claim["job"]["id"])
    fact["claim"] = {"assessment": job["assessment"], "row": job["row"], "results": [[r["test"], r["outcome"], r["detail"]] for r in job["results"]], "controls": job["controls"]}
    fact["dns after"] = dns(name)
    return fact


def main():
    install()
    servers = texts() if product == "texts" else SERVERS[product]()
    set_up_network(USERS)
    set_source(servers[0].name)
    start_name_servers()
    for s in servers: s.begin()
    for s in servers: wait_until(s.name, lambda: is_listening(address(s.name), 25))
    start_orbsd(more=f'[web]\nlisten = "127.0.0.1:{WEB}"\n')
    print(json.dumps(collect_texts(servers) if product == "texts" else {s.name: close_by_advice(s) for s in servers}))


if __name__ == "__main__": run_laboratory(main)
