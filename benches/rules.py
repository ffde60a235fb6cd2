#!/usr/bin/env python3
"""Compares the CPU time of queries for a zone with a rule over three sources with that for a plain zone; writes benches/RULES.md.

Usage: rules.py TARGET. TARGET is the cargo target directory, with a release build and the examples. The environment variables
ROUNDS (9), SECONDS (2) and ENTRIES (1000000, of each source) change the measurement.
"""
from common import *

ENTRIES = int(os.environ.get("ENTRIES", 1_000_000))
WEIGHTS = {"feed-a": 2, "feed-b": 2, "feed-c": 1}
NEEDED = 3

NOTE = f"""One server has three sources of {ENTRIES:,} addresses each, of one pool that is half as large again, so that most addresses are listed by two or three of them. Three zones publish them: `plain` all of it, `score` what has a score of at least {NEEDED} ({", ".join(f"{name} {n}" for name, n in WEIGHTS.items())}), `two` what at least two sources list. Each zone is asked for addresses of which half are listed in it, over UDP, in turns. What a commit under such a rule costs is measured by `cargo bench --bench pure -- "with a score"`.
"""

def zone(d, name, rule):
    open(f"{d}/zones/{name}.toml", "w").write(f'origin = "{name}.example"\nkind = "address"\nns = ["ns1.bl.example"]\ncontact = "hostmaster@bl.example"\npublish = [{{ reason = "relay", code = "127.0.0.2"{rule} }}]\n')

def write_queries(name, listed):
    asked = (RANDOM.choice(listed) if i % 2 else public_address() for i in range(500_000))
    open(f"{tmp}/{name}", "w").write("".join(f"{rev(a)}.{name}.example A\n" for a in asked))

try:
    pool = sample_hosts(ENTRIES * 3 // 2)
    listed = {name: set(RANDOM.sample(pool, ENTRIES)) for name in WEIGHTS}
    score = lambda a: sum(n for name, n in WEIGHTS.items() if a in listed[name])
    count = lambda a: sum(a in all for all in listed.values())
    d, port = make_folder("rules", 1)
    zone(d, "plain", "")
    zone(d, "score", f", weights = {{ {', '.join(f'{name} = {n}' for name, n in WEIGHTS.items())} }}, min_score = {NEEDED}")
    zone(d, "two", ", min_sources = 2")
    p = start([orbsd, "serve"], "0", cwd=d); wait_for_answer(port)
    for name, all in listed.items():
        open(f"{tmp}/list", "w").write("".join(ip(a) + "\n" for a in sorted(all)))
        subprocess.run([orbsd, "import", "--source", name, "--reason", "relay", "--format", "list", f"{tmp}/list"], cwd=d, check=True, stdout=subprocess.DEVNULL)
    write_queries("plain", [a for a in pool if count(a)])
    write_queries("score", [a for a in pool if score(a) >= NEEDED])
    write_queries("two", [a for a in pool if count(a) >= 2])
    wait_until_idle(p)
    costs = {"plain": [], "score": [], "two": []}
    for i in range(rounds):
        for name in sorted(costs, reverse=i % 2):
            before = cpu_seconds(p); r = run_load(port, f"{tmp}/{name}")
            costs[name].append((cpu_seconds(p) - before) * 1e6 / r["answers"])
    for name, what in (("score", "a score"), ("two", "at least two sources")):
        ratios = [b / a for a, b in zip(costs["plain"], costs[name])]
        add_row(f"CPU per query, {what} of three sources of {ENTRIES:,}, against a plain zone", "≤ 1.05 × (aim 1.02)", f"{spread(ratios)} × ({median(costs[name]):.2f} µs against {median(costs['plain']):.2f} µs)", median(ratios) <= 1.05)
    stop_server(p)
    write_results("benches/RULES.md", "Rules over several sources", NOTE)
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
