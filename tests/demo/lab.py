#!/usr/bin/env python3
"""The laboratory: runs relay tests of real mail servers in a closed network.

Usage: lab.py ORBSD PEERS [facts [drill|pace]]. ORBSD is the program, and PEERS the folder of the fetched peers (make peers). The script
runs in network and mount namespaces of its own, where the hosts 10.64.N.1 are addresses of the loopback interface and no packet
can leave. If namespaces are not allowed, it uses the loopback interface of the machine, with small servers of its own at
127.64.N.1 in place of Postfix and Exim. It prints the answers of orbsd and of its mirror, an NSD, at each step. With `facts` it
prints JSON for the tests instead; with `drill` it also runs OpenSMTPD and sendmail, each in a root directory of its own. With `pace`
it measures how long the owner of a Postfix waits after a claim, at the pace and with the limits of errors that both have by default.
"""
import glob, json, os, platform, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time

orbsd, peers = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
facts_only, drill, pace = "facts" in sys.argv[3:], sys.argv[3:] == ["facts", "drill"], sys.argv[3:] == ["facts", "pace"]
root = f"{peers}/root"
lib = f"{root}/usr/lib/{platform.machine()}-linux-gnu"

if os.environ.get("LAB_INSIDE") is None:
    ways = ["-mn"] if os.getuid() == 0 else ["-rmn", "--map-auto"]
    allowed = subprocess.run(["unshare", *ways, "true"], stderr=subprocess.DEVNULL).returncode == 0
    env = dict(os.environ, LAB_INSIDE="namespace" if allowed else "loopback")
    args = [sys.executable, os.path.abspath(sys.argv[0]), orbsd, peers, *sys.argv[3:]]
    done = subprocess.run((["unshare", *ways] if allowed else []) + args, env=env)
    sys.exit(done.returncode)

closed_net = os.environ["LAB_INSIDE"] == "namespace"
tmp = tempfile.mkdtemp(prefix="orbsd-lab-")
os.chmod(tmp, 0o755)
children, facts, mounted, started = [], {}, [], {}
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
NET = "10.64" if closed_net else "127.64"
COLLECTOR = f"{NET}.0.1"
DOMAIN = "probe.lab.example"
SECOND_DOMAIN = "second.lab.example"


def show(text=""):
    if not facts_only: print(text, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0)); return s.getsockname()[1]


PORT = 25 if closed_net else free_port()
COLLECT = 25 if closed_net else free_port()
NAMES = 53 if closed_net else free_port()
DNS, MIRROR = (5300, 5301) if closed_net else (free_port(), free_port())


def env(**more):
    return dict(os.environ, **{"LD_LIBRARY_PATH": ":".join([lib, f"{root}/usr/lib/postfix"]), **more})


def start(name, args, cwd=None, **more):
    log = open(f"{tmp}/{name}.log", "a")
    p = subprocess.Popen(args, cwd=cwd or tmp, env=env(**more) if args[0] != orbsd else dict(os.environ, **more), stdout=log, stderr=log)
    children.append(p)
    started[name] = (p, lambda: start(name, args, cwd, **more))
    return p


def stop(name):
    """Stops a program that was started."""
    process, _ = started[name]
    process.terminate()
    try: process.wait(10)
    except subprocess.TimeoutExpired: process.kill(); process.wait()
    children.remove(process)


def restart(name):
    """Stops a program that was started, and starts it in the same way."""
    stop(name)
    started[name][1]()


def write(path, text):
    os.makedirs(os.path.dirname(f"{tmp}/{path}"), exist_ok=True)
    open(f"{tmp}/{path}", "w").write(text)


def wait_until(what, f, seconds=30):
    end = time.time() + seconds
    while time.time() < end:
        try:
            r = f()
            if r: return r
        except (OSError, ValueError): pass
        time.sleep(0.1)
    logs = "".join(f"--- {n}\n{open(n, errors='replace').read()[-3000:]}" for n in glob.glob(f"{tmp}/*.log") + glob.glob(f"{tmp}/*/log") if os.path.isfile(n))
    raise SystemExit(f"{what}: not ready within {seconds} s\n{logs}")


def is_listening(addr, port):
    with socket.create_connection((addr, port), 1) as s: return s.recv(1) == b"2"


# ── The network ──────────────────────────────────────────────────────────────────────────────────────────────────────────
HOSTS = {}  # name: N of NET.N.1


def address(name): return f"{NET}.{HOSTS[name]}.1"


