#!/usr/bin/env python3
"""The demonstration of the public site: orbsd with made-up history, and four mail servers on the loopback interface.

Usage: site.py ORBSD [check]. ORBSD is the program. The script needs no privileges. It prints the address of the site, a bounce to
paste, and what to try; it runs until Ctrl-C, and then removes everything. With `check` it goes through the steps of a visitor
itself, prints what it sees, and ends with status 0 if all is as promised.
"""
import glob, json, os, re, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time, tomllib, urllib.parse, urllib.request
from servers import *

orbsd, checking = os.path.abspath(sys.argv[1]), sys.argv[2:] == ["check"]
here = os.path.abspath(f"{os.path.dirname(os.path.abspath(__file__))}/../..")
tmp = tempfile.mkdtemp(prefix="orbsd-demo-")
children = []
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
COLLECTOR, DOMAIN, SECOND_DOMAIN = "127.64.0.1", "probe.demo.example", "second.demo.example"
GENERIC, USER, RANGE, STATIC = "p2d336407.dip0.t-ipconnect.de", "45.54.0.7", "45.53.0.0/24", "45.53.0.25"
HOSTS = {"relay.demo.example": "127.64.1.1", "debian.demo.example": "127.64.2.1", "wall.demo.example": "127.64.3.1", "open.demo.example": "127.64.4.1"}
INTRO = "Made-up entries of a demonstration"


def show(text=""): print(text, flush=True)


def port_or_free(port):
    """Returns a port of 127.0.0.1 if it is free, or else another free one."""
    for p in (port, 0):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try: s.bind(("127.0.0.1", p)); return s.getsockname()[1]
            except OSError: pass
    sys.exit("no port is free")


WEB, DNS, ADMIN, MIRROR, NAMES, SMTP, COLLECT, INBOX = [port_or_free(p) for p in (8054, 5300, 0, 0, 0, 0, 0, 0)]
BASE = f"http://127.0.0.1:{WEB}"


def toml(table, path=()):
    """Returns a table as TOML: its values, then its tables."""
    is_tables = lambda v: isinstance(v, list) and v and all(isinstance(e, dict) for e in v)
    value = lambda v: "{ " + ", ".join(f"{json.dumps(k)} = {value(e)}" for k, e in v.items()) + " }" if isinstance(v, dict) else "[" + ", ".join(map(value, v)) + "]" if isinstance(v, list) else json.dumps(v, ensure_ascii=False)
    out = "".join(f"{json.dumps(k)} = {value(v)}\n" for k, v in table.items() if not isinstance(v, dict) and not is_tables(v))
    name = lambda k: ".".join([*path, json.dumps(k)])
    for k, v in table.items():
        if isinstance(v, dict): out += f"[{name(k)}]\n{toml(v, (*path, json.dumps(k)))}"
        elif is_tables(v): out += "".join(f"[[{name(k)}]]\n{toml(e, (*path, json.dumps(k)))}" for e in v)
    return out


def write(path, text):
    os.makedirs(os.path.dirname(f"{tmp}/{path}"), exist_ok=True)
    with open(f"{tmp}/{path}", "w") as f: f.write(text)


def wait_until(what, f, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if r := f(): return r
        except (OSError, ValueError): pass
        time.sleep(0.2)
    raise SystemExit(f"{what}: not ready within {seconds} s\n{open(f'{tmp}/orbsd.log', errors='replace').read()[-3000:]}")


def run(*args):
    p = subprocess.run([orbsd, "--json", *args], cwd=tmp, capture_output=True, text=True)
    if p.returncode not in (0, 1): raise SystemExit(f"orbsd {' '.join(args)}: {p.stdout}{p.stderr}")
    return json.loads(p.stdout) if p.stdout.strip() else None


class Response:
    def __init__(self, r): self.status, self.headers, self.text, self.url = r.status, r.headers, r.read().decode(), r.geturl()
    def json(self): return json.loads(self.text)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_): return None


def http(method, path, form=None, accept="application/json"):
    is_page = accept == "text/html"
    data = None if method == "GET" else urllib.parse.urlencode(form or {}).encode() if is_page else json.dumps(form or {}).encode()
    head = {"Accept": accept, "Content-Type": "application/x-www-form-urlencoded" if is_page else "application/json"}
    request = urllib.request.Request(urllib.parse.urljoin(BASE + "/", path), data, head, method=method)
    try: return Response(urllib.request.build_opener(NoRedirect).open(request, timeout=20))
    except urllib.error.HTTPError as e: return Response(e)


