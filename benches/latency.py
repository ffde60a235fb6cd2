#!/usr/bin/env python3
"""Measures the latency of queries while listings arrive and while mirrors transfer a zone; writes benches/LATENCY.md.

Usage: latency.py TARGET. TARGET is the cargo target directory, with a release build and the examples. benches/NOTES-LATENCY.md
says how it measures. The environment variables WINDOWS (200, of each kind), ENTRIES (1000000, of each family) and BIG (10000000
addresses for the publish pause; 0 leaves it out) change the measurement. KEEP names a folder in which lists and stores are kept
for further runs.
"""
from families import *

WINDOWS = int(os.environ.get("WINDOWS", 200))
BIG = int(os.environ.get("BIG", 10_000_000))
KEEP = os.environ.get("KEEP")
WINDOW, GAP = 0.06, 0.04  # seconds of a window, and of the pause before it, in which the work starts or stops
TRANSFER_GAP = 0.2  # the same for transfers: the server fills the buffers of stopped mirrors
LISTINGS, BATCH = 5000, 25  # listings a second, and those that the client sends at once
MIRRORS = 4
SERVER, LOAD = "0", "1"  # the cores


def shield():
    """Gives this process and its children nearly all of the time of both cores against other processes of the machine, if it may: so what
    other processes do changes the figures little. The priorities among its children stay as they are."""
    for folder, file, value in (("/sys/fs/cgroup/cpu", "cpu.shares", "262144"), ("/sys/fs/cgroup", "cpu.weight", "10000")):
        group = f"{folder}/orbsd-bench-{os.getpid()}"
        try:
            os.mkdir(group)
            open(f"{group}/{file}", "w").write(value)
            open(f"{group}/cgroup.procs", "w").write(str(os.getpid()))
            return lambda: (open(f"{folder}/cgroup.procs", "w").write(str(os.getpid())), time.sleep(0.2), os.rmdir(group))
        except OSError:
            try: os.rmdir(group)
            except OSError: pass
    return lambda: None


def idle_process(work):
    """Runs `work` in a child process on the server's core that only gets time that nothing else uses: a client is not part of the
    measurement."""
    pid = os.fork()
    if pid: return pid
    os.sched_setaffinity(0, {int(SERVER)}); os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try: work()
    finally: os._exit(0)


