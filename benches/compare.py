#!/usr/bin/env python3
"""Measures orbsd against rbldnsd and an echo without look-up, in turn, in one run; writes benches/RESULTS.md.

compare.py TARGET: the cargo target directory, with a release build, the examples, and TARGET/peers (make peers).
Servers are pinned to one core and the load to another; figures are medians of interleaved pairs, with their spread.
ROUNDS (9) and SECONDS (2) make it longer or shorter; SKIP_100M=1 leaves the hundred million out.
"""
import json, os, platform, random, re, shutil, signal, socket, statistics, struct, subprocess, sys, tempfile, threading, time

target = sys.argv[1]
orbsd, load, echo = f"{target}/release/orbsd", f"{target}/release/examples/load", f"{target}/release/examples/echo"
root = f"{os.environ.get('ORBSD_PEERS', target + '/peers')}/root"
rounds, seconds = max(3, int(os.environ.get("ROUNDS", 9))), float(os.environ.get("SECONDS", 2))
tmp = tempfile.mkdtemp(prefix="orbsd-bench-", dir=os.environ.get("BENCH_DIR", target))
os.chmod(tmp, 0o755)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends too
R = random.Random(7)
ip = lambda a: socket.inet_ntoa(struct.pack(">I", a))
rev = lambda a: socket.inet_ntoa(struct.pack("<I", a))
rows, children = [], []
m = statistics.median
RELAY = "Open relay, see https://bl.example/lookup?ip=$"
SPECIAL = (0, 10, 100, 127, 169, 172, 192, 198, 203)

def public():
    while True:
        a = R.getrandbits(32)
        if a >> 24 < 224 and a >> 24 not in SPECIAL: return a

def free():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]; s.close()
    return port

def folder(name, workers):
    d, port = f"{tmp}/{name}", free()
    os.makedirs(d + "/zones")
    open(d + "/config.toml", "w").write(f'[dns]\nlisten = ["127.0.0.1:{port}"]\nworkers = {workers}\n[[reason]]\nname = "relay"\ntext = "{RELAY}"\n')
    open(d + "/zones/bl.toml", "w").write('origin = "bl.example"\nkind = "address"\nns = ["ns1.bl.example"]\ncontact = "hostmaster@bl.example"\npublish = [{ reason = "relay", code = "127.0.0.2" }]\n')
    return d, port

