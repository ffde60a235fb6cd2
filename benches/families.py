#!/usr/bin/env python3
"""Compares the cost of a query for IPv4, IPv6, domains and a mix of them with rbldnsd, NSD and an echo server, in one run; writes
benches/FAMILIES.md.

Usage: families.py TARGET. TARGET is the cargo target directory, with a release build, the examples, and TARGET/peers (make peers).
All servers run on one core, in turn, and the load on another. The environment variables ROUNDS (9), SECONDS (2) and ENTRIES
(1000000, of each family) change the measurement; TEXTS=1 gives the entries eight sources, four reasons and a thousand texts.
"""
from common import *

ENTRIES = int(os.environ.get("ENTRIES", 1_000_000))

# The shares of the top-level domains of a list of bad domains, in percent; the rest is spread over two hundred country codes.
TLDS = {"com": 44, "net": 5, "org": 4, "ru": 5, "cn": 5, "de": 2, "co.uk": 2, "top": 5, "xyz": 4, "info": 3, "online": 2, "shop": 3, "site": 2, "club": 1, "biz": 1,
        "live": 1, "icu": 1, "com.br": 1, "cc": 1, "pw": 1}
# Services below which customers have names of their own, and the share of all listed names that are such names.
HOSTERS, HOSTED = ["weebly.example.com", "pages.example.dev", "blog.example.net", "web.example.app", "sites.example.io"], 0.06
SUBDOMAINS = 0.12  # of the listed names are below a registered domain that has others
WORDS = "mail shop web cloud news free best online bank pay secure login update data host net box line star blue my go pro tech home app get one new world live"
PREFIXES6 = 30_000  # allocations (/32) in which all listed IPv6 networks are, the largest of them with a share of 1/rank^0.9


def make_domains(n):
    """Returns `n` different domains, shuffled."""
    words, syllables = WORDS.split(), [a + b for a in "bcdfghklmnprstvwz" for b in "aeiou"]
    countries = [a + b for a in "abcdefghijklmnopqrst" for b in "acegikmoqs"]
    tlds, weights = [*TLDS, None], [*TLDS.values(), 100 - sum(TLDS.values())]
    def label():
        kind = RANDOM.random()
        if kind < 0.45: out = RANDOM.choice(words) + RANDOM.choice(words)
        elif kind < 0.85: out = "".join(RANDOM.choices(syllables, k=RANDOM.choice((2, 3, 3, 4, 4, 5, 6))))
        else: out = "".join(RANDOM.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=RANDOM.randrange(5, 20)))
        if RANDOM.random() < 0.2: out += "-" + RANDOM.choice(words)
        if RANDOM.random() < 0.3: out += str(RANDOM.randrange(10_000))
        return out
    out, last = set(), "example.com"
    while len(out) < n:
        kind = RANDOM.random()
        if kind < HOSTED: name = f"{label()}.{RANDOM.choice(HOSTERS)}"
        elif kind < HOSTED + SUBDOMAINS: name = f"{RANDOM.choice(('www', 'mail', 'm', 'login', label()))}.{last}"
        else: name = last = f"{label()}.{RANDOM.choices(tlds, weights)[0] or RANDOM.choice(countries)}"
        out.add(name)
    out = sorted(out); RANDOM.shuffle(out)
    return out


def make_networks(n):
    """Returns `n` different IPv6 networks of 64 bits, as the upper halves of their addresses, and the allocations."""
    allocations = sorted({RANDOM.choice((0x2001, 0x2400, 0x2600, 0x2604, 0x2607, 0x2800, 0x2a00, 0x2a01, 0x2a02, 0x2a0a, 0x2c0f)) << 16 | RANDOM.getrandbits(16) for _ in range(PREFIXES6)})
    RANDOM.shuffle(allocations)
    weights = [1 / (i + 1) ** 0.9 for i in range(len(allocations))]
    out = set()
    while len(out) < n:
        for a in RANDOM.choices(allocations, weights, k=n - len(out)):
            # Customers have a /48 or a /56 each, and use its first networks more than others.
            out.add(a << 32 | RANDOM.getrandbits(16) << 16 | (RANDOM.getrandbits(8) << 8 if RANDOM.random() < 0.5 else 0) | min(int(RANDOM.expovariate(0.3)), 255))
    return sorted(out), allocations


def any_case(name):
    kind = RANDOM.random()
    if kind < 0.05: return name.upper()
    if kind < 0.10: return "".join(c.upper() if RANDOM.random() < 0.5 else c for c in name)
    return name


