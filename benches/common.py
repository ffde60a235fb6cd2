"""Shared code of the benchmarks: starts servers as child processes, sends load, reads memory, and writes a table of results.

The first argument of a script that imports this is TARGET, the cargo target directory. It has a release build, the examples,
and TARGET/peers.
"""
import json, os, platform, random, re, shutil, signal, socket, statistics, struct, subprocess, sys, tempfile, threading, time

target = sys.argv[1]
built = f"{target}/{os.environ.get('PROFILE', 'release')}"
orbsd, load, echo, hickory = f"{built}/orbsd", f"{built}/examples/load", f"{built}/examples/echo", f"{built}/examples/hickory"
root = f"{os.environ.get('ORBSD_PEERS', target + '/peers')}/root"
rounds, seconds = int(os.environ.get("ROUNDS", 9)), float(os.environ.get("SECONDS", 2))
tmp = tempfile.mkdtemp(prefix="orbsd-bench-", dir=os.environ.get("BENCH_DIR", target))
os.chmod(tmp, 0o755)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the child processes are killed too
RANDOM = random.Random(7)
ip = lambda a: socket.inet_ntoa(struct.pack(">I", a))
rev = lambda a: socket.inet_ntoa(struct.pack("<I", a))
rows, children = [], []
median = statistics.median
RELAY = "Open relay, see https://bl.example/lookup?ip=$"
SPECIAL = (0, 10, 100, 127, 169, 172, 192, 198, 203)

def public_address():
    while True:
        a = RANDOM.getrandbits(32)
        if a >> 24 < 224 and a >> 24 not in SPECIAL: return a

def free_port():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]; s.close()
    return port

def make_folder(name, workers):
    d, port = f"{tmp}/{name}", free_port()
    os.makedirs(d + "/zones")
    open(d + "/config.toml", "w").write(f'[admin]\nlisten = ""\n[dns]\nlisten = ["127.0.0.1:{port}"]\nworkers = {workers}\n[[reason]]\nname = "relay"\ntext = "{RELAY}"\n')
    open(d + "/zones/bl.toml", "w").write('origin = "bl.example"\nkind = "address"\nns = ["ns1.bl.example"]\ncontact = "hostmaster@bl.example"\npublish = [{ reason = "relay", code = "127.0.0.2" }]\n')
    return d, port

