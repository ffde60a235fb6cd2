#!/usr/bin/env python3
"""Measures the public site; writes benches/SITE.md.

Usage: site.py TARGET [FOLDER]. TARGET is the cargo target directory, with a release build and the examples. FOLDER has the list files
ip4.rbl, ip6.rbl and dom.rbl to serve, in rbldnsd's format; without it, LISTINGS (10000000) made-up addresses, IPv6 networks and
domains are served, of which eight in ten are IPv4 addresses. The environment variables ROUNDS (9), CONNECTIONS (10000) and RATE (500)
change the measurements, and PROFILE (release) the build.
"""
from common import *
import glob, gzip, resource, tomllib, urllib.parse

http = f"{built}/examples/http"
LISTINGS, CONNECTIONS, RATE = (int(os.environ.get(k, v)) for k, v in (("LISTINGS", 10_000_000), ("CONNECTIONS", 10_000), ("RATE", 500)))
SEARCH_RATE = max(1, RATE // 5)
SLOW_BODIES = 200
NOTE = """Latency counts from the time at which a request was due, so it has the delays of a slow server, and those of the sender on the same two cores. A page and its files are fetched with gzip and with their header fields, as a browser does that has stored none of them.
"""


def write_lists():
    """Writes the list files, and files of paths and of queries of which half are for listed subjects. Returns the list files."""
    global LISTINGS
    if len(sys.argv) > 2:
        files = [f"{sys.argv[2]}/{f}" for f in ("ip4.rbl", "ip6.rbl", "dom.rbl")]
        read = lambda f: [l.strip() for l in open(f) if l[0] not in "$:#\n" and "/" not in l.strip().rstrip("/64") and l.strip() not in ("127.0.0.2", "test")]
        hosts, six, domains = (read(f) for f in files)
        LISTINGS = sum(map(len, (hosts, six, domains)))
        addresses = [struct.unpack(">I", socket.inet_aton(h))[0] for h in RANDOM.sample(hosts, min(len(hosts), 200_000))]
        six = [s.split("/")[0] for s in six]
    else:
        addresses = sample_hosts(LISTINGS * 8 // 10)
        six = [":".join(f"{a >> s & 0xffff:x}" for s in (48, 32, 16, 0)) + "::" for a in {RANDOM.getrandbits(60) | 2 << 60 for _ in range(LISTINGS // 10)}]
        domains = [f"host{i}-{RANDOM.getrandbits(20):x}.example{i % 997}.com" for i in range(LISTINGS // 10)]
        files = [f"{tmp}/ip4.txt", f"{tmp}/ip6.txt", f"{tmp}/dom.txt"]
        for f, lines in zip(files, ((ip(a) for a in addresses), (s + "/64" for s in six), domains)):
            with open(f, "w") as out: out.writelines(l + "\n" for l in lines)
    def subject(i):
        if i % 10 < 8: return ip(RANDOM.choice(addresses) if i % 2 else public_address())
        if i % 10 == 8: return (RANDOM.choice(six) if RANDOM.random() < 0.5 else f"2a01:{RANDOM.getrandbits(16):x}::") + f"{1 + RANDOM.getrandbits(15):x}"
        return RANDOM.choice(domains) if RANDOM.random() < 0.5 else f"never{RANDOM.getrandbits(30)}.net"
    with open(f"{tmp}/paths", "w") as f: f.writelines(f"/{subject(i)}\n" for i in range(100_000))
    with open(f"{tmp}/q", "w") as f: f.writelines(f"{rev(RANDOM.choice(addresses) if i % 2 else public_address())}.bl.example A\n" for i in range(300_000))
    return files


def make_site():
    """Makes the folder of a server with the public site. Returns it with the ports of DNS and of the site."""
    d, port = make_folder("site", 1)
    web = free_port()
    with open(d + "/config.toml", "a") as f:
        f.write(f'[[reason]]\nname = "spam"\ntext = "Bad domain, see https://bl.example/$"\n[web]\nlisten = "127.0.0.1:{web}"\nbase_url = "http://127.0.0.1:{web}"\n')
    open(d + "/zones/domains.toml", "w").write('origin = "domains.example"\nkind = "domain"\nns = ["ns1.bl.example"]\ncontact = "hostmaster@bl.example"\npublish = [{ reason = "spam", code = "127.0.0.2" }]\n')
    return d, port, web


def fetch(web, path, accept="text/html"):
    """Returns a response as it is on the wire, and its body without compression."""
    with socket.create_connection(("127.0.0.1", web), 20) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: {accept}\r\naccept-language: en\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n".encode())
        raw = b"".join(iter(lambda: s.recv(1 << 16), b""))
    head, body = raw.split(b"\r\n\r\n", 1)
    fields = dict(l.lower().split(b": ", 1) for l in head.split(b"\r\n")[1:])
    if not head.startswith(b"HTTP/1.1 200"): sys.exit(f"{path}: {head.decode()}")
    if fields.get(b"transfer-encoding") == b"chunked":
        parts, rest = [], body
        while rest:
            size, rest = rest.split(b"\r\n", 1)
            if not int(size, 16): break
            parts.append(rest[:int(size, 16)]); rest = rest[int(size, 16) + 2:]
        body = b"".join(parts)
    return len(raw), gzip.decompress(body) if fields.get(b"content-encoding") == b"gzip" else body


def page_bytes(web, path):
    """Returns the bytes of a page with all files that it loads, and the number of files."""
    size, body = fetch(web, path)
    page = body.decode()
    files = set(re.findall(r'<link[^>]*rel="(?:stylesheet|icon)"[^>]*href="([^"]+)"', page) + re.findall(r'<link[^>]*href="([^"]+)"[^>]*rel="(?:stylesheet|icon)"', page) + re.findall(r'<(?:script|img)[^>]*src="([^"]+)"', page))
    if outside := [f for f in files if urllib.parse.urlparse(f).netloc not in ("", f"127.0.0.1:{web}")]: sys.exit(f"{path} loads from other hosts: {outside}")
    return size + sum(fetch(web, f, "*/*")[0] for f in files), len(files)


def load_pages(web, secs, rate=RATE, paths="paths"):
    r = subprocess.run([http, f"127.0.0.1:{web}", "", "pages", "20", str(rate), str(secs), f"{tmp}/{paths}"], check=True, capture_output=True, text=True)
    r = json.loads(r.stdout)
    if r["wrong_answers"] or r["count"] < rate * secs * 0.9: sys.exit(f"wrong answers: {r}")
    return r


def measure_pages(d, web):
    p99 = [load_pages(web, 5) for _ in range(3)]
    add_row(f"look-up page at {RATE}/s, {LISTINGS / 1e6:g} M listings of addresses, networks and domains, p99", "≤ 5 ms (aim 1.5)", f"{spread([r['p99'] for r in p99], 2)} ms (median {median([r['median'] for r in p99]):.2f} ms)", median([r["p99"] for r in p99]) <= 5)
    listed = [l.strip() for l, _ in zip(open(f"{tmp}/paths"), range(2))][1]
    for name, path in (("home page", "/"), ("look-up page", listed)):
        size, files = page_bytes(web, path)
        add_row(f"{name} on the wire, with all {files} files", "≤ 60 KB (aim 30)", f"{size / 1000:.1f} KB", size <= 60_000)


def write_searches():
    """Writes a file of searches of the knowledge base: each name, greeting and first words of an entry, a long pasted text, nothing, and
    a word that no page has."""
    texts = ["", "no-page-has-this-word", "Received: from a.example by b.example; " * 20]
    for file in sorted(glob.glob("src/advice/products/*.toml")):
        product = tomllib.load(open(file, "rb"))
        texts += [product["name"], *product.get("aliases", []), *(e for r in product.get("recognition", []) for e in r["examples"])]
        texts += [" ".join(why.split()[:4]) for why in (e["why"] for e in product["entry"]) if isinstance(why, str)]
    RANDOM.shuffle(texts)
    with open(f"{tmp}/searches", "w") as f: f.writelines(f"/advice?{urllib.parse.urlencode({'q': t})}\n" for t in texts)
    return len(texts)


def measure_search(web):
    count = write_searches()
    p99 = [load_pages(web, max(5, 1 + count // SEARCH_RATE), SEARCH_RATE, "searches") for _ in range(3)]
    add_row(f"search of the knowledge base at {SEARCH_RATE}/s, {count} different texts, p99", "≤ 5 ms", f"{spread([r['p99'] for r in p99], 2)} ms (median {median([r['median'] for r in p99]):.2f} ms)", median([r["p99"] for r in p99]) <= 5)


def measure_dns(p, port, web):
    """Compares the CPU time of the DNS worker per query with and without requests for pages."""
    worker = lambda: sum(int(x) for x in open(next(f"/proc/{p.pid}/task/{i}/stat" for i in os.listdir(f"/proc/{p.pid}/task") if open(f"/proc/{p.pid}/task/{i}/comm").read().strip() == "udp-0")).read().rsplit(")", 1)[1].split()[11:13]) * 10_000
    def cost():
        before = worker(); r = run_load(port, f"{tmp}/q", rate=60_000)
        return (worker() - before) / r["answers"]
    calm, busy = [], []
    for i in range(rounds):
        def loaded():
            load = threading.Thread(target=load_pages, args=(web, seconds + 1)); load.start()
            time.sleep(0.3); busy.append(cost()); load.join()
        for step in ((lambda: calm.append(cost())), loaded) if i % 2 else (loaded, (lambda: calm.append(cost()))): step()
    ratios = [b / a for a, b in zip(calm, busy)]
    add_row(f"CPU of the DNS worker per query with {RATE} pages/s, against none", "≤ 1.10 × (aim 1.02)", f"{spread(ratios)} × ({median(busy):.2f} µs against {median(calm):.2f} µs)", median(ratios) <= 1.10)


def times(web, n=200):
    """Returns the times of single requests for a page, each on a new connection, in milliseconds, sorted."""
    out = []
    paths = [l.strip() for l, _ in zip(open(f"{tmp}/paths"), range(n))]
    for path in paths:
        started = time.monotonic(); fetch(web, path); out.append((time.monotonic() - started) * 1000)
    return sorted(out)


def measure_hostile(p, web):
    """Opens many idle connections, and sends bodies slowly; meanwhile, other clients get pages."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = min(CONNECTIONS, hard - 200)
    base, kept = memory(p)["VmRSS"], []
    for i in range(most):
        s = socket.socket(); s.setblocking(False); s.bind((f"127.{10 + i % 90}.{i // 90 % 250}.1", 0))
        try: s.connect(("127.0.0.1", web))
        except BlockingIOError: pass
        kept.append(s)
        if i % 100 == 0: time.sleep(0.01)
    time.sleep(1)
    taken, peak = times(web), memory(p)["VmRSS"]
    add_row(f"page for another client with {most:,} idle connections from as many addresses, p99", "≤ 100 ms", f"{taken[int(len(taken) * 0.99)]:.1f} ms; memory {base:.0f} → {peak:.0f} MB", taken[int(len(taken) * 0.99)] <= 100)
    for s in kept: s.close()
    slow = []
    for i in range(SLOW_BODIES):
        s = socket.socket(); s.bind((f"127.{100 + i % 20}.{i}.1", 0)); s.connect(("127.0.0.1", web)); s.setblocking(False)
        s.send(b"POST /lookup HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 10000\r\n\r\ntext=")
        slow.append(s)
    started, ended = time.monotonic(), []
    taken = times(web)
    while slow and time.monotonic() < started + 90:
        for s in list(slow):
            try:
                s.send(b"x")
                closed = s.recv(4096) is not None
            except BlockingIOError: closed = False
            except OSError: closed = True
            if closed: ended.append(time.monotonic() - started); slow.remove(s); s.close()
        time.sleep(1)
    add_row(f"page for another client with {SLOW_BODIES} bodies of a byte a second, p99", "≤ 100 ms", f"{taken[int(len(taken) * 0.99)]:.1f} ms", taken[int(len(taken) * 0.99)] <= 100)
    add_row("a body that comes slowly is refused", "≤ 60 s", f"{len(ended)} of {SLOW_BODIES}, the last after {max(ended, default=0):.0f} s", not slow and max(ended) <= 60)


def main():
    d, port, web = make_site()
    files = write_lists()
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    for f, reason in zip(files, ("relay", "relay", "spam")):
        format = "rbldnsd" if f.endswith(".rbl") else "list"
        subprocess.run([orbsd, "import", "--source", f"bench-{os.path.basename(f)[:-4]}", "--reason", reason, "--format", format, "--allow-special-ranges", "--skip-errors=5%", f], cwd=d, check=True, stdout=subprocess.DEVNULL)
    wait_until_idle(p)
    measure_pages(d, web)
    measure_search(web)
    measure_dns(p, port, web)
    measure_hostile(p, web)
    stop_server(p)
    write_results("benches/SITE.md", "The public site", NOTE)


try: main()
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
