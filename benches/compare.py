#!/usr/bin/env python3
"""Compares orbsd with rbldnsd, hickory-server and an echo server without look-ups, in one run; writes benches/RESULTS.md.

Usage: compare.py TARGET. TARGET is the cargo target directory, with a release build, the examples, and TARGET/peers (make peers).
Servers are pinned to one core and the load to another. The servers are measured in turn; figures are medians of the rounds,
with their spread. The environment variables ROUNDS (9) and SECONDS (2) change the number of rounds and the duration of each
measurement; SKIP_100M=1 leaves out the list of a hundred million addresses.
"""
from common import *

def measure_cpu():
    """Measures the CPU of each answered query, in turn with the other servers. Returns folder, port and process of orbsd."""
    d, port = make_folder("one", 1)
    orbsd_server = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    took = import_list(d, f"{tmp}/ip4", f"{tmp}/ip6")
    add_row("import of an rbldnsd file of 1.1 M lines, durable and visible", "≤ 3 s (aim 1 s)", f"{took:.2f} s", took <= 3)
    rbldnsd_port, echo_port = free_port(), free_port()
    env = dict(os.environ, LD_LIBRARY_PATH=f"{root}/usr/lib/{platform.machine()}-linux-gnu")
    user = ["-u", "nobody:nogroup"] if os.getuid() == 0 else []
    rbldnsd_server = start([f"{root}/usr/sbin/rbldnsd", "-n", *user, "-b", f"127.0.0.1/{rbldnsd_port}", "-w", tmp, "bl.example:ip4trie:ip4", "bl.example:ip6trie:ip6"], "0", env=env)
    echo_server = start([echo, str(echo_port)], "0"); wait_for_answer(rbldnsd_port); wait_for_answer(echo_port)
    wait_until_idle(orbsd_server)
    subprocess.run(["taskset", "-apc", "0", str(orbsd_server.pid)], check=True, stdout=subprocess.DEVNULL)
    hickory_folder, _ = make_folder("hickory", 1); hickory_port = free_port()
    import_server = start([orbsd, "serve"], "0,1", cwd=hickory_folder); wait_until_idle(import_server); import_list(hickory_folder, f"{tmp}/ip4", f"{tmp}/ip6"); stop_server(import_server)
    hickory_server = start([hickory, hickory_folder, str(hickory_port)], "0"); wait_for_answer(hickory_port); wait_until_idle(hickory_server)
    servers = [("orbsd", port, orbsd_server, True), ("rbldnsd", rbldnsd_port, rbldnsd_server, True), ("echo", echo_port, echo_server, False), ("hickory-server", hickory_port, hickory_server, True)]
    figures = {name: [] for name, *_ in servers}
    for i in range(rounds):
        for name, p, process, check in servers[i % 4:] + servers[:i % 4]: figures[name].append(run_load(p, f"{tmp}/q", check=check, pid=process.pid))
    cpu = {k: [x["cpu"] for x in v] for k, v in figures.items()}
    to_peer = [a / b for a, b in zip(cpu["orbsd"], cpu["rbldnsd"])]
    to_echo = [a / b for a, b in zip(cpu["orbsd"], cpu["echo"])]
    add_row("CPU per UDP query against rbldnsd ip4trie", "≤ 0.82 × (aim 0.75)", spread(to_peer) + " ×", median(to_peer) <= 0.82)
    add_row("CPU per UDP query against the echo without look-up", "≤ 1.10 × (aim 1.03)", spread(to_echo) + " ×", median(to_echo) <= 1.10)
    to_hickory = [a / b for a, b in zip(cpu["orbsd"], cpu["hickory-server"])]
    add_row("CPU per UDP query against hickory-server's UDP listener with the same answers", "≤ 0.9 × (if above, use hickory-server)", spread(to_hickory) + " ×", median(to_hickory) <= 0.9)
    for k, v in figures.items():
        add_row(f"  {k}: CPU µs a query; answers a second on one core; lost", "–", f"{median(cpu[k]):.2f}; {median([x['qps'] for x in v]):,.0f}; {sum(x['lost'] for x in v)}", None)
    stop_server(rbldnsd_server); stop_server(echo_server); stop_server(hickory_server); shutil.rmtree(hickory_folder)
    return d, port, orbsd_server

