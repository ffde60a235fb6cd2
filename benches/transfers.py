#!/usr/bin/env python3
"""Compares zone transfers with those of NSD for the same zone, in one run; writes benches/TRANSFERS.md.

Usage: transfers.py TARGET. TARGET is the cargo target directory, with a release build, the examples, and TARGET/peers (make peers).
The environment variable ROUNDS (9) changes the number of rounds; SKIP_10M=1 leaves out the zone of ten million addresses.
"""
from common import *

drain = f"{target}/release/examples/drain"

def run_transfer(port, serial=None):
    args = ["taskset", "-c", "1", drain, f"127.0.0.1:{port}", "bl.example", *([str(serial)] if serial is not None else [])]
    r = json.loads(subprocess.run(args, check=True, capture_output=True, text=True).stdout)
    if not r["complete"]: sys.exit(f"port {port}: the transfer was cut off: {r}")
    return r

def make_transfer_folder(name):
    d, port = make_folder(name, 1)
    with open(d + "/zones/bl.toml", "a") as f: f.write('[transfer]\nallow = ["127.0.0.0/8"]\n')
    return d, port

def nsd(d, zonefile):
    port = free_port()
    os.makedirs(f"{tmp}/nsd", exist_ok=True)
    open(f"{tmp}/nsd/nsd.conf", "w").write(f'''server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{tmp}/nsd"
    database: ""
    zonelistfile: "{tmp}/nsd/zone.list"
    xfrdfile: "{tmp}/nsd/xfrd.state"
    xfrdir: "{tmp}/nsd"
    pidfile: ""
remote-control:
    control-enable: no
zone:
    name: "bl.example"
    zonefile: "{zonefile}"
    provide-xfr: 127.0.0.1 NOKEY
''')
    env = dict(os.environ, LD_LIBRARY_PATH=f"{root}/usr/lib/{platform.machine()}-linux-gnu")
    p = start([f"{root}/usr/sbin/nsd", "-d", "-c", f"{tmp}/nsd/nsd.conf"], "0", env=env)
    wait_for_answer(port, address=0x7f000002)
    return port, p

def query_serial(port):
    q = b"\0\1\0\0\0\1\0\0\0\0\0\0\2bl\7example\0\0\6\0\1"
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(q, ("127.0.0.1", port)); r = s.recv(600)
    return struct.unpack(">I", r[-20:-16])[0]

def measure_million():
    """Measures AXFR in turn with NSD, with the zone of compare.py (2.9 million records)."""
    write_data()
    d, port = make_transfer_folder("one")
    orbsd_server = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    import_list(d, f"{tmp}/ip4", f"{tmp}/ip6")
    subprocess.run([orbsd, "export", "bl", "-o", f"{tmp}/bl.zone"], cwd=d, check=True)
    nsd_port, nsd_server = nsd(d, f"{tmp}/bl.zone")
    wait_until_idle(orbsd_server); wait_until_idle(nsd_server)
    subprocess.run(["taskset", "-apc", "0", str(orbsd_server.pid)], check=True, stdout=subprocess.DEVNULL)
    figures = {port: [], nsd_port: []}
    for i in range(rounds):
        for p in (port, nsd_port) if i % 2 else (nsd_port, port): figures[p].append(run_transfer(p))
    a, b = figures[port], figures[nsd_port]
    if a[0]["records"] != b[0]["records"]: sys.exit(f"{a[0]} against {b[0]}")
    ratios = [x["ms"] / y["ms"] for x, y in zip(a, b)]
    ms = lambda v: f"{median([x['ms'] for x in v]):.0f} ms, {v[0]['bytes'] / 1e6:.0f} MB"
    add_row(f"AXFR of {a[0]['records']:,} records against NSD, server on one core, client on the other", "≤ 1.0 × (aim 0.5)", f"{spread(ratios)} × ({ms(a)} against {ms(b)})", median(ratios) <= 1.0)
    stop_server(nsd_server)
    stop_server(orbsd_server); shutil.rmtree(d)

def measure_ten_million():
    d, port = make_transfer_folder("big")
    v = sample_hosts(10_000_000)
    with open(f"{tmp}/big.txt", "w") as f:
        for i in range(0, len(v), 100_000): f.write("".join(ip(a) + "\n" for a in v[i:i + 100_000]))
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port)
    import_list(d, f"{tmp}/big.txt", fmt="list"); stop_server(p)
    p = start([orbsd, "serve"], "0,1", cwd=d); wait_for_answer(port, address=v[-1]); wait_until_idle(p)
    def peak(work):
        """Runs `work`. Returns its result, and by how much the memory of the server grew meanwhile, at most."""
        before, peak_memory, done = memory(p)["RssAnon"], [0], threading.Event()
        def poll():
            while not done.is_set(): peak_memory[0] = max(peak_memory[0], memory(p)["RssAnon"]); time.sleep(0.005)
        t = threading.Thread(target=poll); t.start(); r = work(); done.set(); t.join()
        return r, peak_memory[0] - before
    r, extra = peak(lambda: run_transfer(port))
    add_row(f"extra memory of an AXFR of {r['records']:,} records without writes", "≤ 32 MB (aim 4)", f"{extra:.1f} MB ({r['ms'] / 1000:.1f} s)", extra <= 32)
    def four():
        all = [threading.Thread(target=run_transfer, args=(port,)) for _ in range(4)]
        for t in all: t.start()
        for t in all: t.join()
    _, extra = peak(four)
    add_row("  of four at the same time", "–", f"{extra:.1f} MB", None)
    first_mirror, second_mirror = [], []
    for k in range(rounds):
        before = query_serial(port)
        lines = "".join(f"{ip(0x2d000000 + (k * 1000 + i) * 4099 % 0x2000000)}\n" for i in range(1000))
        subprocess.run([orbsd, "list", "--reason", "relay"], input=lines, text=True, cwd=d, check=True, stdout=subprocess.DEVNULL)
        first_mirror.append(run_transfer(port, before)["ms"]); r = run_transfer(port, before); second_mirror.append(r["ms"])
        if r["records"] != 4 + 2 * 1000: sys.exit(f"the transfer is not an IXFR of the changes: {r}")
    add_row("IXFR of 1,000 changes in that zone, the first mirror that requests it", "≤ 20 ms (aim 2)", spread(first_mirror, 1) + " ms", median(first_mirror) <= 20)
    add_row("  the next mirror", "–", spread(second_mirror, 1) + " ms", None)
    stop_server(p)

try:
    measure_million()
    if not os.environ.get("SKIP_10M"): measure_ten_million()
    write_results("benches/TRANSFERS.md", "Transfers", open("benches/NOTES-TRANSFERS.md").read() if os.path.exists("benches/NOTES-TRANSFERS.md") else "")
finally:
    for p in children: p.kill()
    shutil.rmtree(tmp, ignore_errors=True)
