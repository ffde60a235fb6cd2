#!/usr/bin/env python3
"""Measures relay tests under load; writes benches/RELAY.md.

relay.py TARGET: the cargo target directory, with a release build and the examples. 1,000 hosts are tested at the same time, and
5,000 sessions at the collector hand messages in; what both cost a query, and the memory that they take.
"""
import asyncio, multiprocessing
from common import *

TESTS, SESSIONS = int(os.environ.get("TESTS", 1000)), int(os.environ.get("SESSIONS", 5000))

def servers(port, counted):
    """Mail servers on every address of this machine, in one process: all are closed."""
    most = now = 0
    async def talk(r, w):
        nonlocal most, now
        now += 1; most = max(most, now); counted[0] = most
        try:
            w.write(b"220 mx ESMTP\r\n")
            while line := await r.readline():
                counted[1] += 1
                v = line[:4].upper()
                w.write(b"550 no\r\n" if v == b"RCPT" else b"221 bye\r\n" if v == b"QUIT" else b"250 ok\r\n")
        except OSError: pass
        now -= 1; w.close()
    async def main():
        s = await asyncio.start_server(talk, "0.0.0.0", port, backlog=4096)
        await s.serve_forever()
    asyncio.run(main())

def senders(to, port, n, counted, stop):
    """Sessions that hand a message in every second, with a token that is none."""
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
    d, port = folder("relay", 1)
    mx, collect = free(), free()
    reasons = "".join(f'[[reason]]\nname = "{r}"\ntext = "x"\n' for r in ("input", "output", "unconfirmed", "notest"))
    with open(d + "/config.toml", "a") as f:
        f.write(f'{reasons}[limits]\nallow_special_ranges = ["127.64.0.0/10"]\n[http_client]\nresolvers = ["127.0.0.1:1"]\n[collector]\nlisten = ["127.0.0.1:{collect}"]\npublic_addresses = ["127.0.0.1"]\n[probe]\nenabled = true\ndomain = "probe.example"\npause = "1s"\nmin_duration = "0s"\ncollect_wait = "1s"\nconcurrency = {TESTS}\nmax_hosts_per_prefix = 100\nmax_hosts_per_asn = 10000\nports = [{mx}, 1, 1]\n')
    queries = f"{tmp}/q"
    hit = [public() for _ in range(20_000)]
    open(queries, "w").write("".join(f"{rev(R.choice(hit) if i % 2 else public())}.bl.example A\n" for i in range(200_000)))
    open(f"{tmp}/list", "w").write("".join(ip(a) + "\n" for a in hit))
    p = start([orbsd, "serve"], "0,1", cwd=d); answers(port)
    imported(d, f"{tmp}/list", fmt="list"); settle(p)
    worker = lambda: sum(int(x) for x in open(next(f"/proc/{p.pid}/task/{i}/stat" for i in os.listdir(f"/proc/{p.pid}/task") if open(f"/proc/{p.pid}/task/{i}/comm").read().strip() == "udp-0")).read().rsplit(")", 1)[1].split()[11:13]) * 10_000
    def cost():
        before = worker(); r = run(port, queries, rate=60_000)
        return (worker() - before) / r["got"]
    base = memory(p)["VmRSS"]
    calm = [cost() for _ in range(rounds)]
    counted = multiprocessing.Array("i", 2)
    process(servers, mx, counted)
    api = Api(d)
    begun = time.monotonic()
    for i in range(TESTS):
        api.post("/v1/nominations", json.dumps({"target": f"127.{64 + i // 250}.{i % 250}.1", "evidence": f"line {i}", "kind": "log"}).encode())
    took = time.monotonic() - begun
    deadline = time.monotonic() + 60
    while counted[0] < TESTS * 0.95 and time.monotonic() < deadline: time.sleep(0.5)
    busy, peak = [], 0
    for _ in range(rounds):
        busy.append(cost()); peak = max(peak, memory(p)["VmRSS"])
    row("hosts tested at the same time", f"{TESTS:,}", f"{counted[0]:,}; nominated at {TESTS / took:,.0f}/s, each synced", counted[0] >= TESTS * 0.95)
    row("memory of the whole process while they are", "bounded", f"{peak:.0f} MB ({(peak - base) * 1024 / TESTS:.0f} KB a test; {base:.0f} MB before)", (peak - base) / TESTS < 0.25)
    ratio = m(busy) / m(calm)
    row("CPU of the DNS worker per query while they are, against none", "≤ 1.10 ×", f"{ratio:.3f} × ({spread(busy, 2)} µs against {spread(calm, 2)} µs)", ratio <= 1.10)
    end(p)
    p = start([orbsd, "serve"], "0,1", cwd=d); answers(port); time.sleep(1)
    base = memory(p)["VmRSS"]
    calm = [cost() for _ in range(rounds)]
    stop, handed = multiprocessing.Value("i", 0), multiprocessing.Array("i", 2)
    process(senders, "127.0.0.1", collect, SESSIONS, handed, stop)
    deadline = time.monotonic() + 60
    while handed[0] < SESSIONS * 0.99 and time.monotonic() < deadline: time.sleep(0.5)
    busy, peak, before, begun = [], 0, handed[1], time.monotonic()
    for _ in range(rounds):
        busy.append(cost()); peak = max(peak, memory(p)["VmRSS"])
    rate = (handed[1] - before) / (time.monotonic() - begun)
    row("sessions at the collector at the same time", f"{SESSIONS:,}", f"{handed[0]:,}; {rate:,.0f} messages assessed a second", handed[0] >= SESSIONS * 0.99)
    row("memory of the whole process with them", "bounded", f"{peak:.0f} MB ({(peak - base) * 1024 / SESSIONS:.0f} KB a session; {base:.0f} MB before)", (peak - base) / SESSIONS < 0.1)
    ratio = m(busy) / m(calm)
    row("CPU of the DNS worker per query with them, against none", "≤ 1.10 ×", f"{ratio:.3f} × ({spread(busy, 2)} µs against {spread(calm, 2)} µs)", ratio <= 1.10)
    stop.value = 1
    end(p)
    results("benches/RELAY.md", "Relay tests under load")

try: main()
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