class Listings:
    """A client that sends new listings in one stream while it is switched on."""
    gap = GAP
    at = 0x2d000000
    def __init__(self, d):
        self.d = d
        end, self.control = os.pipe()
        self.counts, write = os.pipe()
        self.pid = idle_process(lambda: (os.close(self.control), self.send(end, write)))
        os.close(end); os.close(write)
    def send(self, control, counts):
        os.set_blocking(control, False)
        api = Api(self.d).s
        acked, sent, on, due, last = [0], 0, False, 0.0, time.monotonic()
        def count():
            for piece in iter(lambda: api.recv(65536), b""): acked[0] += piece.count(b'"status":201')
        api.sendall(b"POST /v1/bulk HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        threading.Thread(target=count, daemon=True).start()
        while True:
            try: command = os.read(control, 64)[-1:]
            except BlockingIOError: command = None
            if command == b"": break
            if command is not None: on, last = command == b"1", time.monotonic()
            if on:
                now = time.monotonic(); due += (now - last) * LISTINGS; last = now
                while due >= BATCH:
                    lines = b"".join(listing(Listings.at + sent + i) + b"\n" for i in range(BATCH))
                    api.sendall(b"%x\r\n%s\r\n" % (len(lines), lines)); sent += BATCH; due -= BATCH
            time.sleep(0.002)
        api.sendall(b"0\r\n\r\n"); time.sleep(0.5)
        os.write(counts, json.dumps([sent, acked[0]]).encode())
    def switch(self, on): os.write(self.control, b"1" if on else b"0")
    def stop(self):
        """Returns the number of listings a second of the time in which it was switched on."""
        os.close(self.control); sent, acked = json.loads(os.read(self.counts, 100)); os.close(self.counts); os.waitpid(self.pid, 0)
        Listings.at += sent
        if sent != acked: sys.exit(f"{acked} of {sent} listings were acknowledged")
        return sent / (WINDOWS * (WINDOW + GAP))


class Mirrors:
    """Mirrors that transfer the zone again and again while they are switched on."""
    gap = TRANSFER_GAP
    def __init__(self, port):
        drain = f"{built}/examples/drain"
        self.output = tempfile.TemporaryFile(dir=tmp, mode="w+")
        self.all = [subprocess.Popen(["chrt", "-i", "0", "taskset", "-c", SERVER, drain, f"127.0.0.1:{port}", "bl.example", "--repeat"], stdout=self.output) for _ in range(MIRRORS)]
        children.extend(self.all)
        time.sleep(0.3)
    def switch(self, on):
        for p in self.all: p.send_signal(signal.SIGCONT if on else signal.SIGSTOP)
    def stop(self):
        """Returns the number of bytes of the transfers that were completed."""
        for p in self.all: p.kill(); p.wait(); children.remove(p)
        self.output.seek(0); transfers = [json.loads(l) for l in self.output if l.endswith("}\n")]
        if not all(t["complete"] for t in transfers): sys.exit("a transfer was cut off")
        return sum(t["bytes"] for t in transfers)


def query_thread(p):
    """Returns the file with the times of the thread that answers queries: on the core, and waiting for it."""
    tasks = f"/proc/{p.pid}/task"
    # The thread for deferred replies has the same name, and has done nothing.
    files = [f"{tasks}/{tid}/schedstat" for tid in os.listdir(tasks) if open(f"{tasks}/{tid}/comm").read().strip() == "udp-0"]
    return max(files, key=lambda f: int(open(f).read().split()[0]))


def measure_windows(p, port, queries, rate, client):
    """Sends queries at a steady rate, and switches a client off and on for each window. Returns the quiet windows and the busy ones."""
    args = ["taskset", "-c", LOAD, load, f"127.0.0.1:{port}", queries, "--rate", str(rate), "--windows", str(2 * WINDOWS), "--seconds", str(WINDOW), "--gap", str(client.gap), "--window", "2048"]
    run = subprocess.Popen(args, stdout=subprocess.PIPE, text=True); children.append(run)
    started = json.loads(run.stdout.readline())["started"]
    times, until = query_thread(p), lambda t: time.sleep(max(0, t - time.monotonic()))
    read_times = lambda: [int(x) for x in open(times).read().split()]
    spans = []
    for n in range(2 * WINDOWS):
        begin = started + n * (WINDOW + client.gap)
        until(begin); client.switch(n % 2 == 1)
        until(begin + client.gap - 0.001); before = read_times()
        until(begin + client.gap + WINDOW); spans.append([b - a for a, b in zip(before, read_times())])
    client.switch(False)
    windows = json.loads(run.stdout.readline())["windows"]; run.wait(); children.remove(run)
    for w, (cpu, waiting, _) in zip(windows, spans): w["cpu"], w["waiting"] = cpu / 1e7 / WINDOW, waiting / 1e7 / WINDOW
    return windows[::2], windows[1::2]


def quartiles(windows, key):
    q = statistics.quantiles([w[key] for w in windows], n=4)
    return q[1], f"{q[1]:,.0f} µs ({q[0]:,.0f}–{q[2]:,.0f})"


def add_latency_rows(what, limit, quiet, busy, note):
    a, b = quartiles(quiet, "p99"), quartiles(busy, "p99")
    add_row(f"{what}: query p99, against none", limit, f"{b[0] / a[0]:.2f} × ({b[1]} against {a[1]}; {note})", b[0] / a[0] <= 1.5)
    for key, name in (("p50", "median"), ("p90", "p90"), ("p999", "p99.9"), ("max", "longest")):
        a, b = quartiles(quiet, key), quartiles(busy, key)
        add_row(f"  {name}", "–", f"{b[0] / max(1, a[0]):.2f} × ({b[1]} against {a[1]})", None)
    share = lambda key: f"{median(w[key] for w in busy):.1f} % against {median(w[key] for w in quiet):.1f} %"
    lost = lambda v: sum(w["unanswered"] for w in v)
    add_row("  the query thread: on the core; waiting for it", "–", f"{share('cpu')}; {share('waiting')} of the time", None)
    add_row("  the load: longest stall in a window; queries without an answer", "–", f"{quartiles(busy, 'stall')[1]} against {quartiles(quiet, 'stall')[1]}; {lost(busy)} against {lost(quiet)}", None)


def kept_folder(name, make):
    """Makes a folder with a configuration and a store, or copies a kept one. Returns the folder and its port."""
    kept = KEEP and f"{KEEP}/{name}"
    if not kept or not os.path.exists(kept):
        d, port = make()
        if not kept: return d, port
        shutil.copytree(d, kept, ignore=shutil.ignore_patterns("run"))
        for f in os.listdir(tmp):
            if os.path.isfile(f"{tmp}/{f}"): shutil.copy(f"{tmp}/{f}", KEEP)
        shutil.rmtree(d)
    d, port = f"{tmp}/{name}", free_port()
    shutil.copytree(kept, d)
    for f in os.listdir(KEEP):
        if os.path.isfile(f"{KEEP}/{f}"): shutil.copy(f"{KEEP}/{f}", tmp)
    config = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", open(f"{d}/config.toml").read())
    open(f"{d}/config.toml", "w").write(config)
    return d, port


def start_pinned(d, port):
    p = start([orbsd, "serve"], SERVER, cwd=d); wait_for_answer(port); wait_until_idle(p)
    return p


def make_families():
    write_lists()
    d, port, p = start_orbsd(); stop_server(p); rows.clear()
    with open(d + "/zones/bl.toml", "a") as f: f.write('[transfer]\nallow = ["127.0.0.0/8"]\n')
    return d, port


def make_big():
    d, port = make_folder("big", 1)
    v = sample_hosts(BIG)
    with open(f"{tmp}/big.txt", "w") as f:
        for i in range(0, len(v), 100_000): f.write("".join(ip(a) + "\n" for a in v[i:i + 100_000]))
    open(f"{tmp}/q-big", "w").write("".join(f"{rev(RANDOM.choice(v) if i % 2 else public_address())}.bl.example A\n" for i in range(400_000)))
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    import_list(d, f"{tmp}/big.txt", fmt="list"); wait_until_idle(p); stop_server(p)
    os.unlink(f"{tmp}/big.txt")
    return d, port


def half_load(p, port, queries):
    """Returns the queries a second at which the query thread is on its core half of the time, by its share at a moderate rate."""
    rate, shares = 20_000, []
    run_load(port, queries, check=False, secs=0.5); times = query_thread(p)
    for _ in range(5):
        before = int(open(times).read().split()[0])
        run_load(port, queries, check=False, secs=0.5, rate=rate)
        shares.append((int(open(times).read().split()[0]) - before) / 0.5e9)
    return rate * 0.5 / median(shares)


def publish_times(d, kind):
    """Returns the number of commits, the longest time, and the upper bounds of the buckets with the median and the 99.9th percentile, in µs."""
    s = socket.socket(socket.AF_UNIX); s.connect(d + "/run/orbsd.sock")
    s.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
    buckets = [(float(b) * 1e6, int(float(n))) for b, n in re.findall(rf'(?m)^orbsd_{kind}_seconds_bucket{{le="([^"]+)"}} (\S+)', text)]
    count, longest = buckets[-1][1], float(re.search(rf"(?m)^orbsd_{kind}_max_seconds (\S+)", text)[1]) * 1e6
    bound = lambda p: next(b for b, n in buckets if n >= count * p)
    return count, longest, bound(0.5), bound(0.999)


def measure_publishing():
    # A store on a disk: what the writer does is the same, and the pauses of the disk are not part of a publish pause.
    d, port = kept_folder("big", make_big)
    p, queries = start_pinned(d, port), f"{tmp}/q-big"
    rate = half_load(p, port, queries)
    client = Listings(d)
    quiet, busy = measure_windows(p, port, queries, rate, client)
    add_latency_rows(f"{LISTINGS:,} listings each second in a list of {BIG:,}", "–", quiet, busy, f"{client.stop():,.0f} listings/s")
    count, longest, half, nearly = publish_times(d, "publish_cpu")
    add_row(f"longest publish pause at {BIG:,} under that stream: CPU time of the writer for one commit", "≤ 200 µs (aim 50)", f"{longest:.0f} µs (median ≤ {half:.0f} µs, p99.9 ≤ {nearly:.0f} µs; {count:,} commits)", longest <= 200)
    count, longest, half, nearly = publish_times(d, "publish")
    add_row("  the same on the clock, with the time in which the queries have the core", "–", f"{longest:.0f} µs (median ≤ {half:.0f} µs, p99.9 ≤ {nearly:.0f} µs)", None)
    stop_server(p); shutil.rmtree(d)


def measure_families():
    d, port = kept_folder("families", make_families)
    p, queries = start_pinned(d, port), f"{tmp}/q-mix-A"
    rate = half_load(p, port, queries)
    add_row("half load", "–", f"{rate:,.0f} queries/s", None)
    client = Mirrors(port)
    quiet, busy = measure_windows(p, port, queries, rate, client)
    add_latency_rows(f"{MIRRORS} AXFRs at half load", "≤ 1.5 × (aim 1.1)", quiet, busy, f"{client.stop() / 1e6 / WINDOWS / (WINDOW + client.gap):.0f} MB/s")
    stop_server(p)
    memory = tempfile.mkdtemp(prefix="orbsd-bench-", dir="/dev/shm")
    try:
        for folder, where in ((shutil.copytree(d, f"{memory}/families"), "memory"), (d, "the disk")):
            p = start_pinned(folder, port); run_load(port, queries, check=False, secs=0.5)
            client = Listings(folder)
            quiet, busy = measure_windows(p, port, queries, rate, client)
            add_latency_rows(f"{LISTINGS:,} listings each second at half load, the store in {where}" if where == "memory" else "  the same, the store on the disk", "≤ 1.5 × (aim 1.1)", quiet, busy, f"{client.stop():,.0f} listings/s")
            stop_server(p)
    finally:
        shutil.rmtree(memory, ignore_errors=True)
    shutil.rmtree(d)


def main():
    unshield = shield()
    try:
        measure_families()
        if BIG: measure_publishing()
        write_results("benches/LATENCY.md", "Latency of queries during writes and transfers", open("benches/NOTES-LATENCY.md").read() if os.path.exists("benches/NOTES-LATENCY.md") else "")
    finally:
        for p in children: p.kill(); p.wait()
        shutil.rmtree(tmp, ignore_errors=True)
        unshield()


if __name__ == "__main__": main()