def measure_writes(d, orbsd_server):
    subprocess.run(["taskset", "-apc", "0,1", str(orbsd_server.pid)], check=True, stdout=subprocess.DEVNULL)
    api, times = Api(d), []
    for i in range(10_000):
        b = listing(0x2e000000 + i); t = time.perf_counter(); api.post("/v1/listings", b); times.append(time.perf_counter() - t)
    times.sort()
    add_row("one listing through the socket, synced and visible: p99 of 10,000", "≤ 3 ms (aim 1 ms)", f"{times[9900] * 1e3:.2f} ms (median {times[5000] * 1e3:.2f} ms)", times[9900] <= 0.003)
    n = 200_000
    lines = "".join(f"{ip(0x30000000 + i * 3)}\n" for i in range(n))
    started = time.monotonic()
    subprocess.run([orbsd, "list", "--reason", "relay"], input=lines, text=True, cwd=d, check=True, stdout=subprocess.DEVNULL)
    rate = n / (time.monotonic() - started)
    add_row("listings in a stream, durable", "≥ 20,000/s (aim 50,000)", f"{rate:,.0f}/s", rate >= 20_000)

def measure_workers(d, port):
    """Compares two workers on two cores with one worker, in turn; the load runs on the same cores."""
    d2, port2 = make_folder("two", 2)
    shutil.copytree(d + "/data", d2 + "/data")
    servers = [(port, start([orbsd, "serve"], "0,1", cwd=d)), (port2, start([orbsd, "serve"], "0,1", cwd=d2))]
    for p, s in servers: wait_for_answer(p); wait_until_idle(s)
    pairs = []
    for i in range(rounds):
        cpu = {p: run_load(p, f"{tmp}/q", cpu="0,1", pid=s.pid, window=1024, sockets=32)["cpu"] for p, s in (servers if i % 2 else servers[::-1])}
        pairs.append(cpu[port2] / cpu[port])
    for _, s in servers: stop_server(s)
    add_row("two workers: CPU per query against one worker", "≤ 1.10 × (aim 1.02)", spread(pairs) + " ×", median(pairs) <= 1.10)

def measure_ten_million():
    """Measures a list of ten million addresses with a thousand texts, spread over the address space."""
    d, port = make_folder("big", 1)
    v = sample_hosts(10_000_000)
    with open(f"{tmp}/big.rbl", "w") as f:
        for i in range(0, len(v), 100_000): f.write("".join(f"{ip(a)} :2:text {RANDOM.randrange(1000)} of $\n" for a in v[i:i + 100_000]))
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port); empty = memory(p)
    took = import_list(d, f"{tmp}/big.rbl")
    # The image is written before the import is acknowledged, so a start after a kill is quick.
    stop_server(p, signal.SIGKILL)
    started = time.monotonic(); p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port, address=v[-1]); first = time.monotonic() - started
    add_row(f"import of {len(v):,} addresses with 1,000 texts", "–", f"{took:.1f} s", None)
    add_row("start to first answer right after that import and kill -9", "≤ 1.0 s (aim 0.2 s)", f"{first:.3f} s", first <= 1.0)
    import_list(d, f"{tmp}/big.rbl"); wait_until_idle(p); time.sleep(32)
    after = memory(p)
    add_row("whole process after such an import again", "≤ 150 MB (aim 100)", f"{after['VmRSS']:.0f} MB (at its peak {after['VmHWM']:.0f} MB)", after["VmRSS"] <= 150)
    for how, name in ((signal.SIGTERM, "a clean stop"), (signal.SIGKILL, "kill -9 after 20,000 more listings")):
        took = []
        for k in range(4):
            lines = "".join(f"{ip(0x2d000000 + (k + 4 * (how == signal.SIGKILL)) * 100_000 + i * 5)}\n" for i in range(20_000))
            subprocess.run([orbsd, "list", "--reason", "relay"], input=lines, text=True, cwd=d, check=True, stdout=subprocess.DEVNULL)
            stop_server(p, how)
            started = time.monotonic(); p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port, address=v[k]); took.append(time.monotonic() - started)
        add_row(f"start to first answer at 10 M after {name}", "≤ 1.0 s (aim 0.2 s)", spread(took) + " s", median(took) <= 1.0)
    loaded = memory(p)
    each = (loaded["RssAnon"] - empty["RssAnon"]) * 2**20 / len(v)
    add_row("index memory at 10 M addresses with 1,000 texts", "≤ 6 bytes each (aim 3)", f"{each:.2f} bytes each; whole process {loaded['VmRSS']:.0f} MB", each <= 6 and loaded["VmRSS"] <= 150)
    open(f"{tmp}/plain", "w").write("\n".join(map(ip, v)) + "\n")
    import_list(d, f"{tmp}/plain", fmt="list"); stop_server(p)
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    loaded = memory(p)
    each = (loaded["RssAnon"] - empty["RssAnon"]) * 2**20 / len(v)
    add_row("  the same with one text", "≤ 6 bytes each (aim 3)", f"{each:.2f} bytes each; whole process {loaded['VmRSS']:.0f} MB", each <= 6)
    stop_server(p); shutil.rmtree(d)

