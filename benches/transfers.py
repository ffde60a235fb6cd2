#!/usr/bin/env python3
"""Measures transfers against NSD with the same zone in one run; writes benches/TRANSFERS.md.

transfers.py TARGET: the cargo target directory, with a release build, the examples, and TARGET/peers (make peers).
ROUNDS (9) makes it longer or shorter; SKIP_10M=1 leaves the zone of ten million out.
"""
from common import *

drain = f"{target}/release/examples/drain"

def took(port, serial=None, cpu="1", nice="0"):
    args = ["nice", "-n", nice, "taskset", "-c", cpu, drain, f"127.0.0.1:{port}", "bl.example", *([str(serial)] if serial is not None else [])]
    r = json.loads(subprocess.run(args, check=True, capture_output=True, text=True).stdout)
    if not r["whole"]: sys.exit(f"port {port}: the transfer was cut off: {r}")
    return r

def transferring(name):
    d, port = folder(name, 1)
    with open(d + "/zones/bl.toml", "a") as f: f.write('[transfer]\nallow = ["127.0.0.0/8"]\n')
    return d, port

def nsd(d, zonefile):
    port = free()
    os.makedirs(f"{tmp}/nsd", exist_ok=True)
    open(f"{tmp}/nsd/nsd.conf", "w").write(f'''server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{tmp}/nsd"
    database: ""
    zonelistfile: "{tmp}/nsd/zone.list"
    xfrdfile: "{tmp}/nsd/xfrd.state"
    xfrdir: "{tmp}/nsd"
    pidfile: ""
remote-control:
    control-enable: no
zone:
    name: "bl.example"
    zonefile: "{zonefile}"
    provide-xfr: 127.0.0.1 NOKEY
''')
    env = dict(os.environ, LD_LIBRARY_PATH=f"{root}/usr/lib/{platform.machine()}-linux-gnu")
    p = start([f"{root}/usr/sbin/nsd", "-d", "-c", f"{tmp}/nsd/nsd.conf"], "0", env=env)
    answers(port, address=0x7f000002)
    return port, p

def serial(port):
    q = b"\0\1\0\0\0\1\0\0\0\0\0\0\2bl\7example\0\0\6\0\1"
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(q, ("127.0.0.1", port)); r = s.recv(600)
    return struct.unpack(">I", r[-20:-16])[0]

def million():
    """The zone of the queries' comparison: 3.6 million records. AXFR in turn with NSD, then queries while four run."""
    data()
    d, port = transferring("one")
    ours = start([orbsd, "serve"], "0,1", cwd=d); answers(port)
    imported(d, f"{tmp}/ip4", f"{tmp}/ip6")
    subprocess.run([orbsd, "export", "bl", "-o", f"{tmp}/bl.zone"], cwd=d, check=True)
    theirs, process = nsd(d, f"{tmp}/bl.zone")
    settle(ours); settle(process)
    subprocess.run(["taskset", "-apc", "0", str(ours.pid)], check=True, stdout=subprocess.DEVNULL)
    figures = {port: [], theirs: []}
    for i in range(rounds):
        for p in (port, theirs) if i % 2 else (theirs, port): figures[p].append(took(p))
    a, b = figures[port], figures[theirs]
    if a[0]["records"] != b[0]["records"]: sys.exit(f"{a[0]} against {b[0]}")
    ratios = [x["ms"] / y["ms"] for x, y in zip(a, b)]
    ms = lambda v: f"{m([x['ms'] for x in v]):.0f} ms, {v[0]['bytes'] / 1e6:.0f} MB"
    row(f"AXFR of {a[0]['records']:,} records against NSD, server on one core, client on the other", "≤ 1.0 × (aim 0.5)", f"{spread(ratios)} × ({ms(a)} against {ms(b)})", m(ratios) <= 1.0)
    end(process)
    most = m([run(port, f"{tmp}/q", pid=ours.pid)["qps"] for _ in range(3)])
    quiet, busy, got = [], [], []
    for i in range(rounds):
        def calm(): quiet.append(run(port, f"{tmp}/q", rate=most / 2)["p99"])
        def transfers():
            done = threading.Event()
            def again():
                while not done.is_set(): got.append(took(port, cpu="0", nice="19")["ms"])  # the mirrors are no part of what is measured
            four = [threading.Thread(target=again) for _ in range(4)]
            for t in four: t.start()
            time.sleep(0.3); busy.append(run(port, f"{tmp}/q", rate=most / 2)["p99"]); done.set()
            for t in four: t.join()
        for step in (calm, transfers) if i % 2 else (transfers, calm): step()
    ratios = [y / x for x, y in zip(quiet, busy)]
    row("query p99 during four AXFRs at half load, against none; server and mirrors on one core", "≤ 1.5 × (aim 1.1)", f"{spread(ratios)} × ({m(busy):.0f} µs against {m(quiet):.0f} µs; {len(got)} transfers)", m(ratios) <= 1.5)
    end(ours); shutil.rmtree(d)

def ten_million():
    d, port = transferring("big")
    v = hosts(10_000_000)
    with open(f"{tmp}/big.txt", "w") as f:
        for i in range(0, len(v), 100_000): f.write("".join(ip(a) + "\n" for a in v[i:i + 100_000]))
    p = start([orbsd, "serve"], "0,1", cwd=d); answers(port)
    imported(d, f"{tmp}/big.txt", fmt="list"); end(p)
    p = start([orbsd, "serve"], "0,1", cwd=d); answers(port, address=v[-1]); settle(p)
    def peak(work):
        """The most memory while something is done, against before."""
        before, most, done = memory(p)["RssAnon"], [0], threading.Event()
        def look():
            while not done.is_set(): most[0] = max(most[0], memory(p)["RssAnon"]); time.sleep(0.005)
        t = threading.Thread(target=look); t.start(); r = work(); done.set(); t.join()
        return r, most[0] - before
    r, extra = peak(lambda: took(port))
    row(f"extra memory of an AXFR of {r['records']:,} records without writes", "≤ 32 MB (aim 4)", f"{extra:.1f} MB ({r['ms'] / 1000:.1f} s)", extra <= 32)
    def four():
        all = [threading.Thread(target=took, args=(port,)) for _ in range(4)]
        for t in all: t.start()
        for t in all: t.join()
    _, extra = peak(four)
    row("  of four at the same time", "–", f"{extra:.1f} MB", None)
    times, again = [], []
    for k in range(rounds):
        before = serial(port)
        lines = "".join(f"{ip(0x2d000000 + (k * 1000 + i) * 4099 % 0x2000000)}\n" for i in range(1000))
        subprocess.run([orbsd, "list", "--reason", "relay"], input=lines, text=True, cwd=d, check=True, stdout=subprocess.DEVNULL)
        times.append(took(port, before)["ms"]); r = took(port, before); again.append(r["ms"])
        if r["records"] != 4 + 2 * 1000: sys.exit(f"not the difference: {r}")
    row("IXFR of 1,000 changes in that zone, the first mirror to ask", "≤ 20 ms (aim 2)", spread(times, 1) + " ms", m(times) <= 20)
    row("  the next mirror", "–", spread(again, 1) + " ms", None)
    end(p)

try:
    million()
    if not os.environ.get("SKIP_10M"): ten_million()
    results("benches/TRANSFERS.md", "Transfers", open("benches/NOTES-TRANSFERS.md").read() if os.path.exists("benches/NOTES-TRANSFERS.md") else "")
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
