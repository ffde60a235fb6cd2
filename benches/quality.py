#!/usr/bin/env python3
"""Measures the daily count of the figures of quality; writes benches/QUALITY.md.

Usage: quality.py TARGET. TARGET is the cargo target directory, with a release build. The environment variable ROUNDS (9) changes the
number of counts, and ENTRIES (10,000,000) that of the listed addresses.
"""
from common import *

ENTRIES = int(os.environ.get("ENTRIES", 10_000_000))
NOTE = f"""A feed lists {ENTRIES:,} addresses. Each round starts the server without its figures, so that it counts them at once. Meanwhile one client makes listings one after the other over the socket, each durable, and again after the count; the ratio is that of both medians in the same round. The memory is the growth of what the server has allocated, from the start of the count to its highest value.
"""

def anonymous_mb(p): return memory(p)["RssAnon"]

def is_counted(d): return any(name.endswith(".json") for name in os.listdir(d + "/data.quality")) if os.path.isdir(d + "/data.quality") else False

def make_listings(api, first, is_over):
    """Makes listings one after the other until `is_over`. Returns their times in milliseconds."""
    took, n = [], first
    while not is_over(len(took)):
        started = time.monotonic(); api.post("/v1/listings", listing(0x2d000000 + n)); took.append((time.monotonic() - started) * 1000); n += 1
    return took

def count_once(d, port, last, first):
    """Starts the server, and waits for its count. Returns the seconds, the CPU seconds and the MB of the count, and the times of listings during and after it."""
    shutil.rmtree(d + "/data.quality", ignore_errors=True)
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port, address=last)
    started, cpu, before, peak = time.monotonic(), cpu_seconds(p), anonymous_mb(p), 0
    if is_counted(d): sys.exit("the count ended before the measurement began: set ENTRIES higher")
    api = Api(d)
    def is_over(n):
        nonlocal peak
        if n % 20 == 0: peak = max(peak, anonymous_mb(p))
        return is_counted(d)
    during = make_listings(api, first, is_over)
    took, spent = time.monotonic() - started, cpu_seconds(p) - cpu
    wait_until_idle(p)
    after = make_listings(api, first + len(during), lambda n: n >= max(50, len(during)))
    stop_server(p)
    return took, spent, peak - before, during, after

def measure_count():
    d, port = make_folder("quality", 1)
    v = sample_hosts(ENTRIES)
    with open(f"{tmp}/list.txt", "w") as f:
        for i in range(0, len(v), 100_000): f.write("".join(ip(a) + "\n" for a in v[i:i + 100_000]))
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    import_list(d, f"{tmp}/list.txt", fmt="list"); wait_until_idle(p); stop_server(p)
    runs, first = [], 0
    for _ in range(rounds):
        runs.append(count_once(d, port, v[-1], first)); first += len(runs[-1][3]) + len(runs[-1][4])
    took, spent, grown, during, after = zip(*runs)
    figures = json.load(open(f"{d}/data.quality/" + sorted(n for n in os.listdir(d + "/data.quality") if n.endswith(".json"))[-1]))
    counted = figures["zones"]["bl.example"]["proofs"]["entries"]
    if counted < len(v): sys.exit(f"only {counted} of {len(v)} entries were counted")
    p99 = lambda times: sorted(times)[int(len(times) * 0.99)]
    ratios = [median(a) / median(b) for a, b in zip(during, after)]
    add_row(f"daily count of {len(v):,} entries", "≤ 120 s", f"{spread(took, 1)} s ({median(spent):.1f} s of CPU, that of the listings included)", median(took) <= 120)
    add_row("memory of the count", "≤ 64 MB", f"{spread(grown, 0)} MB", median(grown) <= 64)
    add_row("a listing during the count, against one after it, median", "≤ 2 ×", f"{spread(ratios, 2)} × ({median([median(a) for a in during]):.2f} ms against {median([median(b) for b in after]):.2f} ms)", median(ratios) <= 2)
    add_row("a listing during the count, p99", "–", f"{spread([p99(a) for a in during], 1)} ms (after it {spread([p99(b) for b in after], 1)} ms; longest during it {max(map(max, during)):.0f} ms)", None)

try:
    measure_count()
    write_results("benches/QUALITY.md", "The daily count of quality", NOTE)
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
