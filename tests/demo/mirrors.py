#!/usr/bin/env python3
"""Measures how long a listing takes to reach NSD and Knot as mirrors of a zone of N addresses.

Usage: mirrors.py TARGET [N [LISTINGS [EVERY]]]. TARGET is the cargo target directory, with a release build and TARGET/peers (make
peers); N is the number of addresses in the zone (10000000), LISTINGS the number of listings (20), and EVERY the seconds between
them (2). All servers run on 127.0.0.1 with the configurations of docs/mirrors, in a folder under TARGET that is removed at the
end. Ten million addresses are twenty million records, for which the two mirrors need about 20 GB of memory.
"""
import json, os, platform, re, shutil, signal, socket, statistics, struct, subprocess, sys, tempfile, threading, time

target = sys.argv[1]
count = int(sys.argv[2]) if len(sys.argv) > 2 and sys.argv[2] else 10_000_000
listings = int(sys.argv[3]) if len(sys.argv) > 3 and sys.argv[3] else 20
every = float(sys.argv[4]) if len(sys.argv) > 4 and sys.argv[4] else 2.0
orbsd = f"{target}/release/orbsd"
root = f"{os.environ.get('ORBSD_PEERS', target + '/peers')}/root"
docs = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/mirrors")
tmp = tempfile.mkdtemp(prefix="orbsd-mirrors-", dir=target)
ZONE = "relays.orbs.example"
SECRET = "Y2hhbmdlIG1lOiBtYWtlIG9uZSB3aXRoIG9yYnNkIGs="
SPECIAL = {0, 10, 100, 127, 169, 172, 192, 198, 203, *range(224, 256)}
MAX_WAIT = 1800  # seconds
children = []
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the child processes are ended too


def addresses():
    """Yields different addresses outside special ranges. The generator visits each of the 2**32 addresses once."""
    a = 1
    while True:
        a = (a * 1664525 + 1013904223) & 0xFFFFFFFF
        if a >> 24 not in SPECIAL:
            yield socket.inet_ntoa(struct.pack(">I", a))


def free():
    """Returns a port that is free for UDP and TCP, below those that the kernel assigns to clients."""
    for port in range(11_000 + os.getpid() % 10_000, 32_000):
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u, socket.socket() as t:
                u.bind(("127.0.0.1", port)); t.bind(("127.0.0.1", port))
            if port not in taken: taken.add(port); return port
        except OSError: pass
    sys.exit("no free port")


taken = set()


def start(name, args):
    env = dict(os.environ, LD_LIBRARY_PATH=f"{root}/usr/lib/{platform.machine()}-linux-gnu") if args[0] != orbsd else None
    log = open(f"{tmp}/{name}.log", "w")
    p = subprocess.Popen(args, cwd=f"{tmp}/{name}", env=env, stdout=log, stderr=log)
    children.append(p)
    return p


def config(name, file, pairs):
    text = open(f"{docs}/{file}").read()
    for a, b in pairs:
        if a not in text: sys.exit(f"docs/mirrors/{file} has no `{a}`")
        text = text.replace(a, b)
    os.makedirs(f"{tmp}/{name}")
    open(f"{tmp}/{name}/{file}", "w").write(text)
    return f"{tmp}/{name}/{file}"


def query(port, name, qtype, timeout=0.5):
    """Sends a query. Returns the response code, the number of answers and the reply; None if no reply arrives in time."""
    q = b"\0\1\0\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0" + struct.pack(">HH", qtype, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout); s.connect(("127.0.0.1", port))
        try: s.send(q); r = s.recv(1500)
        except OSError: return None
    return (r[3] & 15, r[7], r) if r[2] & 0x80 else None


def serial(port):
    r = query(port, ZONE, 6)
    return struct.unpack(">I", r[2][-20:-16])[0] if r and r[:2] == (0, 1) else None


