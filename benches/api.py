#!/usr/bin/env python3
"""Measures the HTTP API; writes benches/API.md.

api.py TARGET: the cargo target directory, with a release build and the examples. ROUNDS (9) makes it longer or shorter.
"""
from common import *

http = f"{target}/release/examples/http"

NOTE = """The row of a stream to *another* orbsd is the control: that stream does not change the served list, and still costs a query as much as a stream to the same orbsd. So the cost of a full stream of listings for the DNS worker comes from the machine's shared cache and memory, and not from the change of the list. Look-ups meet the limit.
"""

def api(*words):
    r = subprocess.run([http, *map(str, words)], check=True, capture_output=True, text=True)
    r = json.loads(r.stdout)
    if r.get("wrong"): sys.exit(f"wrong answers: {words} {r}")
    return r

def serving(name, workers=1):
    d, port = folder(name, workers)
    web = free()
    config = open(d + "/config.toml").read().replace('listen = ""', f'listen = "127.0.0.1:{web}"')
    open(d + "/config.toml", "w").write(config)
    return d, port, f"127.0.0.1:{web}"

def token(d, role="owner"):
    return subprocess.run([orbsd, "token", "create", "--owner", "bench", "--role", role], cwd=d, check=True, capture_output=True, text=True).stdout.strip()

def fsyncs(n=300):
    """What one synced append to a file of this disk takes, in milliseconds: its 99th percentile."""
    took = []
    with open(f"{tmp}/fsync", "wb") as f:
        for _ in range(n):
            begun = time.monotonic(); f.write(b"x" * 200); f.flush(); os.fdatasync(f.fileno()); took.append((time.monotonic() - begun) * 1000)
    return sorted(took)[int(n * 0.99)]

def writes():
    d, port, addr = serving("writes", 2)
    p = start([orbsd, "serve"], "0,1", cwd=d); answers(port)
    t = token(d)
    rates = [(lambda r: r["count"] / r["seconds"])(api(addr, t, "bulk", 200_000)) for _ in range(3)]
    row("listings in a stream over HTTP, durable", "≥ 20,000/s (aim 100,000)", f"{m(rates):,.0f}/s", m(rates) >= 20_000)
    ones, limits = [], []
    for _ in range(rounds):
        limits.append(5 + 3 * fsyncs()); ones.append(api(addr, t, "list", 50, 5000))
    p99 = [o["p99"] for o in ones]
    row("one listing over HTTP, durable and visible, p99 at 50 concurrent", f"≤ 5 ms + 3 fsyncs = {m(limits):.1f} ms", f"{spread(p99, 2)} ms (median {m([o['median'] for o in ones]):.2f} ms, {m([o['count'] / o['seconds'] for o in ones]):,.0f}/s)", m(p99) <= m(limits))
    end(p)

def reads():
    d, port, addr = serving("reads", 1)
    v = hosts(10_000_000)
    with open(f"{tmp}/big.txt", "w") as f:
        for i in range(0, len(v), 100_000): f.write("".join(ip(a) + "\n" for a in v[i:i + 100_000]))
    p = start([orbsd, "serve"], "0,1", cwd=d); answers(port)
    imported(d, f"{tmp}/big.txt", fmt="list"); end(p)
    p = start([orbsd, "serve"], "0,1", cwd=d); answers(port, address=v[-1]); settle(p)
    t = token(d)
    p99 = [api(addr, "", "lookup", 20, 500, 5)["p99"] for _ in range(3)]
    row("GET /lookup at 500/s, 10 M listings, p99", "≤ 10 ms (aim 2)", f"{spread(p99, 2)} ms", m(p99) <= 10)
    rates = [(lambda r: (r["lines"] / r["seconds"], r["bytes"] / r["seconds"]))(api(addr, t, "get", "/v1/zones/bl/export?format=list")) for _ in range(3)]
    rate = m([r[0] for r in rates])
    row("export of 10 M addresses as a list over HTTP", "≥ 2 M lines/s", f"{rate / 1e6:.1f} M lines/s ({m([r[1] for r in rates]) / 1e6:.0f} MB/s)", rate >= 2e6)
    queries = f"{tmp}/q"
    open(queries, "w").write("".join(f"{rev(R.choice(v) if i % 2 else public())}.bl.example A\n" for i in range(300_000)))
    worker = lambda: sum(int(x) for x in open(next(f"/proc/{p.pid}/task/{i}/stat" for i in os.listdir(f"/proc/{p.pid}/task") if open(f"/proc/{p.pid}/task/{i}/comm").read().strip() == "udp-0")).read().rsplit(")", 1)[1].split()[11:13]) * 10_000
    def cost():
        """CPU of the worker that answers, in µs for each query."""
        before = worker(); r = run(port, queries, rate=60_000)
        return (worker() - before) / r["got"]
    # The stream also goes to another orbsd: what it costs then is the machine's, and not that of a list that changes.
    d2, port2, addr2 = serving("other", 1)
    p2 = start([orbsd, "serve"], "0,1", cwd=d2); answers(port2)
    t2 = token(d2)
    for what, must, command in [("500 look-ups/s over HTTP", True, [addr, "", "lookup", "20", "500", str(seconds + 1)]), ("a stream of listings over HTTP", True, [addr, t, "bulk", "1000000"]), ("the same stream to another orbsd", False, [addr2, t2, "bulk", "1000000"])]:
        calm, busy = [], []
        for i in range(rounds):
            def under():
                load = subprocess.Popen([http, *command], stdout=subprocess.DEVNULL)
                time.sleep(0.3); busy.append(cost()); under.long = load.poll() is None; load.wait()
            for step in ((lambda: calm.append(cost())), under) if i % 2 else (under, (lambda: calm.append(cost()))): step()
        ratios = [b / a for a, b in zip(calm, busy)]
        row(f"CPU of the DNS worker per query with {what}, against none", "≤ 1.10 × (aim 1.02)" if must else "–", f"{spread(ratios)} × ({m(busy):.2f} µs against {m(calm):.2f} µs){'' if under.long else '; the load ended before the measurement'}", m(ratios) <= 1.10 if must else None)
    end(p); end(p2)

try:
    writes()
    reads()
    results("benches/API.md", "The HTTP API", NOTE)
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