# ── orbsd ────────────────────────────────────────────────────────────────────────────────────────────────────────────────
def configure():
    """Writes the configuration: the shipped one, with the addresses of the demonstration, short pauses, and two feeds."""
    c = tomllib.load(open(f"{here}/config.toml", "rb"))
    def change(table, **keys): c.setdefault(table, {}).update(keys)
    change("dns", listen=[f"127.0.0.1:{DNS}"])
    change("admin", listen=f"127.0.0.1:{ADMIN}")
    change("web", listen=f"127.0.0.1:{WEB}", base_url=BASE)
    change("limits", allow_special_ranges=["127.64.0.0/10", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"])
    change("http_client", resolvers=[f"127.0.0.1:{NAMES}"], allow_special_ranges=["127.0.0.0/8"])
    change("mail", smarthost=f"127.0.0.1:{INBOX}", **{"from": "removal@demo.example"}, require_starttls=False)
    change("collector", listen=[f"{COLLECTOR}:{COLLECT}"])
    change("probe", enabled=True, domain=DOMAIN, second_domain=SECOND_DOMAIN, ehlo_name="tester.demo.example", contact="tests@demo.example",
        info_url=f"{BASE}/tests", pause="1s", min_duration="0s", timeout="5s", collect_wait="2s", retry_delays=["1m", "2m"],
        max_hosts_per_prefix=100, max_hosts_per_asn=1000, ports=[SMTP, 1, 1])
    change("site", name="Demonstration list", operator="Demonstration", contact="hostmaster@demo.example", legal_notice=f"{INTRO}; nothing here is true.")
    for r in c["reason"]: r["text"] = r["text"].replace("https://orbs.example", BASE)
    c["reason"].append({"name": "partner", "text": f"Listed by Partner List, see {BASE}/$"})
    c["feed"] = [{"name": "partner-list", "kind": "file", "path": "feeds/partner.txt", "format": "list", "reason": "partner", "allow_special_ranges": True}]
    change("dynamic_ranges", reason="dynamic")
    change("generic_names", reason="generic", ranges=["45.51.100.0/29"], confirm_after="1s")
    c["comparison"] = [{"name": "other", "title": "Other List", "against": "relays"}]
    write("config.toml", toml(c))
    write("feeds/partner.txt", "198.51.100.23\n198.51.100.24\n2001:db8:23::/48\n")
    origins = ["partners.demo.example"]
    for path in glob.glob(f"{here}/zones/*.toml"):
        name = os.path.basename(path)
        zone = tomllib.load(open(path, "rb"))
        zone["origin"] = zone["origin"].replace("orbs.example", "demo.example")
        zone["ns"] = ["ns1.demo.example", "ns2.demo.example"]
        # Recent log-ins are neither transferred nor shown.
        if zone.get("durability") == "volatile":
            zone["logins"]["allow"] = ["mailboxes"]
        else:
            origins.append(zone["origin"])
            zone.setdefault("transfer", {}).update(allow=["127.0.0.0/8"], notify=[f"127.0.0.1:{MIRROR}"])
        write(f"zones/{name}", toml(zone))
    write("zones/partners.toml", toml({"origin": "partners.demo.example", "kind": "address", "ns": ["ns1.demo.example", "ns2.demo.example"],
        "contact": "hostmaster@demo.example", "publish": [{"reason": "partner", "code": "127.0.0.2"}]}))
    # Made-up figures of the last days, for the page about the state of the lists.
    today = int(time.time()) // 86400
    figures = lambda n, age: {"entries": max(1, n + 9 - abs(14 - age) // 2 - age % 3), "listed": age * 7 % 5, "delisted": age * 3 % 4}
    days = {str(today - age): {origin: figures(n, age) for n, origin in enumerate(sorted(origins))} for age in range(1, 30)}
    write("data.statistics.json", json.dumps({"version": 1, "days": days}))


def names():
    """Returns the records of the name server."""
    a = lambda t: socket.inet_aton(t)
    mx = lambda n: b"\0\x0a" + encode_name(n)
    reverse = lambda t: ".".join(reversed(t.split("."))) + ".in-addr.arpa"
    records = {("collector.demo.example", 1): [a(COLLECTOR)], (reverse(COLLECTOR), 12): [encode_name("collector.demo.example")],
        ("tester.demo.example", 1): [a("127.0.0.1")], ("demo.example", 15): [mx("inbox.demo.example")], ("inbox.demo.example", 1): [a("127.0.0.1")]}
    for d in (DOMAIN, SECOND_DOMAIN): records[(d, 15)] = [mx("collector.demo.example")]
    records.update({(reverse("45.51.100.5"), 12): [encode_name(GENERIC)], (GENERIC, 1): [a("45.51.100.5")]})
    records["0.53.45.in-addr.arpa", 6] = [encode_name("ns.isp.example") + encode_name("host.isp.example") + struct.pack(">5I", 1, 60, 60, 60, 60)]
    for n, t in HOSTS.items(): records.update({(n, 1): [a(t)], (n, 15): [mx(n)], (reverse(t), 12): [encode_name(n)]})
    return records


def start_orbsd():
    """Starts orbsd, and waits until it serves and can test. Returns its process."""
    log = open(f"{tmp}/orbsd.log", "a")
    process = subprocess.Popen([orbsd, "serve"], cwd=tmp, stdout=log, stderr=log)
    children.append(process)
    wait_until("orbsd", lambda: http("GET", "/").status == 200)
    wait_until("the tester", lambda: not (run("status").get("tester") or {}).get("problem"))
    return process


def count_quality(process):
    """Starts orbsd again without its figures of quality, so that it counts them now and not after midnight."""
    process.terminate()
    process.wait(30)
    children.remove(process)
    shutil.rmtree(f"{tmp}/data.quality", ignore_errors=True)
    start_orbsd()
    wait_until("the figures of quality", lambda: http("GET", "/policy").json()["quality"])


# ── Made-up history ──────────────────────────────────────────────────────────────────────────────────────────────────────
def make_history(servers):
    """Lists hosts by real tests, and other subjects by hand. Then each server gets the state that its owner left it in."""
    # Some forms suffice for the first tests, so that the visitor does not wait; a claim runs all of them.
    forms = "plain same-address foreign-sender null-sender unqualified-sender relay-name-sender bare-recipient verp-style".split()
    for n, t in HOSTS.items():
        run("relay", "nominate", t, "--evidence", f"log line about {n}", "--kind", "owner", "--name", n, *(a for f in forms for a in ("--test", f)))
    listed = [("203.0.113.7", "spamsource"), ("2001:db8:7::/64", "spamsource"), ("203.0.113.128/25", "dynamic"), ("casino.example", "spam"), ("198.51.100.99", "proxy"),
        ("198.51.100.77", "relay"), ("198.51.100.77", "spamsource")]
    for subject, reason in listed: run("list", subject, "--reason", reason, "--allow-special-ranges", "--note", INTRO)
    # One that was listed and removed, and one whose listing ends while the visitor watches.
    run("list", "203.0.113.9", "--reason", "spamsource", "--allow-special-ranges", "--note", INTRO)
    run("delist", "203.0.113.9", "--listed-in-error")
    run("list", "203.0.113.10", "--reason", "spamsource", "--until", "3m", "--allow-special-ranges", "--note", INTRO)
    list_netblocks()
    run("notice", "add", "Planned work on the second name server on Sunday from 06:00 to 07:00 UTC. Answers are not affected.")
    wait_until("the proofs of the relay tests", lambda: all(is_listed(t) for t in HOSTS.values()), 120)
    wait_until("the end of the first tests", lambda: not run("relay", "jobs", "--open")["items"], 240)
    for name, state in (("debian", "defers"), ("wall", "blocks")):
        next(s for s in servers if s.name.startswith(name)).set(state)


def list_netblocks():
    """Lists two networks by the decisions of two persons: one for what it sends, and one because its holder asked for it."""
    run("user", "add", "anna", "--role", "editor")
    write("anna-token", run("token", "create", "--owner", "anna", "--role", "editor")["token"] + "\n")
    os.chmod(f"{tmp}/anna-token", 0o600)
    as_anna = ("--server", f"http://127.0.0.1:{ADMIN}", "--token", "anna-token")
    day = lambda ago: time.strftime("%Y-%m-%d", time.gmtime(time.time() - ago * 86400))
    spammer, quiet = "192.0.2.0/25", "203.0.113.64/26"
    run("netblock", "propose", spammer, "--kind", "spam-from-many", "--addresses", "41", "--note", INTRO)
    run("netblock", "contact", spammer, "--request", "complaint", "--asked-at", day(9), "--address", "abuse@isp.example", "--words", INTRO)
    run("netblock", "contact", spammer, "--number", "1", "--answer", "refused", "--answered-at", day(6))
    run("netblock", "contact", spammer, "--request", "notice", "--asked-at", day(2), "--address", "abuse@isp.example", "--words", INTRO)
    run("netblock", "propose", quiet, "--kind", "holder-request", "--until", "200d", "--note", INTRO)
    for prefix in (spammer, quiet): run(*as_anna, "netblock", "approve", prefix)


def report_login(address):
    """Reports that a user at an address has just logged in to a mailbox, as a program for mailboxes does."""
    token = run("token", "create", "--owner", "mailboxes", "--role", "login")["token"]
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"addresses": [address]}).encode()
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{ADMIN}/v1/zones/logins/logins", body, head), timeout=20)


def prove_range():
    """Proves a range as its provider does, by its reverse zone, lists it as dynamic, and takes a static host out."""
    opened = http("POST", "/providers", {"range": RANGE}).json()
    path = opened["path"]
    names = wait_until("the reverse zone", lambda: http("GET", path).json()["record_names"])
    with open(f"{tmp}/txt", "a") as f: f.write(f"{names[0]} {opened['record_text']}\n")
    wait_until("the proof of the range", lambda: http("GET", path).json()["state"] == "proved", 60)
    http("POST", f"{path}/edits", {"action": "add", "subject": RANGE})
    http("POST", f"{path}/edits", {"action": "take-out", "subject": STATIC})


def zones_of(subject):
    """The zones in which a subject is listed."""
    return [z["zone"].split(".")[0] for z in http("GET", f"/lookup?subject={subject}").json().get("zones", [])]


def compare_lists():
    """Compares the list of relays with a made-up one: two of its entries are ours too, and tests of others found some of the rest closed."""
    theirs = [HOSTS["relay.demo.example"], HOSTS["open.demo.example"], *(f"198.51.100.{n}" for n in range(40, 60))]
    write("other.txt", "".join(f"{a}\n" for a in theirs))
    write("tested.txt", "".join(f"198.51.100.{n} {'open' if n % 4 == 0 else 'closed'}\n" for n in range(40, 55)))
    run("compare", "--with", "other.txt", "--tested", "tested.txt", "--zone", "relays", "--name", "other")


def is_listed(subject):
    return http("GET", f"/lookup?subject={subject}").json().get("listed")


def make_tickets():
    """Opens tickets in several states. Returns the path of each."""
    wanted = {"waiting for a person": "192.0.2.5", "waiting for a proof of control": "203.0.113.130", "granted": "198.51.100.24"}
    paths = {}
    for what, subject in wanted.items():
        r = http("POST", "/tickets", {"subject": subject})
        if r.status in (200, 201, 202): paths[what] = r.json()["path"]
    if "waiting for a person" in paths:
        http("POST", paths["waiting for a person"] + "/messages", {"text": "This network is ours now, and its former user is gone. Please look again."})
        http("POST", paths["waiting for a person"] + "/review")
    return paths


def bounce(address, zone="relays.demo.example", link=None):
    return f"""<anna@partner.example>: host mx.partner.example[192.0.2.25] said: 554 5.7.1
    Service unavailable; Client host [{address}] blocked using {zone};
    Open relay, see {link or f"{BASE}/{address}"} (in reply to RCPT TO command)"""


def print_steps(servers, tickets):
    file = {s.name.split(".")[0]: s.file for s in servers}
    relay, debian, wall, still_open = HOSTS.values()
    show(f"""
The public site of orbsd, with made-up entries: {BASE}

Paste this bounce into the field of that page

{bounce(relay)}

and press "Look up". It is the bounce of a relay that is still open.

 1. Close it as its owner would:  echo closed > {file['relay']}
    Then press "It is closed. Test again.": each outcome appears as it comes. After half a minute the address is delisted, and the
    page shows when each name server has the removal.
 2. {BASE}/{debian}   defers as Debian's Postfix does: you are told at once which line to change.
    Change it:                    echo closed > {file['debian']}
    The next try, a minute after the first, delists it.
 3. {BASE}/{wall}   shuts the tester out: it stays listed, and you can ask a person.
 4. {BASE}/{still_open}   is still open: the test fails, and names the form that came through.
    A proof of control from that server shortens the waits, with the code of the ticket:
                                  curl --interface {still_open} -X POST {BASE}/prove/CODE
 5. {BASE}/198.51.100.23   is listed because another list that is carried here lists it.
 6. {BASE}/203.0.113.9   was listed, {BASE}/192.0.2.200 never was; {BASE}/casino.example is a domain.
 7. {BASE}/netblocks   are networks that two persons have listed; {BASE}/compare   compares a made-up list with the one of relays;
    {BASE}/policy#quality   has the figures of quality, which were counted a moment ago.
 8. {BASE}/198.51.100.77   is a relay that was seen sending spam, and so in the list of abused relays too; {BASE}/45.51.100.5
    has a name that its provider has made. {BASE}/45.53.0.24   is in a range that its provider
    has proved and listed as dynamic, without 45.53.0.25. A user at {USER} has just logged in to a mailbox; in {tmp}:
                                  {orbsd} logins logins --address {USER}
 9. A bounce of another list: paste "554 blocked using zen.spamhaus.org, client [203.0.113.77]".

TXT records for proofs by DNS are lines of {tmp}/txt: NAME TEXT. Mail that orbsd sends is stored in {tmp}/mail.""")
    for what, path in tickets.items(): show(f"A ticket that is {what}: {BASE}{path}")
    show(f"\nAs the operator, in {tmp}: {orbsd} tickets; dig @127.0.0.1 -p {DNS} 1.1.64.127.relays.demo.example A\nCtrl-C stops and removes all of it.\n")


# ── A visitor who checks the promises ────────────────────────────────────────────────────────────────────────────────────
def follow(path, wanted, seconds):
    """Returns the first of the wanted states that a ticket reaches. Prints each outcome as it comes."""
    seen, begun = set(), time.monotonic()
    while time.monotonic() < begun + seconds:
        t = http("GET", path).json()
        for o in (t.get("test") or {}).get("outcomes", []):
            key = (o["test"], o["outcome"])
            if key not in seen: seen.add(key)
        if t["state"] in wanted:
            show(f"   {t['state']} after {time.monotonic() - begun:.0f} s, {len(seen)} outcomes seen")
            return t
        time.sleep(0.5)
    raise SystemExit(f"{path}: {json.dumps(t, indent=1)}: not {wanted} within {seconds} s")


def promise(what, kept):
    show(f"{'ok' if kept else 'BROKEN'}: {what}")
    if not kept: broken.append(what)


broken = []


def check_pages():
    """Looks at the pages of networks, comparisons and figures, each also as a page of each language."""
    for path in ("/netblocks", "/netblocks/192.0.2.0/25", "/compare", "/policy"):
        for language in ("en", "de", "ja"):
            page = http("GET", f"{path}?lang={language}", accept="text/html")
            if page.status != 200: promise(f"{path} is a page in the language {language}", False)
    blocks = http("GET", "/netblocks").json()["items"]
    promise("two persons have listed two networks", sorted(b["prefix"] for b in blocks if b["state"] == "listed") == ["192.0.2.0/25", "203.0.113.64/26"])
    block = http("GET", "/netblocks/192.0.2.0/25")
    promise("the page of a network says why it is listed and what its owner was asked", block.json()["text"].startswith("41 ") and len(block.json()["contacts"]) == 2)
    promise("neither the persons nor their notes are public", not any(word in block.text for word in ("anna", "isp.example", INTRO)))
    promise("an address of the network leads to its page", "/netblocks/192.0.2.0/25" in http("GET", "/lookup?subject=192.0.2.5").text)
    compared = http("GET", "/compare").json()["items"]
    counts = compared[0]["total"] if compared else {}
    promise("a comparison shows what both lists have", (counts.get("theirs"), counts.get("both"), counts.get("only_theirs")) == (22, 2, 20))
    quality = {q["alias"]: q["figures"] for q in http("GET", "/policy").json()["quality"]}
    proofs = quality["relays"]["proofs"]
    promise("the policy shows that each relay but the one that was listed by hand is proved", (proofs["entries"], proofs["proved"]) == (len(HOSTS) + 1, len(HOSTS)))
    errors = quality["spamsources"]["removals"]
    promise("the policy shows the listing that was an error", (errors["removals"], errors["listed_in_error"]) == (1, 1))


def check_companions():
    """Looks at the lists that stood beside the one of relays, as pages."""
    promise("a relay that was seen sending spam is in the list of abused relays too", "abused-relays" in zones_of("198.51.100.77") and "abused-relays" not in zones_of(HOSTS["wall.demo.example"]))
    wait_until("the look-up of the generic name", lambda: "generic" in zones_of("45.51.100.5"), 60)
    promise("a user who has just logged in to a mailbox is known, and on no page", run("logins", "logins", "--address", USER).get("login") and not is_listed(USER))
    promise("a range that its provider has proved is listed without the host that it took out", "dynamic" in zones_of("45.53.0.24") and not is_listed(STATIC))
    promise("an address whose name its provider has made is listed for it", GENERIC in http("GET", "/45.51.100.5").text)


def check(servers):
    relay, debian, wall, still_open = HOSTS.values()
    page = http("GET", "/", accept="text/html")
    promise("the home page is HTML", page.status == 200 and "<form" in page.text)
    r = http("POST", "/lookup", {"text": bounce(relay)}, accept="text/html")
    promise("a pasted bounce leads to the address or shows it", r.status == 303 or relay in r.text)
    promise("the short form is the verdict", f"{relay}" in http("GET", f"/{relay}", accept="text/html").text)
    def claim(address):
        r = http("POST", "/tickets", {"subject": address})
        if r.status not in (200, 201, 202): raise SystemExit(f"POST /tickets {address}: {r.status} {r.text}")
        return r.json()["path"]
    check_pages()
    check_companions()
    path = claim(still_open)
    t = follow(path, ("failed",), 180)
    promise("an open relay stays listed, and the form that came through is named", is_listed(still_open) and any(o["outcome"] == "delivered" for o in t["test"]["outcomes"]))
    next(s for s in servers if s.name.startswith("relay")).set("closed")
    path = claim(relay)
    t = follow(path, ("granted",), 180)
    promise("a closed server is delisted", not is_listed(relay))
    removed = path
    path = claim(debian)
    t = wait_until("the advice", lambda: (t := http("GET", path).json())["test"] and t["test"].get("advice") and t["test"]["is_preliminary"] and t, 120)
    promise("a server that defers is told the line to change", t["test"]["advice"]["setting"]["program"] == "Postfix")
    next(s for s in servers if s.name.startswith("debian")).set("closed")
    follow(path, ("granted",), 240)
    path = claim(wall)
    follow(path, ("blocked", "review"), 120)
    promise("a server that shuts the tester out stays listed", is_listed(wall))
    t = wait_until("the mirror", lambda: (t := http("GET", removed).json())["removal"]["everywhere_at"] and t, 60)
    promise("the ticket shows the second at which each server had the removal", all(s["at"] for s in t["removal"]["servers"]))
    promise("the release has a public page", http("GET", t["removal"]["released"]).status == 200)
    if broken: raise SystemExit(f"{len(broken)} promises are broken")
    show("All promises are kept.")


def main():
    os.makedirs(f"{tmp}/servers")
    configure()
    NameServer(NAMES, names(), f"{tmp}/txt")
    Mirror(MIRROR, DNS, 4)
    Inbox(INBOX, f"{tmp}/mail", show)
    servers = [MailServer(n, t, SMTP, f"{tmp}/servers", (COLLECTOR, COLLECT), (DOMAIN, SECOND_DOMAIN), "ESMTP Postfix (Debian/GNU)" if n.startswith("debian") else "ESMTP") for n, t in HOSTS.items()]
    show("Starting orbsd, and testing four mail servers on the loopback interface …")
    process = start_orbsd()
    make_history(servers)
    tickets = make_tickets()
    compare_lists()
    count_quality(process)
    report_login(USER)
    prove_range()
    if checking: return check(servers)
    print_steps(servers, tickets)
    signal.sigwait([signal.SIGINT, signal.SIGTERM])


try: main()
except KeyboardInterrupt: pass
finally:
    show("\nStopping …")
    for p in children: p.terminate()
    for p in children:
        try: p.wait(10)
        except subprocess.TimeoutExpired: p.kill()
    if os.environ.get("DEMO_KEEP"): show(f"kept: {tmp}")
    else: shutil.rmtree(tmp, ignore_errors=True)