def set_up_network(more_users=()):
    """Gives the hosts their addresses, and makes the users of the programs, whose numbers are their places from 6520 on."""
    if not closed_net: return
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for n in range(0, 40): subprocess.run(["ip", "addr", "add", f"{NET}.{n}.1/32", "dev", "lo"], check=True)
    write("etc/resolv.conf", "nameserver 127.0.0.1\n")
    users = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\npostfix:x:6501:6501::/:/bin/false\nDebian-exim:x:6503:6503::/:/bin/false\n"
    groups = "root:x:0:\nnogroup:x:65534:\npostfix:x:6501:\npostdrop:x:6502:\nDebian-exim:x:6503:\n"
    for i, u in enumerate(more_users, 6520): users += f"{u}:x:{i}:{i}::/:/bin/false\n"; groups += f"{u}:x:{i}:\n"
    write("etc/passwd", users)
    write("etc/group", groups)
    for f in ("passwd", "group"): subprocess.run(["mount", "--bind", f"{tmp}/etc/{f}", f"/etc/{f}"], check=True)
    target = os.path.realpath("/etc/resolv.conf")
    if subprocess.run(["mount", "--bind", f"{tmp}/etc/resolv.conf", target], stderr=subprocess.DEVNULL).returncode:
        subprocess.run(["mount", "--bind", f"{tmp}/etc", "/etc"], check=True)


def nsd(name, port, zones):
    """Starts a name server. Each zone is (origin, text of its file) or, for a secondary zone, (origin, port of the primary)."""
    os.makedirs(f"{tmp}/{name}", exist_ok=True)
    text = f'server:\n  ip-address: 127.0.0.1@{port}\n  username: ""\n  zonesdir: "{tmp}/{name}"\n  database: ""\n  pidfile: ""\n  xfrdfile: "{tmp}/{name}/xfrd"\n  zonelistfile: "{tmp}/{name}/list"\n  xfrdir: "{tmp}/{name}"\n  rrl-ratelimit: 0\n  xfrd-reload-timeout: 0\nremote-control:\n  control-enable: no\n'
    for origin, what in zones:
        file = "root" if origin == "." else origin
        text += f'zone:\n  name: "{origin}"\n  zonefile: "{file}"\n'
        if isinstance(what, str): write(f"{name}/{file}", what)
        else: text += f"  request-xfr: 127.0.0.1@{what} NOKEY\n  allow-notify: 127.0.0.1 NOKEY\n"
    write(f"{name}/conf", text)
    start(name, [f"{root}/usr/sbin/nsd", "-d", "-c", f"{tmp}/{name}/conf"])


def start_name_servers():
    soa = "@ 60 SOA ns.lab.example. hostmaster.lab.example. 1 60 60 60 60\n@ NS ns.lab.example.\n"
    lab = soa + f"ns A 127.0.0.1\nprobe MX 10 collector\nsecond MX 10 collector\ncollector A {COLLECTOR}\n" + "".join(f"{n} A {address(n)}\n{n} MX 10 {n}\n" for n in HOSTS)
    reverse = soa + f"1.0 PTR collector.lab.example.\n" + "".join(f"1.{i} PTR {n}.lab.example.\n" for n, i in HOSTS.items())
    a, b = NET.split(".")
    # There is a root zone, so that missing names get NXDOMAIN: a mail server defers mail if a look-up gets no answer.
    root = soa + "example NS ns.lab.example.\narpa NS ns.lab.example.\nns.lab.example A 127.0.0.1\n"
    nsd("names", NAMES, [(".", root), ("lab.example", lab), (f"{b}.{a}.in-addr.arpa", reverse), ("example", soa + "lab NS ns.lab.example.\nns.lab A 127.0.0.1\n")])


NO_ERROR_LIMITS = "smtpd_error_sleep_time = 0\nsmtpd_soft_error_limit = 1000\nsmtpd_hard_error_limit = 1000\n"