def start(args, cpus, **more):
    p = subprocess.Popen(["taskset", "-c", cpus, *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    children.append(p)
    return p

def wait_for_answer(port, limit=600, address=None):
    """Waits until a server answers; with an address, until the address is listed. Returns the seconds of the wait."""
    name = f"{rev(address)}.bl.example" if address else "2.0.0.127.bl.example"
    q = b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0\0\1\0\1"
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.02)
    started = time.monotonic()
    while time.monotonic() - started < limit:
        try:
            s.sendto(q, ("127.0.0.1", port)); r = s.recv(600)
            if address is None or (r[3] & 15 == 0 and r[7] > 0): return time.monotonic() - started
        except OSError: pass
        time.sleep(0.001)
    sys.exit(f"no server answers on port {port}")

def stop_server(p, how=signal.SIGTERM):
    p.send_signal(how)
    try: p.wait(60)
    except subprocess.TimeoutExpired: sys.exit(f"server {p.pid} does not stop: {thread_states(p)}")
    children.remove(p)

def thread_states(p):
    """The name of each thread of a server, and where it waits in the kernel."""
    read = lambda path: open(path).read().strip()
    threads = sorted(os.listdir(f"/proc/{p.pid}/task"))
    return [(read(f"/proc/{p.pid}/task/{t}/comm"), read(f"/proc/{p.pid}/task/{t}/wchan")) for t in threads]

def cpu_seconds(p):
    """The CPU time that a server has used."""
    return sum(int(x) for x in open(f"/proc/{p.pid}/stat").read().rsplit(")", 1)[1].split()[11:13]) / os.sysconf("SC_CLK_TCK")

def wait_until_idle(p):
    """Waits until a server has used no CPU for a second, so that its work after an import is done."""
    last, quiet = cpu_seconds(p), 0
    while quiet < 2:
        time.sleep(0.5)
        spent = cpu_seconds(p)
        quiet = quiet + 1 if spent - last < 0.015 else 0
        last = spent

def run_load(port, queries, cpu="1", secs=seconds, check=True, **o):
    args = ["taskset", "-c", cpu, load, f"127.0.0.1:{port}", queries, "--seconds", str(secs)]
    for k, v in o.items(): args += [f"--{k}", str(v)]
    r = json.loads(subprocess.run(args, check=True, capture_output=True, text=True).stdout)
    # A server that is fast because its answers are wrong is not a valid peer.
    if check and (r["other"] or not 0.4 < r["listed"] / max(1, r["answers"]) < 0.6): sys.exit(f"wrong answers on port {port}: {r}")
    return r

def memory(p):
    return {k: int(v.split()[0]) / 1024 for k, v in (l.split(":", 1) for l in open(f"/proc/{p.pid}/status") if l.startswith(("VmRSS", "RssAnon", "VmHWM")))}

def spread(v, digits=3): return f"{median(v):.{digits}f} ({min(v):.{digits}f}–{max(v):.{digits}f})"

def add_row(name, limit, figure, met):
    rows.append((name, limit, figure, {True: "yes", False: "**no**", None: "–"}[met])); print(f"{name}: {figure} [{limit}]", flush=True)

class Api:
    def __init__(self, d):
        self.s = socket.socket(socket.AF_UNIX); self.s.connect(d + "/run/orbsd.sock")
    def post(self, path, body):
        self.s.sendall(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (path.encode(), len(body), body))
        got = b""
        while b"\r\n\r\n" not in got: got += self.s.recv(4096)
        head, rest = got.split(b"\r\n\r\n", 1)
        n = int([l for l in head.lower().split(b"\r\n") if l.startswith(b"content-length")][0].split(b":")[1])
        while len(rest) < n: rest += self.s.recv(4096)
        if not head.startswith(b"HTTP/1.1 20"): sys.exit(f"{path}: {head} {rest}")

def listing(a): return json.dumps({"subject": ip(a), "reason": "relay"}).encode()

def import_list(d, *files, fmt="rbldnsd"):
    started = time.monotonic()
    subprocess.run([orbsd, "import", "--source", "bench", "--reason", "relay", "--format", fmt, "--allow-special-ranges", *files], cwd=d, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started

def write_data():
    """Writes lists of a million hosts, 20,000 prefixes and 100,000 IPv6 networks, and queries of which half are for listed hosts."""
    hosts = sorted({public_address() for _ in range(1_000_000)})
    nets = sorted({(public_address() & (0xffffffff << (32 - n)) & 0xffffffff, n) for n in RANDOM.choices([24] * 8 + [22, 20, 25, 26, 28, 16], k=20_000)})
    six = sorted({RANDOM.getrandbits(60) | 2 << 60 for _ in range(100_000)})
    group = lambda a: ":".join(f"{a >> s & 0xffff:x}" for s in (48, 32, 16, 0)) + "::/64"
    head = f"$SOA 300 ns1.bl.example hostmaster.bl.example 1 600 300 604800 60\n$NS 300 ns1.bl.example\n$TTL 300\n:127.0.0.2:{RELAY}\n"
    open(f"{tmp}/ip4", "w").write(head + "127.0.0.2\n" + "".join(ip(a) + "\n" for a in hosts) + "".join(f"{ip(a)}/{n}\n" for a, n in nets))
    open(f"{tmp}/ip6", "w").write(head + "".join(group(a) + "\n" for a in six))
    open(f"{tmp}/q", "w").write("".join(f"{rev(RANDOM.choice(hosts) if i % 2 else public_address())}.bl.example A\n" for i in range(500_000)))
    for f in ("ip4", "ip6", "q"): os.chmod(f"{tmp}/{f}", 0o644)
    return hosts

def sample_hosts(n):
    """Returns `n` sorted public addresses, outside the ranges that single listings use."""
    v = sorted(set(RANDOM.sample(range(1 << 24, 224 << 24), int(n * 1.13))))
    return [a for a in v if a >> 24 not in (*SPECIAL, 0x2d, 0x2e)][:n]

def write_results(path, title, notes=""):
    """Writes the table of results to a file, with the machine and the command."""
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    disk = subprocess.run(["stat", "-f", "-c", "%T", tmp], capture_output=True, text=True).stdout.strip()
    text = f"# {title}\n\nWritten by `make bench` ({time.strftime('%Y-%m-%d')}, {cpu}, {os.cpu_count()} cores, Linux {platform.release()}, {disk}; medians of {rounds} interleaved rounds, lowest and highest in brackets). Runs on a shared machine differ; only ratios from one run are compared.\n\n| what | limit | measured | met |\n| --- | --- | --- | --- |\n"
    text += "".join(f"| {a} | {b} | {c} | {h} |\n" for a, b, c, h in rows)
    open(path, "w").write(text + "\n" + notes)
