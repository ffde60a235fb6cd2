#!/usr/bin/env python3
"""Measures orbsd against rbldnsd, hickory-server and an echo without look-up, in turn, in one run; writes benches/RESULTS.md.

compare.py TARGET: the cargo target directory, with a release build, the examples, and TARGET/peers (make peers).
Servers are pinned to one core and the load to another; figures are medians of interleaved pairs, with their spread.
ROUNDS (9) and SECONDS (2) make it longer or shorter; SKIP_100M=1 leaves the hundred million out.
"""
from common import *

def processor():
    """CPU for each answered query, in turn with rbldnsd and the echo; returns our folder and its answers a second."""
    d, port = folder("one", 1)
    ours = start([orbsd, "serve"], "0,1", cwd=d); answers(port)
    took = imported(d, f"{tmp}/ip4", f"{tmp}/ip6")
    row("import of an rbldnsd file of 1.1 M lines, durable and visible", "≤ 3 s (aim 1 s)", f"{took:.2f} s", took <= 3)
    rport, eport = free(), free()
    env = dict(os.environ, LD_LIBRARY_PATH=f"{root}/usr/lib/{platform.machine()}-linux-gnu")
    user = ["-u", "nobody:nogroup"] if os.getuid() == 0 else []
    theirs = start([f"{root}/usr/sbin/rbldnsd", "-n", *user, "-b", f"127.0.0.1/{rport}", "-w", tmp, "bl.example:ip4trie:ip4", "bl.example:ip6trie:ip6"], "0", env=env)
    kernel = start([echo, str(eport)], "0"); answers(rport); answers(eport)
    settle(ours)
    subprocess.run(["taskset", "-apc", "0", str(ours.pid)], check=True, stdout=subprocess.DEVNULL)
    hd, _ = folder("hickory", 1); hport = free()
    importer = start([orbsd, "serve"], "0,1", cwd=hd); settle(importer); imported(hd, f"{tmp}/ip4", f"{tmp}/ip6"); end(importer)
    library = start([hickory, hd, str(hport)], "0"); answers(hport); settle(library)
    turns = [("orbsd", port, ours, True), ("rbldnsd", rport, theirs, True), ("echo", eport, kernel, False), ("hickory-server", hport, library, True)]
    figures = {name: [] for name, *_ in turns}
    for i in range(rounds):
        for name, p, process, check in turns[i % 4:] + turns[:i % 4]: figures[name].append(run(p, f"{tmp}/q", check=check, pid=process.pid))
    cpu = {k: [x["cpu"] for x in v] for k, v in figures.items()}
    to_peer = [a / b for a, b in zip(cpu["orbsd"], cpu["rbldnsd"])]
    to_echo = [a / b for a, b in zip(cpu["orbsd"], cpu["echo"])]
    row("CPU per UDP query against rbldnsd ip4trie", "≤ 0.82 × (aim 0.75)", spread(to_peer) + " ×", m(to_peer) <= 0.82)
    row("CPU per UDP query against the echo without look-up", "≤ 1.10 × (aim 1.03)", spread(to_echo) + " ×", m(to_echo) <= 1.10)
    to_library = [a / b for a, b in zip(cpu["orbsd"], cpu["hickory-server"])]
    row("CPU per UDP query against hickory-server's UDP listener with the same answers", "≤ 0.9 × (above: use it)", spread(to_library) + " ×", m(to_library) <= 0.9)
    for k, v in figures.items():
        row(f"  {k}: CPU µs a query; answers a second on one core; lost", "–", f"{m(cpu[k]):.2f}; {m([x['qps'] for x in v]):,.0f}; {sum(x['lost'] for x in v)}", None)
    end(theirs); end(kernel); end(library); shutil.rmtree(hd)
    return d, port, ours, m([x["qps"] for x in figures["orbsd"]])

