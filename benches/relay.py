#!/usr/bin/env python3
"""Measures relay tests under load; writes benches/RELAY.md.

Usage: relay.py TARGET. TARGET is the cargo target directory, with a release build and the examples. The daemon tests 1,000 hosts at
the same time (TESTS); then 5,000 sessions submit messages to the collector (SESSIONS). Measured are the memory of both, and the
CPU time of a query meanwhile.
"""
import asyncio, multiprocessing
from common import *

TESTS, SESSIONS = int(os.environ.get("TESTS", 1000)), int(os.environ.get("SESSIONS", 5000))

def servers(port, counted):
    """Runs closed mail servers on every address of this machine, in one process. Counts connections (0: the most at a time) and lines (1)."""
    most = open_now = 0
    async def talk(r, w):
        nonlocal most, open_now
        open_now += 1; most = max(most, open_now); counted[0] = most
        try:
            w.write(b"220 mx ESMTP\r\n")
            while line := await r.readline():
                counted[1] += 1
                v = line[:4].upper()
                w.write(b"550 no\r\n" if v == b"RCPT" else b"221 bye\r\n" if v == b"QUIT" else b"250 ok\r\n")
        except OSError: pass
        open_now -= 1; w.close()
    async def main():
        s = await asyncio.start_server(talk, "0.0.0.0", port, backlog=4096)
        await s.serve_forever()
    asyncio.run(main())

def senders(to, port, n, counted, stop):
    """Runs sessions that submit a message with an invalid token every five seconds. Counts sessions (0) and messages (1)."""
    message = b"Received: by x\r\nSubject: x\r\n\r\n" + b"x" * 1500 + b"\r\n.\r\n"
    async def one(i):
        r, w = await asyncio.open_connection(to, port, local_addr=(f"127.{70 + i % 100}.{i // 100 % 250}.1", 0))
        await r.readline(); counted[0] += 1
        w.write(b"EHLO x\r\n")
        while (await r.readline())[3:4] == b"-": pass
        while not stop.value:
            for c in (b"MAIL FROM:<>\r\n", b"RCPT TO:<tokenless@probe.example>\r\n", b"DATA\r\n", message):
                w.write(c); await r.readline()
            counted[1] += 1
            await asyncio.sleep(5)
    async def main(): await asyncio.gather(*(one(i) for i in range(n)), return_exceptions=True)
    asyncio.run(main())

def process(f, *args):
    p = multiprocessing.Process(target=f, args=args, daemon=True); p.start(); os.sched_setaffinity(p.pid, {1})
    return p

def main():
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    d, port = make_folder("relay", 1)
    mx, collect = free_port(), free_port()
    reasons = "".join(f'[[reason]]\nname = "{r}"\ntext = "x"\n' for r in ("input", "output", "unconfirmed", "notest"))
    with open(d + "/config.toml", "a") as f:
        f.write(f'{reasons}[limits]\nallow_special_ranges = ["127.64.0.0/10"]\n[http_client]\nresolvers = ["127.0.0.1:1"]\n[collector]\nlisten = ["127.0.0.1:{collect}"]\npublic_addresses = ["127.0.0.1"]\n[probe]\nenabled = true\ndomain = "probe.example"\npause = "1s"\nmin_duration = "0s"\ncollect_wait = "1s"\nconcurrency = {TESTS}\nmax_hosts_per_prefix = 100\nmax_hosts_per_asn = 10000\nports = [{mx}, 1, 1]\n')
    queries = f"{tmp}/q"
    hit = [public_address() for _ in range(20_000)]
    open(queries, "w").write("".join(f"{rev(RANDOM.choice(hit) if i % 2 else public_address())}.bl.example A\n" for i in range(200_000)))
    open(f"{tmp}/list", "w").write("".join(ip(a) + "\n" for a in hit))
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    import_list(d, f"{tmp}/list", fmt="list"); wait_until_idle(p)
    worker = lambda: sum(int(x) for x in open(next(f"/proc/{p.pid}/task/{i}/stat" for i in os.listdir(f"/proc/{p.pid}/task") if open(f"/proc/{p.pid}/task/{i}/comm").read().strip() == "udp-0")).read().rsplit(")", 1)[1].split()[11:13]) * 10_000
    def cost():
        before = worker(); r = run_load(port, queries, rate=60_000)
        return (worker() - before) / r["answers"]
    base = memory(p)["VmRSS"]
    calm = [cost() for _ in range(rounds)]
    counted = multiprocessing.Array("i", 2)
    process(servers, mx, counted)
    api = Api(d)
    started = time.monotonic()
    for i in range(TESTS):
        api.post("/v1/nominations", json.dumps({"target": f"127.{64 + i // 250}.{i % 250}.1", "evidence": f"line {i}", "kind": "log"}).encode())
    took = time.monotonic() - started
    deadline = time.monotonic() + 60
    while counted[0] < TESTS * 0.95 and time.monotonic() < deadline: time.sleep(0.5)
    busy, peak = [], 0
    for _ in range(rounds):
        busy.append(cost()); peak = max(peak, memory(p)["VmRSS"])
    add_row("hosts tested at the same time", f"{TESTS:,}", f"{counted[0]:,}; nominated at {TESTS / took:,.0f}/s, each synced", counted[0] >= TESTS * 0.95)
    add_row("memory of the whole process while they are", "bounded", f"{peak:.0f} MB ({(peak - base) * 1024 / TESTS:.0f} KB a test; {base:.0f} MB before)", (peak - base) / TESTS < 0.25)
    ratio = median(busy) / median(calm)
    add_row("CPU of the DNS worker per query while they are, against none", "≤ 1.10 ×", f"{ratio:.3f} × ({spread(busy, 2)} µs against {spread(calm, 2)} µs)", ratio <= 1.10)
    stop_server(p)
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port); time.sleep(1)
    base = memory(p)["VmRSS"]
    calm = [cost() for _ in range(rounds)]
    stop, submitted = multiprocessing.Value("i", 0), multiprocessing.Array("i", 2)
    process(senders, "127.0.0.1", collect, SESSIONS, submitted, stop)
    deadline = time.monotonic() + 60
    while submitted[0] < SESSIONS * 0.99 and time.monotonic() < deadline: time.sleep(0.5)
    busy, peak, before, started = [], 0, submitted[1], time.monotonic()
    for _ in range(rounds):
        busy.append(cost()); peak = max(peak, memory(p)["VmRSS"])
    rate = (submitted[1] - before) / (time.monotonic() - started)
    add_row("sessions at the collector at the same time", f"{SESSIONS:,}", f"{submitted[0]:,}; {rate:,.0f} messages assessed a second", submitted[0] >= SESSIONS * 0.99)
    add_row("memory of the whole process with them", "bounded", f"{peak:.0f} MB ({(peak - base) * 1024 / SESSIONS:.0f} KB a session; {base:.0f} MB before)", (peak - base) / SESSIONS < 0.1)
    ratio = median(busy) / median(calm)
    add_row("CPU of the DNS worker per query with them, against none", "≤ 1.10 ×", f"{ratio:.3f} × ({spread(busy, 2)} µs against {spread(calm, 2)} µs)", ratio <= 1.10)
    stop.value = 1
    stop_server(p)
    write_results("benches/RELAY.md", "Relay tests under load")

try: main()
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