def start(args, cpus, **more):
    p = subprocess.Popen(["taskset", "-c", cpus, *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    children.append(p)
    return p

def answers(port, limit=600, address=None):
    """Waits until a server answers; with an address, until that is listed. How long it took."""
    name = f"{rev(address)}.bl.example" if address else "2.0.0.127.bl.example"
    q = b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0\0\1\0\1"
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.02)
    begun = time.monotonic()
    while time.monotonic() - begun < limit:
        try:
            s.sendto(q, ("127.0.0.1", port)); r = s.recv(600)
            if address is None or (r[3] & 15 == 0 and r[7] > 0): return time.monotonic() - begun
        except OSError: pass
        time.sleep(0.001)
    sys.exit(f"nobody answers on port {port}")

def end(p, how=signal.SIGTERM):
    p.send_signal(how); p.wait(); children.remove(p)

def settle(p):
    """Until a server has used no processor for a second: what follows an import is over."""
    spent = lambda: sum(int(x) for x in open(f"/proc/{p.pid}/stat").read().rsplit(")", 1)[1].split()[11:13])
    last, quiet = spent(), 0
    while quiet < 2:
        time.sleep(0.5)
        quiet = quiet + 1 if spent() - last <= 1 else 0
        last = spent()

def run(port, queries, cpu="1", secs=seconds, check=True, **o):
    args = ["taskset", "-c", cpu, load, f"127.0.0.1:{port}", queries, "--seconds", str(secs)]
    for k, v in o.items(): args += [f"--{k}", str(v)]
    r = json.loads(subprocess.run(args, check=True, capture_output=True, text=True).stdout)
    # A server that is quick because it answers nonsense is no peer.
    if check and (r["other"] or not 0.4 < r["listed"] / max(1, r["got"]) < 0.6): sys.exit(f"wrong answers on port {port}: {r}")
    return r

def memory(p):
    return {k: int(v.split()[0]) / 1024 for k, v in (l.split(":", 1) for l in open(f"/proc/{p.pid}/status") if l.startswith(("VmRSS", "RssAnon", "VmHWM")))}

def spread(v, digits=3): return f"{m(v):.{digits}f} ({min(v):.{digits}f}–{max(v):.{digits}f})"

def row(what, must, figure, held):
    rows.append((what, must, figure, {True: "yes", False: "**no**", None: "–"}[held])); print(f"{what}: {figure} [{must}]", flush=True)

class Api:
    def __init__(self, d):
        self.s = socket.socket(socket.AF_UNIX); self.s.connect(d + "/data/orbsd.sock")
    def post(self, path, body):
        self.s.sendall(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (path.encode(), len(body), body))
        got = b""
        while b"\r\n\r\n" not in got: got += self.s.recv(4096)
        head, rest = got.split(b"\r\n\r\n", 1)
        n = int([l for l in head.lower().split(b"\r\n") if l.startswith(b"content-length")][0].split(b":")[1])
        while len(rest) < n: rest += self.s.recv(4096)
        if not head.startswith(b"HTTP/1.1 20"): sys.exit(f"{path}: {head} {rest}")

def listing(a): return json.dumps({"subject": ip(a), "reason": "relay"}).encode()

def imported(d, *files, fmt="rbldnsd"):
    begun = time.monotonic()
    subprocess.run([orbsd, "import", "--source", "bench", "--reason", "relay", "--format", fmt, "--special", *files], cwd=d, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun

def data():
    """One million hosts, 20,000 prefixes, 100,000 IPv6 networks; half of the queries hit."""
    hosts = sorted({public() for _ in range(1_000_000)})
    nets = sorted({(public() & (0xffffffff << (32 - n)) & 0xffffffff, n) for n in R.choices([24] * 8 + [22, 20, 25, 26, 28, 16], k=20_000)})
    six = sorted({R.getrandbits(60) | 2 << 60 for _ in range(100_000)})
    group = lambda a: ":".join(f"{a >> s & 0xffff:x}" for s in (48, 32, 16, 0)) + "::/64"
    head = f"$SOA 300 ns1.bl.example hostmaster.bl.example 1 600 300 604800 60\n$NS 300 ns1.bl.example\n$TTL 300\n:127.0.0.2:{RELAY}\n"
    open(f"{tmp}/ip4", "w").write(head + "127.0.0.2\n" + "".join(ip(a) + "\n" for a in hosts) + "".join(f"{ip(a)}/{n}\n" for a, n in nets))
    open(f"{tmp}/ip6", "w").write(head + "".join(group(a) + "\n" for a in six))
    open(f"{tmp}/q", "w").write("".join(f"{rev(R.choice(hosts) if i % 2 else public())}.bl.example A\n" for i in range(500_000)))
    for f in ("ip4", "ip6", "q"): os.chmod(f"{tmp}/{f}", 0o644)
    return hosts

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
    turns = [("orbsd", port, ours, True), ("rbldnsd", rport, theirs, True), ("echo", eport, kernel, False)]
    figures = {name: [] for name, *_ in turns}
    for i in range(rounds):
        for name, p, process, check in turns[i % 3:] + turns[:i % 3]: figures[name].append(run(p, f"{tmp}/q", check=check, pid=process.pid))
    cpu = {k: [x["cpu"] for x in v] for k, v in figures.items()}
    to_peer = [a / b for a, b in zip(cpu["orbsd"], cpu["rbldnsd"])]
    to_echo = [a / b for a, b in zip(cpu["orbsd"], cpu["echo"])]
    row("CPU per UDP query against rbldnsd ip4trie", "≤ 0.82 × (aim 0.75)", spread(to_peer) + " ×", m(to_peer) <= 0.82)
    row("CPU per UDP query against the echo without look-up", "≤ 1.10 × (aim 1.03)", spread(to_echo) + " ×", m(to_echo) <= 1.10)
    for k, v in figures.items():
        row(f"  {k}: CPU µs a query; answers a second on one core; lost", "–", f"{m(cpu[k]):.2f}; {m([x['qps'] for x in v]):,.0f}; {sum(x['lost'] for x in v)}", None)
    end(theirs); end(kernel)
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

def hosts(n):
    """Sorted public addresses, without the range that listings one by one use."""
    v = sorted(set(R.sample(range(1 << 24, 224 << 24), int(n * 1.13))))
    return [a for a in v if a >> 24 not in (*SPECIAL, 0x2d, 0x2e)][:n]

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

def write():
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    disk = subprocess.run(["stat", "-f", "-c", "%T", tmp], capture_output=True, text=True).stdout.strip()
    text = f"# Results\n\nWritten by `make bench` ({time.strftime('%Y-%m-%d')}, {cpu}, {os.cpu_count()} cores, Linux {platform.release()}, {disk}; medians of {rounds} interleaved rounds, lowest and highest in brackets). Runs on a shared machine differ; only ratios from one run are compared.\n\n| what | must | measured | holds |\n| --- | --- | --- | --- |\n"
    text += "".join(f"| {a} | {b} | {c} | {h} |\n" for a, b, c, h in rows)
    text += "\n" + open("benches/NOTES.md").read()
    open("benches/RESULTS.md", "w").write(text)

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
    write()
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