# ── Mail servers ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def postfix(name, more, n, listener="smtp inet n - n - - smtpd"):
    HOSTS[name] = n
    def begin():
        d = f"{tmp}/{name}"
        for q in "pid private public maildrop incoming active deferred bounce defer corrupt hold flush saved trace".split(): os.makedirs(f"{d}/queue/{q}", exist_ok=True)
        os.makedirs(f"{d}/data", exist_ok=True); os.makedirs(f"{d}/conf", exist_ok=True)
        for path, dirs, _ in os.walk(f"{d}/queue"):
            os.chown(path, 6501, 6501)
        os.chown(f"{d}/data", 6501, 6501); os.chown(f"{d}/queue", 0, 0); os.chown(f"{d}/queue/pid", 0, 0)
        for q, mode in (("maildrop", 0o730), ("public", 0o710)): os.chown(f"{d}/queue/{q}", 6501, 6502); os.chmod(f"{d}/queue/{q}", mode)
        rules = {"mynetworks": "192.0.2.1/32", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"}
        defaults = "\n".join(f"{k} = {v}" for k, v in rules.items() if f"{k} = " not in more)
        write(f"{name}/conf/main.cf", f"""compatibility_level = 3.6
queue_directory = {d}/queue
data_directory = {d}/data
daemon_directory = {root}/usr/lib/postfix/sbin
command_directory = {root}/usr/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {root}/etc/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = {name}.lab.example
mydestination = {name}.lab.example
inet_interfaces = {address(name)}
smtp_bind_address = {address(name)}
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps = inline:{{postmaster=x}}
local_transport = discard
{defaults}
smtpd_client_connection_rate_limit = 0
{"" if pace else NO_ERROR_LIMITS}
smtp_host_lookup = dns
maillog_file = {d}/log
maillog_file_prefixes = {tmp}
import_environment = LD_LIBRARY_PATH MAIL_CONFIG MAIL_LOGTAG TZ
{more}
""")
        write(f"{name}/conf/master.cf", f"""{listener}
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
retry unix - - n - - error
error unix - - n - - error
discard unix - - n - - discard
local unix - n n - - discard
postlog unix-dgram n - n - 1 postlogd
""")
        start(name, [f"{root}/usr/lib/postfix/sbin/master", "-c", f"{d}/conf", "-d"], MAIL_CONFIG=f"{d}/conf")
    return begin


def close_postfix(name, how="reject_unauth_destination"):
    """Closes a Postfix that relays, and makes it read its configuration again."""
    conf = f"{tmp}/{name}/conf/main.cf"
    text = re.sub(r"(?m)^(mynetworks|relay_domains|smtpd_relay_restrictions|relayhost) = .*$", "", open(conf).read())
    open(conf, "w").write(text + f"mynetworks = 192.0.2.1/32\nsmtpd_relay_restrictions = permit_mynetworks, {how}\nrelay_domains =\n")
    pid = int(open(f"{tmp}/{name}/queue/pid/master.pid").read())
    os.kill(pid, signal.SIGHUP)
    wait_until(f"the closed {name}", lambda: rcpt_reply_class(name) == (4 if how.startswith("defer") else 5))


def rcpt_reply_class(name):
    """Returns the first digit of a host's reply to a recipient in a foreign domain, for a client at the address of the tester."""
    with socket.create_connection((address(name), PORT), 5, (COLLECTOR, 0)) as s:
        f = s.makefile("rwb")
        for l in ("", "EHLO x", "MAIL FROM:<>", f"RCPT TO:<unknown@{DOMAIN}>"):
            if l: f.write(l.encode() + b"\r\n"); f.flush()
            while (r := f.readline())[3:4] == b"-": pass
        return int(r[:1])


def copy_exim():
    """Copies Exim and its libraries: Exim executes itself again as its own user, who cannot read the folder of the peers."""
    if not os.path.exists(f"{tmp}/exim/exim4"):
        os.makedirs(f"{tmp}/exim")
        shutil.copy(f"{root}/usr/sbin/exim4", f"{tmp}/exim/exim4")
        for l in subprocess.run(["ldd", f"{tmp}/exim/exim4"], env=env(), capture_output=True, text=True).stdout.splitlines():
            m = re.search(r"=> (\S+)", l)
            if m and m[1].startswith(root): shutil.copy(m[1], f"{tmp}/exim/")
        # When Exim changes its user, the loader ignores LD_LIBRARY_PATH, so the libraries are in the loader's cache.
        conf = glob.glob("/etc/ld.so.conf.d/*.conf")
        write("exim/ld.conf", f"{tmp}/exim\n" + "".join(f"include {c}\n" for c in conf))
        subprocess.run(["/sbin/ldconfig", "-X", "-f", f"{tmp}/exim/ld.conf", "-C", f"{tmp}/exim/ld.cache"], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["mount", "--bind", f"{tmp}/exim/ld.cache", "/etc/ld.so.cache"], check=True)
    return f"{tmp}/exim"


def exim(name, acl, n, more=""):
    HOSTS[name] = n
    def begin():
        d = f"{tmp}/{name}"
        os.makedirs(f"{d}/log", exist_ok=True)
        write(f"{name}/conf", f"""primary_hostname = {name}.lab.example
exim_path = {copy_exim()}/exim4
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = {d}
log_file_path = {d}/log/%slog
pid_file_path = {d}/pid
keep_environment = LD_LIBRARY_PATH
local_interfaces = {address(name)}
daemon_smtp_ports = 25
acl_smtp_rcpt = check
smtp_accept_max_per_host = 100
domainlist own = {name}.lab.example
{more}
begin acl
check:
{acl}
begin routers
percent:
  driver = redirect
  domains = +own
  local_parts = ^.*%.*\\$
  data = ${{sg{{$local_part}}{{%}}{{@}}}}
own:
  driver = redirect
  domains = +own
  data = :blackhole:
out:
  driver = dnslookup
  domains = ! +own
  transport = smtp
begin transports
smtp:
  driver = smtp
  interface = {address(name)}
  hosts_try_fastopen =
begin retry
* * F,1h,1m
""")
        for path, dirs, _ in os.walk(d): os.chown(path, 6503, 6503)
        os.chown(f"{d}/conf", 0, 0); os.chmod(f"{d}/conf", 0o644)
        start(name, [f"{tmp}/exim/exim4", "-C", f"{d}/conf", "-bdf", "-q1m"])
    return begin


def mount_read_only(what, where):
    """Mounts a file or folder read-only at another path. It is unmounted before the temporary folder is removed."""
    subprocess.run(["mount", "-o", "bind,ro", what, where], check=True)
    mounted.append(where)


def private_root(name):
    """Makes a root directory for a server whose paths are fixed at build time. Programs are read-only; /etc and /var are separate."""
    own, shared = f"{tmp}/{name}/root", f"{peers}/mtas"
    for d in ("etc", "dev", "run", "tmp", "var/empty", "var/lib/opensmtpd/empty", "var/spool", "var/run"): os.makedirs(f"{own}/{d}", exist_ok=True)
    for d in ("bin", "lib", "lib64", "usr"):
        if not os.path.isdir(f"{shared}/{d}"): continue  # Not every architecture has lib64.
        os.makedirs(f"{own}/{d}")
        mount_read_only(f"{shared}/{d}", f"{own}/{d}")
    for d in ("null", "urandom", "random"):
        write(f"{name}/root/dev/{d}", "")
        mount_read_only(f"/dev/{d}", f"{own}/dev/{d}")
    users = [("root", 0), ("mail", 8), ("nobody", 65534), ("opensmtpd", 6511), ("opensmtpq", 6512), ("smmta", 6513), ("smmsp", 6514)]
    write(f"{name}/root/etc/passwd", "".join(f"{u}:x:{i}:{i}::/var/empty:/bin/false\n" for u, i in users))
    write(f"{name}/root/etc/group", "".join(f"{u}:x:{i}:\n" for u, i in users))
    write(f"{name}/root/etc/resolv.conf", "nameserver 127.0.0.1\n")
    write(f"{name}/root/etc/hosts", f"127.0.0.1 localhost\n{address(name)} {name}.lab.example\n")
    write(f"{name}/root/etc/nsswitch.conf", "hosts: files dns\naliases: files\npasswd: files\ngroup: files\n")
    return own


def opensmtpd(name, match, n):
    """Returns a function that starts OpenSMTPD. `match` is the rule for mail that it relays besides mail for its own domain."""
    HOSTS[name] = n
    def begin():
        own = private_root(name)
        os.makedirs(f"{own}/var/spool/smtpd", mode=0o711)
        write(f"{name}/root/etc/smtpd.conf", f"""listen on {address(name)} hostname {name}.lab.example
action "local" maildir "/tmp/mail" alias {{ postmaster = nobody }}
action "relay" relay helo {name}.lab.example src {address(name)}
match from any for domain "{name}.lab.example" action "local"
{match}
""")
        start(name, ["chroot", own, "/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf"])
    return begin


def sendmail(name, features, n, access=""):
    """Returns a function that starts sendmail. `features` are lines of its m4 configuration, and `access` those of its access map."""
    HOSTS[name] = n
    def begin():
        own = private_root(name)
        os.makedirs(f"{own}/var/spool/mqueue", mode=0o700)
        os.makedirs(f"{own}/etc/mail")
        write(f"{name}/root/etc/mail/sendmail.mc", f"""include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `{name}.lab.example')dnl
define(`STATUS_FILE', `')dnl
define(`HELP_FILE', `')dnl
define(`confPID_FILE', `/run/pid')dnl
define(`confTO_IDENT', `0s')dnl
define(`confDONT_PROBE_INTERFACES', `true')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confMAX_DAEMON_CHILDREN', `40')dnl
define(`LOCAL_MAILER_PATH', `/usr/libexec/sendmail/mail.local')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Name=MTA, Family=inet, Addr={address(name)}, Port=25')dnl
CLIENT_OPTIONS(`Family=inet, Addr={address(name)}')dnl
{features}
MAILER(`local')dnl
MAILER(`smtp')dnl
""")
        with open(f"{own}/etc/mail/sendmail.cf", "w") as cf:
            subprocess.run(["chroot", own, "/usr/bin/m4", "-D_CF_DIR_=/usr/share/sendmail/cf/", "/etc/mail/sendmail.mc"], stdout=cf, stderr=open(f"{tmp}/{name}.log", "w"), check=True)
        # Without a database of aliases, sendmail accepts every local part and queues the message.
        write(f"{name}/root/etc/mail/aliases", "postmaster: /dev/null\n")
        subprocess.run(["chroot", own, "/usr/libexec/sendmail/sendmail", "-bi", "-C/etc/mail/sendmail.cf"], stdout=subprocess.DEVNULL, check=True)
        if access:
            write(f"{name}/root/etc/mail/access", access)
            subprocess.run(["chroot", own, "/usr/libexec/sendmail/makemap", "hash", "/etc/mail/access"], input=access, text=True, check=True)
        start(name, ["chroot", own, "/usr/libexec/sendmail/sendmail", "-bD", "-q1m", "-C/etc/mail/sendmail.cf"])
    return begin


def small(name, n, opened=True, via=None):
    """Returns a function that starts a small mail server, for machines without namespaces."""
    HOSTS[name] = n
    state = {"open": opened}
    def serve(c):
        f = c.makefile("rwb")
        def reply(t): f.write(t.encode() + b"\r\n"); f.flush()
        reply(f"220 {name}.lab.example ESMTP"); to, sender = [], ""
        for line in f:
            verb = line.strip().upper()
            if verb.startswith(b"MAIL"): sender = line.strip()[10:].split(b" ")[0].strip(b" <>").decode(errors="replace")
            if verb.startswith(b"RCPT"):
                a = line.strip()[8:].strip(b" <>").decode(errors="replace")
                own = a.lower() in ("postmaster", f"postmaster@{name}.lab.example")
                ok = own or state["open"] and a.endswith("@" + DOMAIN) and not a.startswith(("@", '"'))
                if ok and not own: to.append(a)
                reply("250 ok" if ok else "550 relaying denied")
            elif verb.startswith(b"DATA") and to:
                reply("354 go"); data = b""
                for l in f:
                    if l == b".\r\n": break
                    data += l
                reply("250 queued")
                for a in to: threading.Thread(target=deliver, args=(sender, a, data)).start()
                to = []
            elif verb.startswith(b"QUIT"): reply("221 bye"); break
            else: reply("250 ok"); to = [] if verb.startswith(b"RSET") else to
        c.close()
    def deliver(sender, a, data):
        with socket.create_connection((COLLECTOR, COLLECT), 10, (via or address(name), 0)) as s:
            f = s.makefile("rwb"); f.readline()
            for l in (f"EHLO {name}", f"MAIL FROM:<{sender}>", f"RCPT TO:<{a}>", "DATA"):
                f.write(l.encode() + b"\r\n"); f.flush()
                while f.readline()[3:4] == b"-": pass
            f.write(data + b".\r\n"); f.flush(); f.readline()
    def begin():
        s = socket.create_server((address(name), PORT))
        def loop():
            while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
        threading.Thread(target=loop, daemon=True).start()
    begin.state = state
    return begin


# ── orbsd ────────────────────────────────────────────────────────────────────────────────────────────────────────────────
FAST = 'pause = "0s"\nmin_duration = "0s"\ntimeout = "20s"\ncollect_wait = "%ds"\nretry_delays = ["2s", "2s"]' % (5 if closed_net else 1)


def start_orbsd(speed=FAST, more=""):
    """Starts orbsd. `speed` are the lines of [probe] that differ from the defaults, and `more` is the end of the configuration."""
    # The tests come from an address that no tested host has, because a mail server trusts its own addresses.
    source = f'source_addresses = ["{COLLECTOR}"]' if closed_net else ""
    reasons = "".join(f'[[reason]]\nname = "{r}"\ntext = "{t} $"\nlifetime = "90d"\n' for r, t in [("relay", "Open relay"), ("input", "Open relay input"), ("output", "Delivers for open relays"), ("unconfirmed", "Unconfirmed"), ("notest", "Not tested")])
    write("config.toml", f"""[admin]
listen = ""
[dns]
listen = ["127.0.0.1:{DNS}"]
[limits]
allow_special_ranges = ["{NET}.0.0/10"]
[http_client]
resolvers = ["127.0.0.1:{NAMES}"]
[collector]
listen = ["{COLLECTOR}:{COLLECT}"]
[probe]
enabled = true
domain = "{DOMAIN}"
second_domain = "{SECOND_DOMAIN}"
ehlo_name = "collector.lab.example"
{source}
contact = "relaytest@lab.example"
info_url = "https://lab.example/tests"
{speed}
max_hosts_per_prefix = 100
max_hosts_per_asn = 100
ports = [{PORT}, 1, 1]
{reasons}{more}""")
    write("zones/relays.toml", f"""origin = "relays.lab.example"
kind = "address"
ns = ["ns1.lab.example", "ns2.lab.example"]
contact = "hostmaster@lab.example"
refresh = "1m"
publish = [{{ reason = "relay", code = "127.0.0.2" }}, {{ reason = "input", code = "127.0.0.3" }}, {{ reason = "output", code = "127.0.0.4" }}]
[transfer]
allow = ["127.0.0.0/8"]
notify = ["127.0.0.1:{MIRROR}"]
""")
    started = start("orbsd", [orbsd, "serve"])
    wait_until("orbsd", lambda: query("2.0.0.127", DNS))
    return started


def run(*args, ok=True):
    p = subprocess.run([orbsd, "--json", *args], cwd=tmp, capture_output=True, text=True)
    if ok and p.returncode not in (0, 1): raise SystemExit(f"orbsd {args}: {p.stdout}{p.stderr}")
    return json.loads(p.stdout)


def query(name, port):
    q = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"".join(bytes([len(l)]) + l.encode() for l in f"{name}.relays.lab.example".split(".")) + b"\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1); s.sendto(q, ("127.0.0.1", port))
        try: r = s.recv(512)
        except OSError: return None
    rcode, n = r[3] & 15, int.from_bytes(r[6:8], "big")
    return {0: "", 3: "NXDOMAIN"}.get(rcode, f"rcode {rcode}") + " ".join(sorted(socket.inet_ntoa(r[m.end():m.end() + 4]) for m in re.finditer(rb"\xc0.\x00\x01\x00\x01.{4}\x00\x04", r, re.S))) if n or rcode else "no data"


def compare_answers(name):
    a = ".".join(reversed(address(name).split(".")))
    here = query(a, DNS)
    end = time.time() + 15
    while (there := query(a, MIRROR)) != here and time.time() < end: time.sleep(0.05)
    show(f"      DNS for {address(name)}: {here}; of the mirror: {there}")
    return here, there


def nominate(name):
    return run("relay", "nominate", address(name), "--evidence", f"log line about {name}", "--name", f"{name}.lab.example")["id"]


def run_test(name):
    return wait_for_job(nominate(name))


def wait_for_job(id):
    job = wait_until(f"job {id}", lambda: (j := run("relay", "jobs", str(id)))["state"] == "done" and j, 240)
    out = {}
    for r in job["results"]:
        order = ["skipped", "refused", "inconclusive", "deferred", "accepted", "bounced", "delivered"]
        if order.index(r["outcome"]) > order.index(out.get(r["test"], "skipped")): out[r["test"]] = r["outcome"]
        out.setdefault(r["test"], r["outcome"])
    return job, out


def show_outcomes(job, outcomes):
    n = {o: sum(1 for x in outcomes.values() if x == o) for o in sorted(set(outcomes.values()))}
    show(f"      {job['assessment']}: " + ", ".join(f"{v} {k}" for k, v in n.items()))
    delivered = [t for t, o in outcomes.items() if o == "delivered"]
    if delivered: show(f"      delivered: {', '.join(delivered[:6])}{' …' if len(delivered) > 6 else ''}")


def measure_pace(process):
    """Measures how long owners wait at the default pace. Their claims are not proved."""
    if not closed_net: raise SystemExit("the pace is measured in namespaces of its own, which are not allowed here")
    for n in HOSTS: _, facts[n] = run_test(n)
    process.terminate(); process.wait(20); children.remove(process)
    start_orbsd(speed="")
    wait_until("the collector", lambda: not run("status")["tester"]["problem"], 60)
    close_postfix("pf-refuses")
    close_postfix("pf-defers", "defer_unauth_destination")
    listed = lambda name: query(".".join(reversed(address(name).split("."))), DNS) == "127.0.0.2"
    facts["listed before"] = [listed(n) for n in HOSTS]
    begun = time.monotonic()
    jobs = {n: run("relay", "claim", address(n))["job"]["id"] for n in HOSTS}
    job = lambda n: run("relay", "jobs", str(jobs[n]))
    shown, waits = set(), {}
    def poll():
        refused = sum(r["outcome"] == "refused" for r in job("pf-refuses")["results"])
        shown.add(refused)
        if not listed("pf-refuses"): waits.setdefault("released after", time.monotonic() - begun)
        if job("pf-defers").get("advice"): waits.setdefault("told after", time.monotonic() - begun)
        return len(waits) == 2
    wait_until("the release and the advice", poll, 400)
    facts.update(waits)
    facts["shown"] = sorted(shown)
    facts["release"] = [job("pf-refuses")["state"], job("pf-refuses")["row"]]
    facts["told"] = [job("pf-defers")["state"], job("pf-defers")["advice"], listed("pf-defers")]


# ── The demonstration ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def main():
    if pace:
        begin = [postfix("pf-refuses", "mynetworks = 0.0.0.0/0", 2), postfix("pf-defers", "mynetworks = 0.0.0.0/0", 3)]
    elif closed_net:
        begin = [
            postfix("pf-closed", "", 1),
            postfix("pf-open", "mynetworks = 0.0.0.0/0", 2),
            postfix("pf-input", "mynetworks = 0.0.0.0/0\nrelayhost = [%s.4.1]" % NET, 3),
            postfix("pf-output", f"mynetworks = {NET}.3.1/32", 4),
        ]
        if facts_only:
            ours = "  accept domains = +own\n    local_parts = postmaster\n  deny message = no"
            grey = postfix("pf-grey", "smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10023", 7)
            begin += [
                postfix("pf-domain", f"relay_domains = {DOMAIN}", 5),
                postfix("pf-sender", "smtpd_relay_restrictions = check_sender_access inline:{pf-sender.lab.example=permit}, reject_unauth_destination", 6),
                grey,
                postfix("pf-defer", "smtpd_relay_restrictions = permit_mynetworks, defer_unauth_destination", 8),
                exim("ex-closed", ours, 11),
                exim("ex-open", "  accept", 12),
                exim("ex-percent", "  accept domains = +own\n    local_parts = ^.*%.*\\$\n" + ours, 13),
                postfix("pf-client", "smtpd_relay_restrictions = check_client_access static:OK, reject_unauth_destination", 9),
                postfix("pf-recipient", "smtpd_relay_restrictions = check_recipient_access inline:{%s=OK}, reject_unauth_destination" % DOMAIN, 10),
                exim("ex-domain", f"  accept domains = {DOMAIN}\n" + ours, 15),
                exim("ex-hosts", "  accept hosts = 0.0.0.0/0\n" + ours, 16),
                exim("ex-sender", "  accept sender_domains = +own\n" + ours, 14),
            ]
        if drill:
            begin += [
                opensmtpd("os-closed", "", 21),
                opensmtpd("os-open", 'match from any for any action "relay"', 22),
                opensmtpd("os-sender", 'match from any mail-from "@os-sender.lab.example" for any action "relay"', 23),
                opensmtpd("os-domain", f'match from any for domain "{DOMAIN}" action "relay"', 24),
                sendmail("sm-closed", "", 25),
                sendmail("sm-open", "FEATURE(`promiscuous_relay')dnl", 26),
                sendmail("sm-sender", "FEATURE(`relay_local_from')dnl", 27),
                sendmail("sm-domain", f"RELAY_DOMAIN(`{DOMAIN}')dnl", 29),
            ]
    else:
        begin = [small("pf-closed", 1, opened=False), small("pf-open", 2), small("pf-input", 3, via=f"{NET}.4.1"), small("pf-output", 4, opened=False)]
    set_up_network()
    start_name_servers()
    for b in begin: b()
    if closed_net and facts_only and not pace:
        perl = ":".join([f"{root}/usr/share/perl5", *glob.glob(f"{lib}/perl5/5.*"), *glob.glob(f"{lib}/perl-base")])
        os.makedirs(f"{tmp}/postgrey", exist_ok=True)
        start("postgrey", ["perl", "-T", f"-I{root}/usr/share/perl5", *[f"-I{p}" for p in glob.glob(f"{lib}/perl5/5.*")], f"{root}/usr/sbin/postgrey", "--inet=127.0.0.1:10023", "--delay=1", "--user=root", "--group=root", f"--dbdir={tmp}/postgrey", "--whitelist-clients=/dev/null", "--whitelist-recipients=/dev/null", "--greylist-text=later"], PERL5LIB=perl)
    for n in HOSTS: wait_until(n, lambda: is_listening(address(n), PORT))
    process = start_orbsd()
    if pace:
        measure_pace(process)
        return print(json.dumps(facts))
    nsd("mirror", MIRROR, [("relays.lab.example", DNS)])
    wait_until("the mirror", lambda: query("2.0.0.127", MIRROR) not in (None, "rcode 2"))

    show(f"\nThe laboratory: {'namespaces of its own' if closed_net else 'loopback (namespaces are not allowed here)'}")
    for n in HOSTS: show(f"  {address(n):<12} {n}")
    show(f"  {COLLECTOR:<12} the collector, MX of {DOMAIN}\n")

    show("1  No host is listed.")
    facts["before"] = compare_answers("pf-open")
    show("\n2  A reporter nominates pf-open with a log line: it is tested, and it delivers test messages.")
    job, out = run_test("pf-open"); show_outcomes(job, out); facts["pf-open"] = out
    facts["listed"] = compare_answers("pf-open")
    proof = run("relay", "evidence", address("pf-open"))["items"][0]
    show(f"      proof {proof['id']}: sent to [{proof['input']}] at {proof['sent']}, delivered by [{proof['output']}] at {proof['arrived']}")
    show("\n3  The same for pf-closed: it refuses every test, and is not listed.")
    job, out = run_test("pf-closed"); show_outcomes(job, out); facts["pf-closed"] = out; facts["closed says"] = job["assessment"]
    facts["closed"] = compare_answers("pf-closed")
    show("\n4  pf-input sends accepted mail through a smart host, pf-output: the input is listed, the output is not (yet).")
    job, out = run_test("pf-input"); show_outcomes(job, out)
    facts["input"], facts["output"] = compare_answers("pf-input"), compare_answers("pf-output")
    show("\n5  The owner of pf-open claims that it is closed. It is not, so the claim fails, and the next one waits an hour.")
    claim = run("relay", "claim", address("pf-open"), "--proved")
    job, out = wait_for_job(claim["job"]["id"]); show_outcomes(job, out)
    again = run("relay", "claim", address("pf-open"), "--proved")
    show(f"      {again['what_happens']}")
    facts["early"] = [job["assessment"], again["job"]["state"], compare_answers("pf-open")]
    show("\n6  The owner of pf-input closes it and claims: it refuses every test but not its postmaster, and is released.")
    if closed_net: close_postfix("pf-input")
    else: begin[2].state["open"] = False
    claim = run("relay", "claim", address("pf-input"), "--proved")
    job, out = wait_for_job(claim["job"]["id"]); show_outcomes(job, out)
    facts["released"] = [job["assessment"], compare_answers("pf-input"), job["row"]]
    if facts_only and closed_net:
        rest = [n for n in HOSTS if n not in ("pf-open", "pf-closed", "pf-input", "pf-output")]
        jobs = {n: nominate(n) for n in rest}
        for n, id in jobs.items():
            job, out = wait_for_job(id)
            facts[n] = out; facts[f"{n} says"] = job["assessment"]; facts[f"{n} dns"] = compare_answers(n)
        # The default of Debian: recipients in foreign domains are always deferred.
        close_postfix("pf-domain", "defer_unauth_destination")
        job, out = wait_for_job(run("relay", "claim", address("pf-domain"), "--proved")["job"]["id"])
        again = run("relay", "claim", address("pf-domain"), "--proved")
        facts["put off"] = [job["assessment"], out["plain"], again["release"], again["what_happens"], job["row"]]
    if facts_only: print(json.dumps(facts))
    else: show(f"\nThese were all steps: nomination, test, proof, DNS, claim, release. No message left this machine.\n")


def run_laboratory(main):
    """Runs a function, and then ends all programs and removes all files."""
    try:
        main()
    finally:
        for p in reversed(children):
            p.terminate()
        for p in children:
            try: p.wait(5)
            except subprocess.TimeoutExpired: p.kill()
        for m in reversed(mounted): subprocess.run(["umount", "-l", m])
        if os.environ.get("LAB_KEEP"): print("kept:", tmp, file=sys.stderr)
        else: shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__": run_laboratory(main)
