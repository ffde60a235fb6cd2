#!/usr/bin/env python3
"""Measures `orbsd compare` with two long lists, half of whose entries are the same; writes benches/COMPARISON.md.

Usage: comparison.py TARGET. TARGET is the cargo target directory, with a release build. The environment variables ROUNDS (9) and
ENTRIES (10000000, of each list) change the measurement, and FAMILIES (ip4 ip6 domains digests) selects what is compared.
"""
from common import *
from families import make_domains, make_networks

ENTRIES = int(os.environ.get("ENTRIES", 10_000_000))
FAMILIES = os.environ.get("FAMILIES", "ip4 ip6 domains digests").split()
LIMIT_SECONDS, LIMIT_MB = 10, 300
ZONES = {
    "ip4": ("relay", 'kind = "address"'),
    "ip6": ("relay", 'kind = "address"'),
    "domains": ("bad", 'kind = "domain"'),
    "digests": ("file", 'kind = "hash"\ndigest = "sha1-hex"'),
}

NOTE = f"""Each list has {ENTRIES:,} entries, and half of them are also in the other one. IPv4: one entry in fifty is a prefix (/16 to /28, most of them /24), the others are addresses; IPv6: networks of 64 bits in 30,000 allocations; domains: the mix of `benches/families.py`; digests: SHA-1 as 40 hexadecimal digits. The file of the other list has its entries in random order; ours is a zone of a running server.

A round is the whole command: the file is sent to the daemon, read, sorted and compared, and the result is stored with its files. Its memory is the peak of the resident memory of the daemon (`VmHWM`, reset before the command) without what was resident before it, when the daemon had been started with its zone and was idle. Command and daemon share the cores. The sorted runs are files without names in the folder of the store; they are not in the resident memory.
"""


def entries(family):
    """Returns 3/2 of the entries of a list, in random order and each once, as lines."""
    n = ENTRIES * 3 // 2
    if family == "domains": return make_domains(n)
    if family == "digests": return [f"{RANDOM.getrandbits(160):040x}" for _ in range(n)]
    if family == "ip6":
        group = lambda a: ":".join(f"{a >> s & 0xffff:x}" for s in (48, 32, 16, 0)) + "::/64"
        out = [group(a) for a in make_networks(n)[0]]
    else:
        out = [ip(a) for a in RANDOM.sample(range(11 << 24, 100 << 24), n - n // 50)]
        nets = set()
        while len(nets) < n // 50:
            length = RANDOM.choice([24] * 8 + [22, 20, 25, 26, 28, 16])
            nets.add((RANDOM.randrange(128 << 24, 169 << 24) & (0xffffffff << (32 - length)) & 0xffffffff, length))
        out += [f"{ip(a)}/{length}" for a, length in nets]
    RANDOM.shuffle(out)
    return out


def write_lists(family):
    lines = entries(family)
    third = len(lines) // 3
    for name, part in (("theirs", lines[:2 * third]), ("ours", lines[third:])):
        with open(f"{tmp}/{name}.txt", "w") as f: f.writelines(f"{line}\n" for line in part)


def make_store(family):
    d, _ = make_folder(family, 1)
    reason, kind = ZONES[family]
    if reason != "relay":
        with open(d + "/config.toml", "a") as f: f.write(f'[[reason]]\nname = "{reason}"\ntext = "{RELAY}"\n')
        os.remove(d + "/zones/bl.toml")
        open(d + "/zones/names.toml", "w").write(f'origin = "bl.example"\n{kind}\nns = ["ns1.bl.example"]\ncontact = "hostmaster@bl.example"\npublish = [{{ reason = "{reason}", code = "127.0.0.2" }}]\n')
    return d, reason


def measure(family):
    write_lists(family)
    d, reason = make_store(family)
    def serve():
        p = start([orbsd, "serve"], "0,1", cwd=d)
        while not os.path.exists(d + "/run/orbsd.sock") or subprocess.run([orbsd, "status"], cwd=d, capture_output=True).returncode: time.sleep(0.1)
        wait_until_idle(p)
        return p
    p = serve()
    subprocess.run([orbsd, "import", "--source", "bench", "--reason", reason, "--format", "list", "--allow-special-ranges", "--skip-errors=1%", f"{tmp}/ours.txt"], cwd=d, check=True, stdout=subprocess.DEVNULL)
    wait_until_idle(p); stop_server(p)
    p = serve()
    times, memories, cpus = [], [], []
    for _ in range(rounds):
        open(f"/proc/{p.pid}/clear_refs", "w").write("5")
        before, cpu, started = memory(p)["VmRSS"], cpu_seconds(p), time.monotonic()
        out = subprocess.run([orbsd, "compare", "--with", f"{tmp}/theirs.txt", "--format", "list", "--json"], cwd=d, check=True, stdout=subprocess.PIPE, text=True).stdout
        times.append(time.monotonic() - started)
        memories.append(memory(p)["VmHWM"] - before)
        cpus.append(cpu_seconds(p) - cpu)
        total = json.loads(out)["total"]
        if not total["theirs"] * 0.4 < total["both"] < total["theirs"] * 0.6: sys.exit(f"wrong result: {total}")
        wait_until_idle(p)
    met = median(times) <= LIMIT_SECONDS and median(memories) <= LIMIT_MB
    add_row(f"{ENTRIES:,} against {ENTRIES:,}, {family}", f"≤ {LIMIT_SECONDS} s and ≤ {LIMIT_MB} MB (aim 4 s, 100 MB)", f"{spread(times, 2)} s; {spread(memories, 0)} MB; {spread(cpus, 2)} s of CPU of the daemon", met)
    stop_server(p); shutil.rmtree(d)


def main():
    for family in FAMILIES: measure(family)
    write_results("benches/COMPARISON.md", "Comparison of lists", NOTE)


if __name__ == "__main__":
    try: main()
    finally:
        for p in children: p.kill()
        shutil.rmtree(tmp, ignore_errors=True)