def write_lists():
    """Writes the lists for rbldnsd, a zone file for NSD, and the query files."""
    hosts = sorted({public_address() for _ in range(ENTRIES)})
    networks, allocations = make_networks(ENTRIES)
    domains = make_domains(ENTRIES)
    texts = bool(os.environ.get("TEXTS"))
    text = lambda: f" :2:text {RANDOM.randrange(1000)} of $" if texts else ""
    upper = lambda a: ":".join(f"{a >> s & 0xffff:x}" for s in (48, 32, 16, 0))
    head = lambda zone, code: f"$SOA 300 ns1.{zone} hostmaster.{zone} 1 600 300 604800 60\n$NS 300 ns1.{zone}\n$TTL 300\n:{code}:{RELAY}\n"
    with open(f"{tmp}/ip4", "w") as f: f.write(head("bl.example", "127.0.0.2") + "127.0.0.2\n"); f.writelines(f"{ip(a)}{text()}\n" for a in hosts)
    with open(f"{tmp}/ip6", "w") as f: f.write(head("bl.example", "127.0.0.2")); f.writelines(f"{upper(a)}::/64{text()}\n" for a in networks)
    # A name and everything below it is listed.
    with open(f"{tmp}/dom", "w") as f: f.write(head("dbl.example", "127.0.0.2") + "test\n"); f.writelines(f".{d}{text()}\n" for d in sorted(domains))
    nibbles = lambda a, n: ".".join(f"{a:0{n}x}"[::-1])
    with open(f"{tmp}/bl.zone", "w") as f:
        f.write("$ORIGIN bl.example.\n$TTL 300\n@ SOA ns1 hostmaster 1 600 300 604800 60\n@ NS ns1\nns1 A 127.0.0.1\n2.0.0.127 A 127.0.0.2\n")
        f.writelines(f'{rev(a)} A 127.0.0.2\n{rev(a)} TXT "{RELAY.replace("$", ip(a))}"\n' for a in hosts)
        f.writelines(f'*.{nibbles(a, 16)} A 127.0.0.2\n*.{nibbles(a, 16)} TXT "{RELAY.replace("$", upper(a) + "::/64")}"\n' for a in networks)
    with open(f"{tmp}/dbl.zone", "w") as f:
        f.write("$ORIGIN dbl.example.\n$TTL 300\n@ SOA ns1.bl.example. hostmaster.bl.example. 1 600 300 604800 60\n@ NS ns1.bl.example.\n")
        f.writelines(f'{w}{d} A 127.0.0.2\n{w}{d} TXT "{RELAY.replace("$", d)}"\n' for d in domains for w in ("", "*."))

    def four(listed):
        name = rev(RANDOM.choice(hosts) if listed else public_address())
        return name.split(".", 1)[1] if RANDOM.random() < 0.01 else name
    def six(listed):
        a = RANDOM.choice(networks) if listed else RANDOM.choice(allocations) << 32 | RANDOM.getrandbits(32)
        name = nibbles(a << 64 | (RANDOM.getrandbits(64) if RANDOM.random() < 0.3 else RANDOM.randrange(1, 256)), 32)
        return name[2 * RANDOM.randrange(1, 24):] if RANDOM.random() < 0.02 else name
    fresh = make_domains(min(ENTRIES, 200_000))
    def domain(listed):
        name, kind = RANDOM.choice(domains if listed else fresh), RANDOM.random()
        if kind < 0.15: return RANDOM.choice(("www.", "mail.", "a.b.")) + name
        if kind < 0.18 and name.count(".") > 1: return name.split(".", 1)[1]
        return name
    kinds = {"4": lambda l: four(l) + ".bl.example", "6": lambda l: six(l) + ".bl.example", "d": lambda l: domain(l) + ".dbl.example"}
    for name, shares in (("ip4", "4"), ("ip6", "6"), ("domains", "d"), ("mix", "44444444" + "6d")):
        for qtype in ("A", "TXT"):
            with open(f"{tmp}/q-{name}-{qtype}", "w") as f:
                f.writelines(f"{any_case(kinds[RANDOM.choice(shares)](i % 2 == 0))} {qtype}\n" for i in range(400_000))
    for f in os.listdir(tmp):
        if os.path.isfile(f"{tmp}/{f}"): os.chmod(f"{tmp}/{f}", 0o644)


def make_store(name):
    """Makes the folder of a server with an address zone and a domain zone. Returns folder and port."""
    d, port = make_folder(name, 1)
    with open(d + "/config.toml", "a") as f: f.write(f'[[reason]]\nname = "bad"\ntext = "{RELAY}"\n')
    open(d + "/zones/dbl.toml", "w").write('origin = "dbl.example"\nkind = "domain"\nns = ["ns1.bl.example"]\ncontact = "hostmaster@bl.example"\npublish = [{ reason = "bad", code = "127.0.0.2" }]\n')
    return d, port


