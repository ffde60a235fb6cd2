#!/usr/bin/env python3
"""Measures recent log-ins in a volatile zone; writes benches/LOGINS.md.

Usage: logins.py TARGET. TARGET is the cargo target directory, with a release build and the examples. The environment variables
ROUNDS (9) and SECONDS (2) change the number and the length of the rounds.
"""
from common import *

http = f"{built}/examples/http"
ORIGIN, RATE, CONNECTIONS, MOST = "logins.example", 5000, 16, 1 << 20

NOTE = f"""A log-in is one request over a persistent connection, of {CONNECTIONS}, with one new address. Its time counts from the moment at which it was due until a query over UDP, sent as soon as the response has come, is answered with the address; a missing address is an error. Client and server share the cores.

The zone is empty at first, and then full: each new log-in evicts another one. The row *threads that do nothing* is the control: the same client, at the same rate and in the same rounds, against threads that answer each report and each query at once. The last row compares a server that has a volatile zone with one that has none, by queries for a plain zone of {{:,}} addresses.
"""

def make_logins_folder(name, has_logins):
    d, port = make_folder(name, 1)
    web = free_port()
    config = open(d + "/config.toml").read().replace('listen = ""', f'listen = "127.0.0.1:{web}"')
    open(d + "/config.toml", "w").write(config)
    if has_logins:
        open(d + "/zones/logins.toml", "w").write(f'origin = "{ORIGIN}"\nkind = "address"\nns = ["ns1.bl.example"]\ncontact = "hostmaster@bl.example"\ndurability = "volatile"\n[query]\nallow = ["127.0.0.1"]\n[logins]\nallow = ["bench"]\nlifetime = "24h"\n')
    return d, port, web

def serve(d, port):
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    return p

def resident_mb(p):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{p.pid}/status").read())[1]) / 1024

def log_in(web, token, *target):
    """Reports log-ins at a steady rate. Returns the 99th percentile of their times in milliseconds, the median, and the rate."""
    kind, *target = target
    args = [http, f"127.0.0.1:{web}", token, kind, CONNECTIONS, RATE, seconds, *target]
    r = json.loads(subprocess.run(list(map(str, args)), check=True, capture_output=True, text=True).stdout)
    if r["wrong_answers"]: sys.exit(f"wrong answers: {r}")
    return r["p99"], r["median"], r["count"] / r["seconds"]

def fill(web, token):
    """Reports as many addresses as the zone holds, in requests of 1,000."""
    s = socket.create_connection(("127.0.0.1", web)); replies = s.makefile("rb")
    for i in range(0, MOST, 1000):
        body = json.dumps({"addresses": [ip(0x0b000000 + a) for a in range(i, min(i + 1000, MOST))]}).encode()
        s.sendall(b"POST /v1/zones/logins/logins HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\ncontent-length: %d\r\n\r\n" % (token.encode(), len(body)) + body)
        status, length = replies.readline(), 0
        while (line := replies.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"): length = int(line.split(b":")[1])
        replies.read(length)
        if b" 200 " not in status: sys.exit(f"a report was refused: {status}")

def measure_logins():
    d, port, web = make_logins_folder("logins", True)
    p = serve(d, port)
    token = subprocess.run([orbsd, "token", "create", "--owner", "bench", "--role", "login"], cwd=d, check=True, capture_output=True, text=True).stdout.strip()
    for what in ("an empty zone", f"a full zone ({MOST:,})"):
        if what != "an empty zone":
            before = resident_mb(p); fill(web, token); grown = resident_mb(p) - before
            add_row(f"memory of {MOST:,} log-ins", "–", f"{grown:.0f} MB", None)
        runs, controls = [], []
        for _ in range(rounds):
            controls.append(log_in(web, token, "control"))
            runs.append(log_in(web, token, "logins", f"127.0.0.1:{port}", ORIGIN))
        p99, medians, rates = zip(*runs)
        add_row(f"log-in to answer at {RATE:,} a second, {what}, p99", "≤ 5 ms (aim 1)", f"{spread(p99, 2)} ms (median {median(medians):.2f} ms, {median(rates):,.0f}/s)", median(p99) <= 5)
        p99, medians, rates = zip(*controls)
        add_row(f"the same against threads that do nothing, p99", "–", f"{spread(p99, 2)} ms (median {median(medians):.2f} ms, {median(rates):,.0f}/s)", None)
    stop_server(p)

def measure_plain_zone(addresses=100_000):
    v = sample_hosts(addresses)
    open(f"{tmp}/list.txt", "w").write("".join(ip(a) + "\n" for a in v))
    open(f"{tmp}/q", "w").write("".join(f"{rev(RANDOM.choice(v) if i % 2 else public_address())}.bl.example A\n" for i in range(200_000)))
    servers = []
    for name, has_logins in (("plain", False), ("beside", True)):
        d, port, _ = make_logins_folder(name, has_logins)
        p = start([orbsd, "serve"], "0", cwd=d); wait_for_answer(port)
        import_list(d, f"{tmp}/list.txt", fmt="list"); wait_until_idle(p)
        servers.append((p, port))
    def cost(p, port):
        before = cpu_seconds(p); r = run_load(port, f"{tmp}/q", rate=60_000)
        return (cpu_seconds(p) - before) * 1e6 / r["answers"]
    costs = [[], []]
    for i in range(rounds):
        for n in (0, 1) if i % 2 else (1, 0): costs[n].append(cost(*servers[n]))
    ratios = [b / a for a, b in zip(*costs)]
    add_row("CPU per query of a plain zone, the server also has a volatile zone, against none", "≤ 1.05 × (aim 1.02)", f"{spread(ratios)} × ({median(costs[1]):.2f} µs against {median(costs[0]):.2f} µs)", median(ratios) <= 1.05)
    for p, _ in servers: stop_server(p)
    return addresses

try:
    measure_logins()
    write_results("benches/LOGINS.md", "Recent log-ins", NOTE.format(measure_plain_zone()))
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
