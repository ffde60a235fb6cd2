#!/usr/bin/env python3
"""Measures the HTTP API; writes benches/API.md.

Usage: api.py TARGET. TARGET is the cargo target directory, with a release build and the examples. The environment variable
ROUNDS (9) changes the number of rounds.
"""
from common import *

http = f"{target}/release/examples/http"

NOTE = """The row of a stream to *another* orbsd is the control. That stream does not change the served list, and yet it increases the CPU time of a query as much as a stream to the same orbsd. So this increase comes from the cache and the memory that all processes of the machine share, and not from the changes of the list. Look-ups meet the limit.
"""

def api(*arguments):
    r = subprocess.run([http, *map(str, arguments)], check=True, capture_output=True, text=True)
    r = json.loads(r.stdout)
    if r.get("wrong_answers"): sys.exit(f"wrong answers: {arguments} {r}")
    return r

def make_api_folder(name, workers=1):
    d, port = make_folder(name, workers)
    web = free_port()
    config = open(d + "/config.toml").read().replace('listen = ""', f'listen = "127.0.0.1:{web}"')
    open(d + "/config.toml", "w").write(config)
    return d, port, f"127.0.0.1:{web}"

def token(d, role="owner"):
    return subprocess.run([orbsd, "token", "create", "--owner", "bench", "--role", role], cwd=d, check=True, capture_output=True, text=True).stdout.strip()

def fsync_p99_ms(n=300):
    """Returns the 99th percentile of the time of a synced append to a file on this disk, in milliseconds."""
    took = []
    with open(f"{tmp}/fsync", "wb") as f:
        for _ in range(n):
            started = time.monotonic(); f.write(b"x" * 200); f.flush(); os.fdatasync(f.fileno()); took.append((time.monotonic() - started) * 1000)
    return sorted(took)[int(n * 0.99)]

def measure_writes():
    d, port, addr = make_api_folder("writes", 2)
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    t = token(d)
    rates = [(lambda r: r["count"] / r["seconds"])(api(addr, t, "bulk", 200_000)) for _ in range(3)]
    add_row("listings in a stream over HTTP, durable", "≥ 20,000/s (aim 100,000)", f"{median(rates):,.0f}/s", median(rates) >= 20_000)
    ones, limits = [], []
    for _ in range(rounds):
        limits.append(5 + 3 * fsync_p99_ms()); ones.append(api(addr, t, "list", 50, 5000))
    p99 = [o["p99"] for o in ones]
    add_row("one listing over HTTP, durable and visible, p99 at 50 concurrent", f"≤ 5 ms + 3 fsyncs = {median(limits):.1f} ms", f"{spread(p99, 2)} ms (median {median([o['median'] for o in ones]):.2f} ms, {median([o['count'] / o['seconds'] for o in ones]):,.0f}/s)", median(p99) <= median(limits))
    stop_server(p)

def measure_reads():
    d, port, addr = make_api_folder("reads", 1)
    v = sample_hosts(10_000_000)
    with open(f"{tmp}/big.txt", "w") as f:
        for i in range(0, len(v), 100_000): f.write("".join(ip(a) + "\n" for a in v[i:i + 100_000]))
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    import_list(d, f"{tmp}/big.txt", fmt="list"); stop_server(p)
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port, address=v[-1]); wait_until_idle(p)
    t = token(d)
    p99 = [api(addr, "", "lookup", 20, 500, 5)["p99"] for _ in range(3)]
    add_row("GET /lookup at 500/s, 10 M listings, p99", "≤ 10 ms (aim 2)", f"{spread(p99, 2)} ms", median(p99) <= 10)
    rates = [(lambda r: (r["lines"] / r["seconds"], r["bytes"] / r["seconds"]))(api(addr, t, "get", "/v1/zones/bl/export?format=list")) for _ in range(3)]
    rate = median([r[0] for r in rates])
    add_row("export of 10 M addresses as a list over HTTP", "≥ 2 M lines/s", f"{rate / 1e6:.1f} M lines/s ({median([r[1] for r in rates]) / 1e6:.0f} MB/s)", rate >= 2e6)
    queries = f"{tmp}/q"
    open(queries, "w").write("".join(f"{rev(RANDOM.choice(v) if i % 2 else public_address())}.bl.example A\n" for i in range(300_000)))
    worker = lambda: sum(int(x) for x in open(next(f"/proc/{p.pid}/task/{i}/stat" for i in os.listdir(f"/proc/{p.pid}/task") if open(f"/proc/{p.pid}/task/{i}/comm").read().strip() == "udp-0")).read().rsplit(")", 1)[1].split()[11:13]) * 10_000
    def cost():
        """Returns the CPU time of the DNS worker for each query, in µs."""
        before = worker(); r = run_load(port, queries, rate=60_000)
        return (worker() - before) / r["answers"]
    # The stream is also sent to another orbsd. Its cost is then that of the load on the machine, without changes of the list.
    d2, port2, addr2 = make_api_folder("other", 1)
    p2 = start([orbsd, "serve"], "0,1", cwd=d2); wait_for_answer(port2)
    t2 = token(d2)
    for what, has_limit, command in [("500 look-ups/s over HTTP", True, [addr, "", "lookup", "20", "500", str(seconds + 1)]), ("a stream of listings over HTTP", True, [addr, t, "bulk", "1000000"]), ("the same stream to another orbsd", False, [addr2, t2, "bulk", "1000000"])]:
        calm, busy = [], []
        for i in range(rounds):
            def loaded():
                load = subprocess.Popen([http, *command], stdout=subprocess.DEVNULL)
                time.sleep(0.3); busy.append(cost()); loaded.complete = load.poll() is None; load.wait()
            for step in ((lambda: calm.append(cost())), loaded) if i % 2 else (loaded, (lambda: calm.append(cost()))): step()
        ratios = [b / a for a, b in zip(calm, busy)]
        add_row(f"CPU of the DNS worker per query with {what}, against none", "≤ 1.10 × (aim 1.02)" if has_limit else "–", f"{spread(ratios)} × ({median(busy):.2f} µs against {median(calm):.2f} µs){'' if loaded.complete else '; the load ended before the measurement'}", median(ratios) <= 1.10 if has_limit else None)
    stop_server(p); stop_server(p2)

try:
    measure_writes()
    measure_reads()
    write_results("benches/API.md", "The HTTP API", NOTE)
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
