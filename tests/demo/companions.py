#!/usr/bin/env python3
"""The lists that stood beside ORBS, each as a zone of one daemon on the loopback interface.

Usage: companions.py ORBSD. ORBSD is the program. The script needs no privileges. It goes through one step for each list, prints what
the commands and queries answer, removes everything, and ends with status 0 if all is as promised.
"""
import glob, json, os, shutil, signal, socket, struct, subprocess, sys, tempfile, time, tomllib, urllib.error, urllib.request
from servers import NameServer, encode_name

orbsd = os.path.abspath(sys.argv[1])
here = os.path.abspath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
tmp = tempfile.mkdtemp(prefix="orbsd-companions-")
broken, daemon = [], None
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
GENERIC = "p2d336407.dip0.t-ipconnect.de"


def show(text=""): print(text, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


DNS, API, NAMES = free_port(), free_port(), free_port()


def promise(what, kept):
    show(f"   {'ok' if kept else 'BROKEN'}: {what}")
    if not kept: broken.append(what)


def write(path, text):
    os.makedirs(os.path.dirname(f"{tmp}/{path}"), exist_ok=True)
    with open(f"{tmp}/{path}", "w") as f: f.write(text)
    return f"{tmp}/{path}"


def run(*args, token=None):
    """Runs a command, shows it with what it prints, and returns that."""
    words = [orbsd, *args, *(["--server", f"http://127.0.0.1:{API}", "--token", token] if token else [])]
    p = subprocess.run(words, cwd=tmp, capture_output=True, text=True)
    show(f"   $ orbsd {' '.join(args)}")
    lines = (p.stdout + p.stderr).splitlines()
    for line in lines[:12]: show(f"     {line}")
    if len(lines) > 12: show(f"     … {len(lines) - 12} more lines")
    if p.returncode: raise SystemExit(f"orbsd {' '.join(args)} ended with {p.returncode}")
    return p.stdout


def new_token(owner, role, person=False):
    """Returns the file with a token of a program, or of a person, who is another user than the one who runs this script."""
    if person: subprocess.run([orbsd, "user", "add", owner, "--role", role], cwd=tmp, capture_output=True, check=True)
    made = json.loads(subprocess.run([orbsd, "--json", "token", "create", "--owner", owner, "--role", role], cwd=tmp, capture_output=True, text=True, check=True).stdout)
    path = write(f"tokens/{owner}", made["token"] + "\n")
    os.chmod(path, 0o600)
    return path


def codes(address, zone):
    """The A records of an address in a zone."""
    name = ".".join(reversed(address.split("."))) + f".{zone}.orbs.example"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(struct.pack(">6H", 7, 0, 1, 0, 0, 0) + encode_name(name) + struct.pack(">2H", 1, 1), ("127.0.0.1", DNS))
        reply = s.recv(1232)
    answers = struct.unpack(">H", reply[6:8])[0]
    found = sorted({socket.inet_ntoa(reply[i:i + 4]) for i in range(12, len(reply) - 3) if reply[i - 2:i] == b"\0\4" and reply[i] == 127}) if answers else []
    show(f"   {name}: {' '.join(found) or 'not listed'}")
    return found


def wait_until(what, f, seconds=40):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if f(): return
        time.sleep(0.3)
    raise SystemExit(f"{what}: not within {seconds} s\n{open(f'{tmp}/orbsd.log', errors='replace').read()[-2000:]}")


def is_ready():
    """Whether the daemon serves. Commands would open the store themselves until it does."""
    try: return urllib.request.urlopen(f"http://127.0.0.1:{API}/health/ready", timeout=5).status == 200
    except OSError: return False


def configure():
    """Writes the shipped configuration with the addresses of the demonstration, and a zone of recent log-ins."""
    text = open(f"{here}/config.toml").read()
    c = tomllib.loads(text)
    reasons = "".join(f"[[reason]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in r.items()) for r in c["reason"])
    write("config.toml", f"""[dns]
listen = ["127.0.0.1:{DNS}"]
[admin]
listen = "127.0.0.1:{API}"
[web]
listen = ""
[http_client]
resolvers = ["127.0.0.1:{NAMES}"]
[generic_names]
reason = "generic"
ranges = ["45.51.100.0/29"]
confirm_after = "1s"
[netblocks]
reason = "netblock"
[dynamic_ranges]
reason = "dynamic"
{reasons}""")
    for path in glob.glob(f"{here}/zones/*.toml"): shutil.copy(path, write(f"zones/{os.path.basename(path)}", ""))
    write("zones/logins.toml", """origin = "logins.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
durability = "volatile"
[query]
allow = ["127.0.0.0/8"]
[logins]
allow = ["dovecot"]
lifetime = "5s"
code = "127.0.0.2"
""")
    write("zones/views.toml", """origin = "views.orbs.example"
kind = "address"
ns = ["ns1.orbs.example", "ns2.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [
  { any = ["relay", "spamsource"], sources = ["feed-a"], code = "127.0.0.21" },
  { any = ["relay", "spamsource"], min_sources = 2, code = "127.0.0.22" },
  { any = ["relay", "spamsource"], weights = { feed-a = 3, feed-b = 2 }, min_score = 3, code = "127.0.0.23" },
  { any = ["relay", "spamsource"], seen_within = "4s", code = "127.0.0.24" },
]
""")


def abused_relays():
    show("\n1  RSS: open relays that were seen sending spam. Two reasons have to list the host; nothing is listed in the zone itself.")
    run("list", "45.51.0.7", "--reason", "relay")
    promise("a relay alone is in the list of relays only", codes("45.51.0.7", "relays") and not codes("45.51.0.7", "abused-relays"))
    run("list", "45.51.0.7", "--reason", "spamsource")
    promise("with the spam it is in both", codes("45.51.0.7", "abused-relays"))
    run("delist", "45.51.0.7", "--reason", "relay")
    promise("a closed relay leaves both at once", not codes("45.51.0.7", "abused-relays"))


def netblocks():
    show("\n2  RBL: a network that two persons list, with what was asked of its owner, an end, and a public page.")
    anna, bert = new_token("anna", "reporter", person=True), new_token("bert", "editor", person=True)
    run("netblock", "propose", "45.52.0.0/24", "--kind", "spam-from-many", "--addresses", "120", "--until", "90d", token=anna)
    run("netblock", "contact", "45.52.0.0/24", "--request", "complaint", "--asked-at", "2026-01-02", token=anna)
    promise("one person lists nothing", not codes("45.52.0.9", "netblocks"))
    run("netblock", "approve", "45.52.0.0/24", token=bert)
    promise("another person does", codes("45.52.0.9", "netblocks"))
    run("list", "45.52.1.0/24", "--reason", "netblock")
    promise("a listing without an entry waits for another person too", not codes("45.52.1.9", "netblocks"))
    page = json.load(urllib.request.urlopen(f"http://127.0.0.1:{API}/netblocks/45.52.0.0/24"))
    show(f"   the page: {page['text']}")
    promise("the public page names no person", "anna" not in json.dumps(page) and "bert" not in json.dumps(page))


def provide(path, body=None):
    """Sends a request of a provider to the daemon, and returns its answer."""
    head = {"Content-Type": "application/json", "Accept": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{API}{path}", None if body is None else json.dumps(body).encode(), head)
    return json.load(urllib.request.urlopen(request))


def dynamic():
    show("\n3  DUL: a provider proves a range by its reverse zone, lists what is dynamic in it, and takes a static host out.")
    opened = provide("/providers", {"range": "45.53.0.0/24"})
    path = opened["path"]
    wait_until("the reverse zone", lambda: provide(path)["record_names"])
    names = provide(path)["record_names"]
    show(f"   the record: {names[0]} TXT {opened['record_text']}")
    with open(f"{tmp}/txt", "a") as f: f.write(f"{names[0]} {opened['record_text']}\n")
    promise("the record is asked for at the apex of the zone", names == ["0.53.45.in-addr.arpa"])
    wait_until("the record", lambda: provide(path)["state"] == "proved", 60)
    provide(f"{path}/edits", {"action": "add", "subject": "45.53.0.0/24"})
    provide(f"{path}/edits", {"action": "take-out", "subject": "45.53.0.25"})
    promise("the range is listed without the host", codes("45.53.0.24", "dynamic") and not codes("45.53.0.25", "dynamic"))
    try: refused = provide(f"{path}/edits", {"action": "add", "subject": "45.53.1.0/24"}) and False
    except urllib.error.HTTPError as e: refused = e.code == 422
    promise("what is outside of the range is refused", refused and not codes("45.53.1.9", "dynamic"))
    provide(f"{path}/undo", {"edit": 2})
    promise("the provider undoes an edit", codes("45.53.0.25", "dynamic"))
    promise("the operator sees each edit", "take-out 45.53.0.25, undone by edit 3" in run("provider", "show", "1"))


def generic_names():
    show("\n4  DSSL: addresses whose names their providers have made. Names are looked up in the background.")
    run("generic-names", "check", GENERIC)
    wait_until("the look-ups", lambda: subprocess.run([orbsd, "--json", "lookup", "45.51.100.7"], cwd=tmp, capture_output=True).returncode == 0)
    promise("an address with such a name is listed", codes("45.51.100.7", "generic"))
    promise("a mail server is not", not codes("45.51.100.6", "generic"))


def recent_logins():
    show("\n5  DRAC: addresses from which users have just logged in to their mailboxes.")
    token = open(new_token("dovecot", "login")).read().strip()
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"addresses": ["45.54.0.7"]}).encode()
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{API}/v1/zones/logins/logins", body, head))
    promise("it is published when the report is acknowledged", codes("45.54.0.7", "logins"))
    run("logins", "logins", "--address", "45.54.0.7")
    time.sleep(5.2)
    promise("it ends by itself", not codes("45.54.0.7", "logins"))


def comparison():
    show("\n6  The audit of RSS: which hosts of another list ours lacks, and what tests found there.")
    ours = "".join(f"45.60.{i >> 8}.{i & 255}\n" for i in range(18768))
    missing = [f"91.{i >> 14}.{i >> 8 & 63}.{i & 255}" for i in range(12425)]
    run("import", "--source", "orbs", "--reason", "relay", write("ours.txt", ours))
    theirs = write("rss.txt", ours + "".join(f"{a}\n" for a in missing))
    tested = write("tested.txt", "".join(f"{a} {'open' if i < 828 else 'closed'}\n" for i, a in enumerate(missing)))
    out = run("compare", "--with", theirs, "--tested", tested, "--zone", "relays", "--name", "rss", "--us", "orbs", "--write", f"{tmp}/files")
    promise("93.3 % of those tested were closed, 37.2 % of the whole list", "93.3 %" in out and "37.2 %" in out)
    lines = lambda name: len(open(f"{tmp}/files/{name}").read().split())
    promise("the three files of ORBS are there", [lines("rsslist.txt"), lines("rss-vs-orbs.txt"), lines("rss-vs-orbs-ok.txt")] == [31193, 12425, 11597])


def error_rates():
    show("\n7  Our own error rate, which the daemon counts at its first start and then once a day.")
    promise("the zone has the figures of today", "relays.orbs.example, counted" in run("zone", "quality", "relays"))


def views():
    show("\n8  Views: four rules over the listings of two feeds. The codes are for one feed, two sources, a score, and seen recently.")
    feeds = {"feed-a": ("relay", "45.61.0.7\n45.61.0.8\n"), "feed-b": ("spamsource", "45.61.0.8\n45.61.0.9\n")}
    for name, (reason, text) in feeds.items(): run("import", "--source", name, "--reason", reason, write(f"{name}.txt", text))
    promise("only the first feed", codes("45.61.0.7", "views") == ["127.0.0.21", "127.0.0.23", "127.0.0.24"])
    promise("both feeds", codes("45.61.0.8", "views") == ["127.0.0.21", "127.0.0.22", "127.0.0.23", "127.0.0.24"])
    promise("only the second feed, which has too little weight", codes("45.61.0.9", "views") == ["127.0.0.24"])
    run("lookup", "45.61.0.8")
    wait_until("the age of the feeds", lambda: not codes("45.61.0.9", "views"), 20)
    promise("what was not seen again counts no longer", codes("45.61.0.7", "views") == ["127.0.0.21", "127.0.0.23"])


def do_not_test():
    show("\n9  Opt-outs: hosts whose owners asked for no relay tests, as a zone for researchers.")
    run("relay", "opt-out", "add", "45.62.0.0/24", "--proof", "a letter of its owner")
    promise("the network is in the zone, and in no other list", codes("45.62.0.9", "notest") and not codes("45.62.0.9", "relays"))


def main():
    global daemon
    configure()
    pointer = lambda host, name: {(f"{host}.100.51.45.in-addr.arpa", 12): [encode_name(name)], (name, 1): [socket.inet_aton(f"45.51.100.{host}")]}
    soa = {("0.53.45.in-addr.arpa", 6): [encode_name("ns.isp.example") + encode_name("host.isp.example") + struct.pack(">5I", 1, 60, 60, 60, 60)]}
    NameServer(NAMES, soa | pointer(7, GENERIC) | pointer(6, "mail.partner.example"), f"{tmp}/txt")
    with open(f"{tmp}/orbsd.log", "a") as log: daemon = subprocess.Popen([orbsd, "serve"], cwd=tmp, stdout=log, stderr=log)
    wait_until("orbsd", is_ready)
    for step in (abused_relays, netblocks, dynamic, generic_names, recent_logins, comparison, error_rates, views, do_not_test): step()
    if broken: raise SystemExit(f"{len(broken)} promises are broken")
    show("\nAll promises are kept.")


try: main()
except KeyboardInterrupt: pass
finally:
    if daemon:
        daemon.terminate()
        try: daemon.wait(10)
        except subprocess.TimeoutExpired: daemon.kill()
    if os.environ.get("DEMO_KEEP"): show(f"kept: {tmp}")
    else: shutil.rmtree(tmp, ignore_errors=True)