def import_family(d, p, family, file=None):
    """Imports the list of a family. Returns the seconds, the CPU seconds of the server until it is idle, and its peak memory."""
    before, started = cpu_seconds(p), time.monotonic()
    subprocess.run([orbsd, "import", "--source", f"bench-{family}", "--reason", "bad" if family == "dom" else "relay", "--format", "rbldnsd", "--allow-special-ranges", "--skip-errors=1%", f"{tmp}/{file or family}"], cwd=d, check=True, stdout=subprocess.DEVNULL)
    took, peak = time.monotonic() - started, memory(p)["VmHWM"]
    wait_until_idle(p)
    return took, cpu_seconds(p) - before, peak


def start_orbsd():
    """Starts orbsd and imports the lists of all families. Returns folder, port and process."""
    d, port = make_store("families")
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    for family in ("ip4", "ip6", "dom"):
        took, cpu, _ = import_family(d, p, family)
        add_row(f"import of {ENTRIES:,} {family} into a store with the families before it", "–", f"{took:.2f} s, {cpu:.2f} s of CPU", None)
    return d, port, p


def measure_alone(family, name, limit=None):
    """Measures the imports and the memory of one family in a process of its own. `limit` is for the bytes of each entry after a start from an image."""
    d, port = make_store("alone")
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port); stop_server(p)
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port); wait_until_idle(p); empty = memory(p)["RssAnon"]
    # One entry in a hundred is removed.
    with open(f"{tmp}/{family}") as whole, open(f"{tmp}/{family}-changed", "w") as f: f.writelines(l for i, l in enumerate(whole) if i < 10 or i % 100)
    for file, what in ((family, "into an empty store"), (family, "again"), (f"{family}-changed", "of which 1 % has changed")):
        took, cpu, peak = import_family(d, p, family, file)
        bound = family == "dom" and what == "into an empty store"
        add_row(f"import of {ENTRIES:,} {name}, {what}", "≤ 4 s; ≤ 350 MB (aim 2 s; 200 MB)" if bound else "–", f"{took:.2f} s, {cpu:.2f} s of CPU; peak memory of the process so far {peak:.0f} MB, anonymous memory afterwards {memory(p)['RssAnon']:.0f} MB", took <= 4 and peak <= 350 if bound else None)
    stop_server(p)
    p = start([orbsd, "serve"], "0,1", cwd=d)
    took = wait_for_answer(port); wait_until_idle(p)
    each = (memory(p)["RssAnon"] - empty) * 2**20 / ENTRIES
    add_row(f"memory of each of {ENTRIES:,} {name}", f"≤ {limit[0]} (aim {limit[1]})" if limit else "–", f"{each:.1f} bytes; start to first answer {took:.2f} s", each <= limit[0] if limit else None)
    stop_server(p); shutil.rmtree(d)


def measure_empty():
    """Measures the anonymous memory of processes with an empty store, without and with the public site."""
    for site, must, aim in ((False, 25, 15), (True, 35, 25)):
        d, port = make_store("empty")
        if site:
            web = free_port()
            with open(d + "/config.toml", "a") as f: f.write(f'[web]\nlisten = "127.0.0.1:{web}"\nbase_url = "http://127.0.0.1:{web}"\n')
        p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port); wait_until_idle(p)
        used = memory(p)["RssAnon"]
        add_row(f"anonymous memory of the process, empty store, {'with' if site else 'without'} `[web]`", f"≤ {must} MB (aim {aim})", f"{used:.1f} MB", used <= must)
        stop_server(p); shutil.rmtree(d)


