#!/usr/bin/env python3
"""Installs, upgrades, downgrades, removes and purges the packages of orbsd in a root of Debian.

usage: test.py ROOT.tar FOLDER. The folder has three packages of one program: 1.0.0-1, 1.1.0-1, and 0.9.0-1, which can read older
stores only. It runs as root in namespaces of its own, so that its daemons end with it and its ports are free.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CONFIG = ["orbsd", "--config", "/etc/orbsd/config.toml"]
BACKUPS = "var/lib/orbsd/upgrade-backups"
PROJECT = HERE.parent.parent
INSTALLING = PROJECT / "docs/installing.md"
# The zone of the first page.
ZONE = "bl.example.org"
TEST_POINT = f"2.0.0.127.{ZONE}"
SUBJECT, QUERY = "45.51.100.9", f"9.100.51.45.{ZONE}"
LATER, LATER_QUERY = "45.51.100.8", f"8.100.51.45.{ZONE}"
PURGE_STATE = "echo 'orbsd orbsd/purge-state boolean true' | debconf-set-selections"

# What `orbsd doctor` reports of a new server in a network without a resolver: area, check and state. The zone has one name server,
# which other machines would have to find; and whether the clock is synchronised depends on the machine of the test.
CLOSED_NETWORK = {
    ("configuration", "files", "warning"),
    ("clock", "synchronised", "warning"),
    ("delegation", "*", "not-seen"),
    ("servers", "*", "not-seen"),
}

# Lines of a configuration, and whether they name a folder outside of the package's folders.
PATHS = (
    ('[store]\npath = "/srv/orbsd"', True),
    ("[store]\n  path = '/srv/orbsd'  # another disk", True),
    ("[store]\npath=/srv/orbsd", True),
    ('store = { path = "/srv/orbsd" }', True),
    ("store.path = '/srv/orbsd'", True),
    ('[[export]]\npath = "/srv/orbsd/list.rbl"', True),
    ('[store]\npath = "/var/lib/orbsd/../../../srv/orbsd"', True),
    ('[store]\npath = "/var/lib/orbsd/data"\n# path = "/srv/orbsd"\n[dns]\nhttps_path = "/dns-query"\n[zones]\npath = "zones"', False),
)


class Root:
    """A root of Debian, and commands in it."""

    def __init__(self, tar, packages):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="orbsd-root-"))
        subprocess.run(["tar", "-xf", tar, "-C", self.folder], check=True)
        for kind, name, options in (
            ("proc", "proc", ""),
            ("tmpfs", "dev", "mode=755"),
            ("tmpfs", "run", "mode=755"),
            ("tmpfs", "tmp", "mode=1777"),
        ):
            subprocess.run(["mount", "-t", kind, *(["-o", options] if options else []), kind, self.folder / name], check=True)
        for device in ("null", "zero", "random", "urandom"):
            (self.folder / "dev" / device).touch()
            subprocess.run(["mount", "--bind", f"/dev/{device}", self.folder / "dev" / device], check=True)
        (self.folder / "run/systemd/system").mkdir(parents=True)
        self.run("dpkg-divert", "--local", "--rename", "--add", "/usr/bin/systemctl")
        shutil.copy(HERE / "systemctl.py", self.folder / "usr/bin/systemctl")
        (self.folder / "usr/bin/systemctl").chmod(0o755)
        shutil.copytree(packages, self.folder / "tmp/packages")

    def attempt(self, *command, **environment):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"} | environment
        done = subprocess.run(
            ["chroot", self.folder, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, done.stdout

    def run(self, *command):
        code, text = self.attempt(*command)
        if code != 0:
            journal = self.folder / "run/test-systemctl/journal"
            sys.exit(f"{' '.join(command)}: exit code {code}\n{text}\n{journal.read_text() if journal.exists() else ''}")
        return text

    def install(self, version):
        return self.run("dpkg", "-i", self.package(version))

    def package(self, version):
        (found,) = (self.folder / "tmp/packages").glob(f"orbsd_{version}_*.deb")
        return f"/tmp/packages/{found.name}"

    def version(self):
        return self.run("dpkg-query", "-W", "-f", "${Version}", "orbsd")

    def log(self):
        return (self.folder / "run/test-systemctl/log").read_text()

    def mode(self, path):
        return self.run("stat", "-c", "%U:%G %a", path).strip()

    def files(self):
        """All files, but those of programs that keep logs and caches of every package."""
        skipped = re.compile(r"(proc|dev|run|tmp|var/log|var/cache|var/lib/dpkg|var/lib/apt|var/lib/systemd/deb-systemd-.*-enabled$)(/|$)|etc/.*-$")
        out = set()
        for folder, folders, names in os.walk(self.folder):
            short = os.path.relpath(folder, self.folder)
            folders[:] = [f for f in folders if not skipped.match(os.path.normpath(f"{short}/{f}"))]
            out |= {os.path.normpath(f"{short}/{n}") for n in [*folders, *names]}
        return {f for f in out if not skipped.match(f)}

    def folders(self):
        """Whether the folders of the configuration and of the state exist."""
        return tuple((self.folder / name).exists() for name in ("etc/orbsd", "var/lib/orbsd"))

    def backups(self):
        folder = self.folder / BACKUPS
        return sorted(f.name for f in folder.iterdir()) if folder.is_dir() else []

    def answer(self, name=QUERY):
        return self.run("dig", "+short", "+time=5", "@127.0.0.1", "-p", "5300", name, "A").strip()


def check(rule, holds, found=""):
    """Ends the test if a rule does not hold."""
    if not holds:
        sys.exit(f"not so: {rule}\n{found}")
    print(f"  {rule}", flush=True)


def installation(root):
    root.install("1.0.0-1")
    check("the configuration's folder is empty, and root's", root.mode("/etc/orbsd") == "root:orbsd 750")
    check("nothing is in it", not list((root.folder / "etc/orbsd").iterdir()))
    check("the state's folder is the daemon's", root.mode("/var/lib/orbsd") == "orbsd:orbsd 700")
    log = root.log()
    check("systemd accepts the unit, with low exposure", all(f"{c} passed" in log for c in ("verify", "security")), log)
    check("the service does not start without a configuration", "not started: /etc/orbsd/config.toml" in log, log)
    for page in ("orbsd", "orbsd-list", "orbsd-relay-probe"):
        root.run("runuser", "-u", "nobody", "--", "man", "-w", page)
    warnings = root.run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "/usr/share/man/man1/orbsd.1.gz")
    check("groff reads the man page without a warning", "warning" not in warnings.split("x T utf8")[0], warnings[:500])
    files = root.run("dpkg", "-L", "orbsd").splitlines()
    wanted = ["bash-completion/completions/orbsd", "vendor-completions/_orbsd", "vendor_completions.d/orbsd.fish"]
    check("completions are where each shell looks", all(any(f.endswith(w) for f in files) for w in wanted), files)


def block_of(text, heading):
    """The first block of commands below a heading of README.Debian."""
    block = re.search(rf"{heading}\n-+\n.*?\n\n((?:    [^\n]*\n)+)", text, re.S).group(1)
    return [line.strip() for line in block.splitlines()]


def configuration_by_examples(root):
    """Runs the commands of README.Debian that copy the examples, and purges the package with its state."""
    commands = block_of((root.folder / "usr/share/doc/orbsd/README.Debian").read_text(), "Configuration with every key")
    for line in commands:
        root.run("sh", "-ec", line)
    check("the service is ready with the examples", "\nstarted" in root.log(), root.log())
    check("a zone of the examples answers", root.answer("2.0.0.127.relays.orbs.example").startswith("127.0.0."))
    root.run("sh", "-c", PURGE_STATE)
    root.run("dpkg", "-P", "orbsd")


def first_page(root):
    """Runs the commands of README.md as they are printed; the package has another version and is beside them."""
    page = (PROJECT / "README.md").read_text().split("\n## ")[0]
    session = "".join(re.findall(r"```console\n(.*?)```", page, re.S))
    steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.M)
    commands = [command for command, _ in steps]
    check("the list answers after four commands", commands[0].startswith("apt install") and commands[4].startswith("dig "), commands)
    package = root.package("1.0.0-1").rsplit("/", 1)[1]
    for command, shown in steps:
        text = root.run("sh", "-ec", "cd /tmp/packages; " + re.sub(r"orbsd_\S+\.deb", package, command))
        expected = re.escape(shown.strip()).replace("…", ".*")
        check(f"the output of `{command}` is that of README.md", re.fullmatch(expected, text.strip(), re.S), text)
    readme = (root.folder / "usr/share/doc/orbsd/README.Debian").read_text()
    check("README.Debian has the same commands", block_of(readme, "First configuration") == commands[1:4], readme)


def first_server(root):
    """The server that the first page makes."""
    check("the service is ready", root.log().rstrip().endswith("started"), root.log())
    root.run("orbsd", "list", SUBJECT, "--reason", "relay", "--until", "30d", "--note", "a test")
    check("the list answers", root.answer().startswith("127.0.0."))
    check("the test point answers", root.answer(TEST_POINT).startswith("127.0.0."))
    pid = (root.folder / "run/test-systemctl/pid").read_text()
    user = root.run("ps", "-o", "user=", "-p", pid).strip()
    check("the daemon is not root's", user == "orbsd", user)
    root.run("runuser", "-u", "nobody", "--", "orbsd", "--version")
    check("nobody else reads the configuration", root.attempt("runuser", "-u", "nobody", "--", "cat", CONFIG[2])[0] != 0)
    found = doctor(root)
    missing = [f for f in found if f["check"] == "age" and f["area"] == "backup" and f["state"] == "fault"]
    check("doctor misses a backup", len(missing) == 1, found)
    root.run("orbsd", "backup", "/var/lib/orbsd/first-backup")
    unexpected = [
        f
        for f in doctor(root)
        if not {(f["area"], check, f["state"]) for check in (f["check"], "*")} & CLOSED_NETWORK
    ]
    check("after it, doctor misses only what a closed network cannot have", not unexpected, json.dumps(unexpected, indent=1))


def doctor(root):
    """What `orbsd doctor` finds that is not good."""
    _, text = root.attempt("orbsd", "--json", "doctor")
    return [f for f in json.loads(text) if f["state"] != "good"]


def upgrades(root):
    store = root.run(*CONFIG, "packaging", "store-version").strip()
    started = root.log().count("\nstarted")
    root.install("1.1.0-1")
    check("an upgrade makes a backup first", [b.split("_2")[0] for b in root.backups()] == [f"1.0.0-1_store-{store}"], root.backups())
    backup = root.folder / BACKUPS / root.backups()[0]
    check("the backup has a description", (backup / "backup.json").exists(), list(backup.iterdir()))
    check("the backup is the daemon's", root.mode(f"/{BACKUPS}/{backup.name}") == "orbsd:orbsd 700")
    check("the list answers after the upgrade", root.answer().startswith("127.0.0."))
    check("the upgrade started the service again", root.log().count("\nstarted") == started + 1, root.log())
    root.install("1.0.0-1")
    check("a downgrade with the same store version works", root.version() == "1.0.0-1" and root.answer().startswith("127."))

    code, text = root.attempt("dpkg", "-i", root.package("0.9.0-1"))
    check("an older program that cannot read the store is refused", code != 0 and f"the store has version {store}" in text, text)
    check("without a backup for it, the refusal says so", "no backup" in text, text)
    older = f"0.9.0-1_store-{int(store) - 1}_20260101T000000Z"
    root.run("runuser", "-u", "orbsd", "--", "mkdir", f"/{BACKUPS}/{older}")
    code, text = root.attempt("dpkg", "-i", root.package("0.9.0-1"))
    check("the refusal names the backup to go back to", code != 0 and f"/{BACKUPS}/{older}" in text, text)
    check("the refused package changes nothing", root.version() == "1.0.0-1" and root.answer().startswith("127."), text)

    folder = root.folder / BACKUPS
    folder.rename(f"{folder}.away")
    folder.touch()
    code, text = root.attempt("dpkg", "-i", root.package("1.1.0-1"))
    check("an upgrade without a backup is refused", code != 0 and "no-upgrade-backup" in text, text)
    check("the list answers nevertheless", root.answer().startswith("127."))
    root.run("touch", "/etc/orbsd/no-upgrade-backup")
    root.install("1.1.0-1")
    check("unless the operator has turned backups off", root.version() == "1.1.0-1" and root.answer().startswith("127."))
    folder.unlink()
    pathlib.Path(f"{folder}.away").rename(folder)
    root.run("rm", "/etc/orbsd/no-upgrade-backup")
    root.install("1.0.0-1")
    kept = root.backups()
    check("two backups are kept, and the last one of each store version", len(kept) == 3 and older in kept, kept)


def going_back(root):
    """Runs the commands of docs/installing.md, with a backup and a package of this test."""
    root.run(*CONFIG, "list", LATER, "--reason", "relay", "--until", "30d")
    root.run(*CONFIG, "delist", SUBJECT)
    check("before going back, the later listing is answered", root.answer(LATER_QUERY).startswith("127."))
    backup = next(b for b in reversed(root.backups()) if (root.folder / BACKUPS / b / "backup.json").exists())
    block = re.search(r"### Going back\n.*?```sh\n(.*?)```", INSTALLING.read_text(), re.S).group(1)
    block, paths = re.subn(r"(?m)^backup=\S+.*$", f"backup=/{BACKUPS}/{backup}", block)
    block, packages = re.subn(r"(?m)^apt install .*$", f"dpkg -i {root.package('0.9.0-1')}", block)
    check("the commands name a backup and a package", (paths, packages) == (1, 1), block)
    root.run("sh", "-ec", block)
    check("the older package is installed", root.version() == "0.9.0-1")
    check("the service is enabled again", root.attempt("systemctl", "is-enabled", "orbsd.service")[1].strip() == "enabled")
    check("the list has the state of the backup", root.answer(LATER_QUERY) == "")
    check("and removals since", root.answer() == "" and root.answer(TEST_POINT) != "")
    root.install("1.0.0-1")
    root.run(*CONFIG, "list", SUBJECT, "--reason", "relay", "--until", "30d", "--break-hold")
    check("the newer package continues", root.answer().startswith("127."))


def removals(root, before):
    root.run("dpkg", "-r", "orbsd")
    check("a removal stops the service", root.log().rstrip().count("stopped") and root.attempt("dig", "+time=1", "+tries=1", "@127.0.0.1", "-p", "5300", QUERY)[0] != 0)
    kept = [root.folder / name for name in ("etc/orbsd/config.toml", "var/lib/orbsd/data/CURRENT")]
    check("a removal keeps configuration and state", all(f.exists() for f in kept), kept)
    root.install("1.0.0-1")
    check("an installation after it continues with them", root.answer().startswith("127."))
    root.run("dpkg", "-P", "orbsd")
    check("a purge deletes the configuration", not (root.folder / "etc/orbsd").exists())
    check("a purge without an answer keeps the state", (root.folder / "var/lib/orbsd/data/CURRENT").exists())
    root.install("1.0.0-1")
    shutil.copy(root.folder / "var/lib/dpkg/info/orbsd.postrm", root.folder / "tmp")
    root.run("sh", "-c", PURGE_STATE)
    root.run("dpkg", "-P", "orbsd")
    nothing_left(root, before)


def nothing_left(root, before):
    left = root.files() - before
    check("a purge with the answer yes leaves no file", not left, sorted(left))
    check("and no user", root.attempt("getent", "passwd", "orbsd")[0] != 0)


def purge(root, config, state):
    """Runs the script of a purge for a configuration; returns what it reports."""
    root.run("mkdir", "-p", "/etc/orbsd", "/var/lib/orbsd/data")
    (root.folder / "etc/orbsd/config.toml").write_text(config + "\n")
    if root.attempt("getent", "passwd", "orbsd")[0] != 0:
        root.run("useradd", "--system", "orbsd")
    if state:
        root.run("sh", "-c", PURGE_STATE)
    return root.run("sh", "/tmp/orbsd.postrm", "purge")


def purges_of_other_folders(root):
    store = root.folder / "srv/orbsd"
    store.mkdir(parents=True)
    (store / "CURRENT").touch()
    for config, is_elsewhere in PATHS:
        text = purge(root, config, True)
        kept = root.attempt("getent", "passwd", "orbsd")[0] == 0
        shown = config.replace("\n", " ")
        check(f"a purge {'keeps' if is_elsewhere else 'deletes'} the user: {shown}", kept == is_elsewhere, text)
        check("and deletes the package's folders alone", root.folders() == (False, False) and (store / "CURRENT").exists(), text)
    own = root.folder / "etc/orbsd/data"
    own.mkdir(parents=True)
    (own / "CURRENT").touch()
    text = purge(root, '[store]\npath = "data"', False)
    check("a purge without an answer keeps a store in /etc/orbsd", (own / "CURRENT").exists() and "/etc/orbsd is kept" in text, text)
    root.run("mkdir", "-p", "/var/lib/orbsd")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root.folder / "var/lib/orbsd"], check=True)
    (root.folder / "var/lib/orbsd/removals.log").touch()
    text = purge(root, '[store]\npath = "/var/lib/orbsd/data"', True)
    check("a purge empties a folder with a file system of its own", root.folders() == (False, True) and not list((root.folder / "var/lib/orbsd").iterdir()), text)
    subprocess.run(["umount", root.folder / "var/lib/orbsd"], check=True)


def main():
    tar, packages = sys.argv[1:3]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    root = Root(tar, packages)
    print(f"Debian {(root.folder / 'etc/debian_version').read_text().strip()}", flush=True)
    before = root.files()
    try:
        installation(root)
        configuration_by_examples(root)
        nothing_left(root, before)
        first_page(root)
        first_server(root)
        upgrades(root)
        going_back(root)
        removals(root, before)
        purges_of_other_folders(root)
    finally:
        root.attempt("systemctl", "stop", "orbsd.service")
        subprocess.run(["umount", "-R", "-l", root.folder / "proc", root.folder / "dev", root.folder / "run", root.folder / "tmp"])
        shutil.rmtree(root.folder)


main()