def measure_hundred_million():
    d, port = make_folder("huge", 1)
    # About every 34th address from 1.0.0.0 on. The file is written in parts, because a list of this size would not fit in memory.
    with open(f"{tmp}/huge.txt", "w") as f:
        for i in range(0, 100_000_000, 100_000):
            f.write("".join(f"{(a := 0x01000000 + (i + j) * 34 + ((i + j) * 2654435761 >> 7 & 31)) >> 24}.{a >> 16 & 255}.{a >> 8 & 255}.{a & 255}\n" for j in range(100_000)))
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port); empty = memory(p)
    took = import_list(d, f"{tmp}/huge.txt", fmt="list")
    peak = memory(p)["VmHWM"]
    listed = json.loads(subprocess.run([orbsd, "status", "--json"], cwd=d, check=True, capture_output=True, text=True).stdout)["listed"]["ipv4_hosts"]
    stop_server(p)
    started = time.monotonic(); p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port, address=0x01000000 + 50_000_000 * 34 + (50_000_000 * 2654435761 >> 7 & 31)); took2 = time.monotonic() - started
    loaded = memory(p)
    add_row("100 M addresses", "loads and answers", f"{listed:,} listed; import {took:.0f} s, at its peak {peak:,.0f} MB; start {took2:.2f} s; {(loaded['RssAnon'] - empty['RssAnon']) * 2**20 / listed:.2f} bytes each", listed > 90_000_000)
    stop_server(p); shutil.rmtree(d)

def add_criterion_rows():
    """Adds the times of commits of one address, which criterion has measured (`make bench` runs it first)."""
    for name, limit in (("one address at 10,000,000", 50), ("one address of a full /16", 50)):
        path = f"{target}/criterion/apply and publish_ {name}/new/estimates.json".replace("/16/", "_16/")
        try: us = json.load(open(path))["median"]["point_estimate"] / 1000
        except OSError: continue
        add_row(f"apply and publish of a commit: {name}", f"≤ {limit} µs (aim 10)", f"{us:.1f} µs", us <= limit)

try:
    write_data()
    d, port, orbsd_server = measure_cpu()
    measure_writes(d, orbsd_server)
    stop_server(orbsd_server)
    measure_workers(d, port)
    measure_ten_million()
    if not os.environ.get("SKIP_100M"): measure_hundred_million()
    add_criterion_rows()
    write_results("benches/RESULTS.md", "Results", open("benches/NOTES.md").read())
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