def measure_queries(d, port, p):
    env = dict(os.environ, LD_LIBRARY_PATH=f"{root}/usr/lib/{platform.machine()}-linux-gnu")
    user = ["-u", "nobody:nogroup"] if os.getuid() == 0 else []
    ports = {name: free_port() for name in ("rbldnsd", "nsd", "echo")}
    rbldnsd = start([f"{root}/usr/sbin/rbldnsd", "-n", *user, "-b", f"127.0.0.1/{ports['rbldnsd']}", "-w", tmp, "bl.example:ip4trie:ip4", "bl.example:ip6trie:ip6", "dbl.example:dnset:dom"], "0", env=env)
    open(f"{tmp}/nsd.conf", "w").write(f'server:\n  ip-address: 127.0.0.1@{ports["nsd"]}\n  server-count: 1\n  username: ""\n  zonesdir: "{tmp}"\n  pidfile: ""\n  logfile: "{tmp}/nsd.log"\n  database: ""\n  xfrdfile: "{tmp}/xfrd"\n  zonelistfile: "{tmp}/list"\n  reuseport: no\n  rrl-ratelimit: 0\n  rrl-whitelist-ratelimit: 0\nremote-control:\n  control-enable: no\n'
                                + "".join(f'zone:\n  name: "{z}.example"\n  zonefile: "{z}.zone"\n' for z in ("bl", "dbl")))
    nsd = start([f"{root}/usr/sbin/nsd", "-d", "-c", f"{tmp}/nsd.conf"], "0", env=env)
    echo_server = start([echo, str(ports["echo"])], "0")
    for q in ports.values(): wait_for_answer(q)
    wait_until_idle(p)
    subprocess.run(["taskset", "-apc", "0", str(p.pid)], check=True, stdout=subprocess.DEVNULL)
    def family_of(parent):
        """The CPU time that a process and its descendants have used so far, by process."""
        stats = {int(d): open(f"/proc/{d}/stat").read().rsplit(")", 1)[1].split() for d in os.listdir("/proc") if d.isdigit()}
        family = {parent}
        while more := {p for p, s in stats.items() if int(s[1]) in family} - family: family |= more
        return {p: int(stats[p][11]) + int(stats[p][12]) for p in family}
    # The process of NSD that answers is the one that uses CPU while it is asked.
    before = family_of(nsd.pid); run_load(ports["nsd"], f"{tmp}/q-mix-A", check=False); after = family_of(nsd.pid)
    answering = max(after, key=lambda p: after[p] - before.get(p, 0))
    servers = [("orbsd", port, p.pid, True), ("rbldnsd", ports["rbldnsd"], rbldnsd.pid, True), ("echo", ports["echo"], echo_server.pid, False), ("nsd", ports["nsd"], answering, True)]
    limits = {"ip4": (0.88, 1.18), "ip6": (0.95, None), "domains": (0.95, None), "mix": (None, 1.25)}
    for family, (to_rbldnsd, to_echo) in limits.items():
        for qtype in ("A", "TXT"):
            figures = {name: [] for name, *_ in servers}
            for i in range(rounds):
                for name, q, pid, check in servers[i % 4:] + servers[:i % 4]:
                    r = run_load(q, f"{tmp}/q-{family}-{qtype}", check=False, pid=pid)
                    # Names above listed ones have no records, so a few answers are neither listed nor NXDOMAIN.
                    if check and (r["other"] > r["answers"] * 0.1 or not 0.4 < r["listed"] / max(1, r["answers"]) < 0.6): sys.exit(f"wrong answers of {name}, {family}: {r}")
                    figures[name].append(r["cpu"])
            ratio = lambda peer: [a / b for a, b in zip(figures["orbsd"], figures[peer])]
            r, e = ratio("rbldnsd"), ratio("echo")
            must = "; ".join([f"≤ {to_rbldnsd} × rbldnsd"] * bool(to_rbldnsd) + [f"≤ {to_echo} × echo"] * bool(to_echo)) if qtype == "A" else "–"
            met = (not to_rbldnsd or median(r) <= to_rbldnsd) and (not to_echo or median(e) <= to_echo) if qtype == "A" else None
            add_row(f"CPU per query, {family}, {qtype}", must, f"{spread(r)} × rbldnsd; {spread(e)} × echo; {median(ratio('nsd')):.3f} × NSD; " + ", ".join(f"{n} {median(v):.2f} µs" for n, v in figures.items()), met)
    for s in (rbldnsd, nsd, echo_server): stop_server(s)


def main():
    write_lists()
    d, port, p = start_orbsd()
    stop_server(p)
    p = start([orbsd, "serve"], "0,1", cwd=d)
    took = wait_for_answer(port)
    add_row(f"start to first answer with {ENTRIES:,} of each family", "≤ 0.5 s (aim 0.25 s)", f"{took:.3f} s", took <= 0.5)
    measure_queries(d, port, p)
    stop_server(p); shutil.rmtree(d)
    measure_empty()
    measure_alone("ip4", "IPv4 addresses")
    measure_alone("ip6", "IPv6 networks", (24, 10))
    measure_alone("dom", "domains", (40, 20))
    write_results("benches/FAMILIES.md", "Queries by family")


if __name__ == "__main__":
    try: main()
    finally:
        for p in children: p.kill()
        shutil.rmtree(tmp, ignore_errors=True)