def wait(name, true, pause=0.05):
    """Waits until `true()` is true. Returns the seconds of the wait."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > MAX_WAIT: sys.exit(f"{name}: not ready within {MAX_WAIT} s; see {tmp}")
        if dead := [p.args[0] for p in children if p.poll() is not None]: sys.exit(f"{dead[0]} has ended; see {tmp}")
        time.sleep(pause)
    return time.monotonic() - started


def memory(p):
    """Returns the resident memory of a process and its children in MB; shared pages are counted once."""
    all = [p.pid] + [int(c) for c in subprocess.run(["pgrep", "-P", str(p.pid)], capture_output=True, text=True).stdout.split()]
    kb = lambda pid: int(re.search(r"^Pss:\s+(\d+)", open(f"/proc/{pid}/smaps_rollup").read(), re.M)[1])
    return sum(kb(pid) for pid in all) / 1024


class Api:
    """A connection to the daemon's socket."""
    def __init__(self): self.s = socket.socket(socket.AF_UNIX); self.s.connect(f"{tmp}/orbsd/run/orbsd.sock")
    def list(self, address):
        body = json.dumps({"subject": address, "reason": "relay"}).encode()
        self.s.sendall(b"POST /v1/listings HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        got = b""
        while b"\r\n\r\n" not in got: got += self.s.recv(4096)
        head, rest = got.split(b"\r\n\r\n", 1)
        n = int(re.search(rb"content-length: *(\d+)", head.lower())[1])
        while len(rest) < n: rest += self.s.recv(4096)
        if not head.startswith(b"HTTP/1.1 201"): sys.exit(f"{address}: {head} {rest}")


def watch(mirror, name, times):
    """Queries a mirror until it answers with the listing, and records the time in `times`."""
    while True:
        r = query(mirror["port"], name, 1)
        if r and r[:2] == (0, 1): times[mirror["name"]] = time.monotonic(); return
        time.sleep(0.0005)


def main():
    ours, nsd, knot = free(), free(), free()
    for d in ("orbsd/zones", "orbsd/keys"): os.makedirs(f"{tmp}/{d}")
    open(f"{tmp}/orbsd/config.toml", "w").write(
        f'[admin]\nlisten = ""\n[dns]\nlisten = ["127.0.0.1:{ours}"]\n[[key]]\nname = "mirror"\nfile = "keys/mirror"\n'
        '[[reason]]\nname = "relay"\ntext = "Open relay, see https://orbs.example/$"\n')
    open(f"{tmp}/orbsd/keys/mirror", "w", opener=lambda p, f: os.open(p, f, 0o600)).write(SECRET + "\n")
    notify = ", ".join(f'{{ address = "127.0.0.1:{p}", key = "mirror" }}' for p in (nsd, knot))
    open(f"{tmp}/orbsd/zones/relays.toml", "w").write(
        f'origin = "{ZONE}"\nkind = "address"\nns = ["ns1.orbs.example", "ns2.orbs.example"]\ncontact = "hostmaster@orbs.example"\n'
        f'publish = [{{ reason = "relay", code = "127.0.0.2" }}]\n[transfer]\nallow = ["key:mirror"]\nnotify = [{notify}]\n')
    all_addresses = addresses()
    with open(f"{tmp}/list", "w") as f:
        for _ in range(count): f.write(next(all_addresses) + "\n")
    process = {"orbsd": start("orbsd", [orbsd, "serve"])}
    wait("orbsd", lambda: serial(ours) is not None)
    started = time.monotonic()
    subprocess.run([orbsd, "import", "--source", "many", "--reason", "relay", "--format", "list", f"{tmp}/list"], cwd=f"{tmp}/orbsd", check=True, stdout=subprocess.DEVNULL)
    print(f"orbsd: {count:,} addresses imported in {time.monotonic() - started:.1f} s, {memory(process['orbsd']):,.0f} MB", flush=True)
    replacements = lambda d: [(f"/var/lib/{d}", f"{tmp}/{d}"), (f"/run/{d}", f"{tmp}/{d}"), ("192.0.2.53@53", f"127.0.0.1@{ {'nsd': nsd, 'knot': knot}[d]}"), ("192.0.2.1@53", f"127.0.0.1@{ours}"), ("192.0.2.1", "127.0.0.1")]
    mirrors = [
        {"name": "nsd", "port": nsd, "args": [f"{root}/usr/sbin/nsd", "-d", "-c", config("nsd", "nsd.conf", replacements("nsd") + [("username: nsd", 'username: ""')])]},
        {"name": "knot", "port": knot, "args": [f"{root}/usr/sbin/knotd", "-c", config("knot", "knot.conf", replacements("knot") + [("    user: knot:knot\n", "")])]},
    ]
    for m in mirrors:
        m["process"] = start(m["name"], m["args"])
        duration = wait(m["name"], lambda: serial(m["port"]) == serial(ours))
        print(f"{m['name']}: has the zone after {duration:.1f} s, {memory(m['process']):,.0f} MB", flush=True)
    api, lags = Api(), {m["name"]: [] for m in mirrors}
    for i in range(listings):
        time.sleep(every)
        address = next(all_addresses)
        name = ".".join(reversed(address.split("."))) + "." + ZONE
        seen, started = {}, time.monotonic()
        threads = [threading.Thread(target=watch, args=(m, name, seen), daemon=True) for m in mirrors]
        for t in threads: t.start()
        api.list(address)
        acknowledged = time.monotonic()
        for t in threads: t.join(MAX_WAIT)
        if len(seen) < len(mirrors): sys.exit(f"{address} did not reach every mirror within {MAX_WAIT} s; see {tmp}")
        for k, v in seen.items(): lags[k].append(max(0, v - acknowledged) * 1000)
        print(f"{i + 1:3} {address:15} acknowledged after {(acknowledged - started) * 1000:.1f} ms; " + ", ".join(f"{k} {v[-1]:.0f} ms later" for k, v in lags.items()), flush=True)
    for k, v in lags.items(): print(f"{k}: lag median {statistics.median(v):.0f} ms, max {max(v):.0f} ms, over {len(v)} listings")
    done.append(True)


done = []
try: main()
finally:
    for p in reversed(children):
        p.terminate()
        try: p.wait(60)
        except subprocess.TimeoutExpired: p.kill()
    if done: shutil.rmtree(tmp)