class Writer(threading.Thread):
    """5,000 new listings a second, in one stream; counts what was acknowledged."""
    at = 0x2d000000
    def __init__(self, d):
        super().__init__()
        self.d, self.done, self.acked = d, threading.Event(), 0
    def run(self):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # the client is no part of what is measured
        api = Api(self.d).s
        body = api.makefile("rb")
        def count():
            for piece in iter(lambda: body.read1(65536), b""): self.acked += piece.count(b'"status":201')
        api.sendall(b"POST /v1/bulk HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        threading.Thread(target=count, daemon=True).start()
        begun, n = time.monotonic(), 0
        while not self.done.is_set():
            while n < (time.monotonic() - begun) * 5000:
                lines = b"".join(listing(Writer.at + n + i) + b"\n" for i in range(25)); n += 25
                api.sendall(b"%x\r\n%s\r\n" % (len(lines), lines))
            time.sleep(0.002)
        self.rate = n / (time.monotonic() - begun)
        Writer.at += n
        api.sendall(b"0\r\n\r\n"); time.sleep(0.3)
        if self.acked != n: sys.exit(f"{self.acked} of {n} listings were acknowledged")

def latency(d, port, ours, most):
    """Query latency while listings arrive: all of the server and the writing client on one core, the load on the other."""
    os.sched_setaffinity(0, {0})
    quiet, busy, rates = [], [], []
    for i in range(rounds):
        def calm(): quiet.append(run(port, f"{tmp}/q", rate=most / 2)["p99"])
        def written():
            w = Writer(d); w.start(); time.sleep(0.3)
            busy.append(run(port, f"{tmp}/q", rate=most / 2)["p99"])
            w.done.set(); w.join(); rates.append(w.rate)
        for step in (calm, written) if i % 2 else (written, calm): step()
    os.sched_setaffinity(0, {0, 1})
    ratios = [b / a for a, b in zip(quiet, busy)]
    row("query p99 at half load while 5,000 listings/s arrive, against none", "≤ 1.5 × (aim 1.1)", f"{spread(ratios)} × ({m(busy):.0f} µs against {m(quiet):.0f} µs; {m(rates):,.0f} listings/s)", m(ratios) <= 1.5)

def writing(d, ours):
    subprocess.run(["taskset", "-apc", "0,1", str(ours.pid)], check=True, stdout=subprocess.DEVNULL)
    api, times = Api(d), []
    for i in range(10_000):
        b = listing(0x2e000000 + i); t = time.perf_counter(); api.post("/v1/listings", b); times.append(time.perf_counter() - t)
    times.sort()
    row("one listing through the socket, synced and visible: p99 of 10,000", "≤ 3 ms (aim 1 ms)", f"{times[9900] * 1e3:.2f} ms (median {times[5000] * 1e3:.2f} ms)", times[9900] <= 0.003)
    n = 200_000
    lines = "".join(f"{ip(0x30000000 + i * 3)}\n" for i in range(n))
    begun = time.monotonic()
    subprocess.run([orbsd, "list", "--reason", "relay"], input=lines, text=True, cwd=d, check=True, stdout=subprocess.DEVNULL)
    rate = n / (time.monotonic() - begun)
    row("listings in a stream, durable", "≥ 20,000/s (aim 50,000)", f"{rate:,.0f}/s", rate >= 20_000)

def workers(d, port):
    """Two workers on two cores against one, the load sharing the cores, in turn."""
    d2, port2 = folder("two", 2)
    shutil.copytree(d + "/data", d2 + "/data")
    servers = [(port, start([orbsd, "serve"], "0,1", cwd=d)), (port2, start([orbsd, "serve"], "0,1", cwd=d2))]
    for p, s in servers: answers(p); settle(s)
    pairs = []
    for i in range(rounds):
        got = {p: run(p, f"{tmp}/q", cpu="0,1", pid=s.pid, window=1024, sockets=32)["cpu"] for p, s in (servers if i % 2 else servers[::-1])}
        pairs.append(got[port2] / got[port])
    for _, s in servers: end(s)
    row("two workers: CPU per query against one worker", "≤ 1.10 × (aim 1.02)", spread(pairs) + " ×", m(pairs) <= 1.10)

def ten_million():
    """Ten million addresses with a thousand texts of their own, all over the space."""
    d, port = folder("big", 1)
    v = hosts(10_000_000)
    with open(f"{tmp}/big.rbl", "w") as f:
        for i in range(0, len(v), 100_000): f.write("".join(f"{ip(a)} :2:text {R.randrange(1000)} of $\n" for a in v[i:i + 100_000]))
    p = start([orbsd, "serve"], "0,1", cwd=d); answers(port); empty = memory(p)
    took = imported(d, f"{tmp}/big.rbl")
    # The image is there when the import is acknowledged: whatever happens next, the next start is a quick one.
    end(p, signal.SIGKILL)
    begun = time.monotonic(); p = start([orbsd, "serve"], "0,1", cwd=d); answers(port, address=v[-1]); first = time.monotonic() - begun
    row(f"import of {len(v):,} addresses with 1,000 texts", "–", f"{took:.1f} s", None)
    row("start to first answer right after that import and kill -9", "≤ 1.0 s (aim 0.2 s)", f"{first:.3f} s", first <= 1.0)
    imported(d, f"{tmp}/big.rbl"); settle(p); time.sleep(32)
    after = memory(p)
    row("whole process after such an import again", "≤ 150 MB (aim 100)", f"{after['VmRSS']:.0f} MB (at its peak {after['VmHWM']:.0f} MB)", after["VmRSS"] <= 150)
    for how, name in ((signal.SIGTERM, "a clean stop"), (signal.SIGKILL, "kill -9 after 20,000 more listings")):
        took = []
        for k in range(4):
            lines = "".join(f"{ip(0x2d000000 + (k + 4 * (how == signal.SIGKILL)) * 100_000 + i * 5)}\n" for i in range(20_000))
            subprocess.run([orbsd, "list", "--reason", "relay"], input=lines, text=True, cwd=d, check=True, stdout=subprocess.DEVNULL)
            end(p, how)
            begun = time.monotonic(); p = start([orbsd, "serve"], "0,1", cwd=d); answers(port, address=v[k]); took.append(time.monotonic() - begun)
        row(f"start to first answer at 10 M after {name}", "≤ 1.0 s (aim 0.2 s)", spread(took) + " s", m(took) <= 1.0)
    loaded = memory(p)
    each = (loaded["RssAnon"] - empty["RssAnon"]) * 2**20 / len(v)
    row("index memory at 10 M addresses with 1,000 texts", "≤ 6 bytes each (aim 3)", f"{each:.2f} bytes each; whole process {loaded['VmRSS']:.0f} MB", each <= 6 and loaded["VmRSS"] <= 150)
    open(f"{tmp}/plain", "w").write("\n".join(map(ip, v)) + "\n")
    imported(d, f"{tmp}/plain", fmt="list"); end(p)
    p = start([orbsd, "serve"], "0,1", cwd=d); answers(port)
    loaded = memory(p)
    each = (loaded["RssAnon"] - empty["RssAnon"]) * 2**20 / len(v)
    row("  the same with one text", "≤ 6 bytes each (aim 3)", f"{each:.2f} bytes each; whole process {loaded['VmRSS']:.0f} MB", each <= 6)
    end(p); shutil.rmtree(d)

def hundred_million():
    d, port = folder("huge", 1)
    # Every 34th address and a bit, from 1.0.0.0 up: no list of a hundred million fits a script.
    with open(f"{tmp}/huge.txt", "w") as f:
        for i in range(0, 100_000_000, 100_000):
            f.write("".join(f"{(a := 0x01000000 + (i + j) * 34 + ((i + j) * 2654435761 >> 7 & 31)) >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.{a & 255}\n" for j in range(100_000)))
    p = start([orbsd, "serve"], "0,1", cwd=d); answers(port); empty = memory(p)
    took = imported(d, f"{tmp}/huge.txt", fmt="list")
    peak = memory(p)["VmHWM"]
    listed = json.loads(subprocess.run([orbsd, "status", "--json"], cwd=d, check=True, capture_output=True, text=True).stdout)["listed"]["ipv4_hosts"]
    end(p)
    begun = time.monotonic(); p = start([orbsd, "serve"], "0,1", cwd=d); answers(port, address=0x01000000 + 50_000_000 * 34 + (50_000_000 * 2654435761 >> 7 & 31)); took2 = time.monotonic() - begun
    loaded = memory(p)
    row("100 M addresses", "loads and answers", f"{listed:,} listed; import {took:.0f} s, at its peak {peak:,.0f} MB; start {took2:.2f} s; {(loaded['RssAnon'] - empty['RssAnon']) * 2**20 / listed:.2f} bytes each", listed > 90_000_000)
    end(p); shutil.rmtree(d)

def pure():
    """What criterion measured of one-address commits (`make bench` runs it first)."""
    for name, must in (("one address at 10,000,000", 50), ("one address of a full /16", 50)):
        path = f"{target}/criterion/apply and publish_ {name}/new/estimates.json".replace("/16/", "_16/")
        try: us = json.load(open(path))["median"]["point_estimate"] / 1000
        except OSError: continue
        row(f"apply and publish of a commit: {name}", f"≤ {must} µs (aim 10)", f"{us:.1f} µs", us <= must)

try:
    data()
    d, port, ours, most = processor()
    latency(d, port, ours, most)
    writing(d, ours)
    end(ours)
    workers(d, port)
    ten_million()
    if not os.environ.get("SKIP_100M"): hundred_million()
    pure()
    results("benches/RESULTS.md", "Results", open("benches/NOTES.md").read())
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
