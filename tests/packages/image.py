#!/usr/bin/env python3
"""Starts the container image from its unpacked root, as the compose file says: read-only, without privileges, on port 53.

usage: image.py IMAGE.tar; it runs as root in namespaces of its own. No container runtime is needed: skopeo checks the image, umoci
unpacks it, and chroot and setpriv start it.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
COMPOSE = (HERE.parent.parent / "packaging/compose.yaml").read_text()


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def check(rule, holds, found=""):
    """Ends the test if a rule does not hold."""
    if not holds:
        sys.exit(f"not so: {rule}\n{found}")
    print(f"  {rule}", flush=True)


def main():
    run("ip", "link", "set", "lo", "up")
    run("mount", "--make-rprivate", "/")
    work = pathlib.Path(tempfile.mkdtemp(prefix="orbsd-image-"))
    daemon = None
    try:
        image = json.loads(run("skopeo", "inspect", "--config", f"oci-archive:{sys.argv[1]}"))
        config = image["config"]
        user = config["User"].split(":")[0]
        check("the image has a user without privileges", user.isdigit() and int(user) > 0, config)
        run("skopeo", "copy", "--quiet", f"oci-archive:{sys.argv[1]}", f"oci:{work}/layout:orbsd")
        run("umoci", "unpack", "--image", f"{work}/layout:orbsd", str(work / "bundle"))
        root = work / "bundle/rootfs"
        check("the image has no shell", not list(root.glob("**/bin/*sh")), list(root.glob("**/bin/*sh")))
        mode = run("stat", "-c", "%u %a", str(root / "var/lib/orbsd")).strip()
        check("the state's folder is that user's", mode == f"{user} 700", mode)

        # The folders of the compose file: a configuration, a volume, and two file systems in memory.
        etc, state = work / "etc", work / "state"
        shutil.copytree(root / "usr/share/doc/orbsd/examples", etc)
        text = (etc / "config.toml").read_text()
        for table, setting in re.findall(r"^#   \[(\w+)\] +(.*)$", COMPOSE, re.M):
            key = setting.split(" = ")[0]
            text, count = re.subn(rf"(^\[{table}\]\n(?:(?!\[).*\n)*?){key} = [^#\n]*", rf"\g<1>{setting} ", text, count=1, flags=re.M)
            check(f"the configuration has `[{table}] {key}`", count == 1)
        (etc / "config.toml").write_text(text)
        state.mkdir(mode=0o700)
        run("chown", f"{user}:{user}", str(state))
        run("mount", "--bind", "-o", "ro", str(root), str(root))
        run("mount", "-o", "remount,bind,ro", str(root))
        run("mount", "--bind", "-o", "ro", str(etc), str(root / "etc/orbsd"))
        run("mount", "--bind", str(state), str(root / "var/lib/orbsd"))
        for line in re.findall(r"^      - (/\S+)$", COMPOSE.split("tmpfs:")[1].split("healthcheck:")[0], re.M):
            path, _, options = line.partition(":")
            run("mount", "-t", "tmpfs", *(["-o", options] if options else []), "tmpfs", f"{root}{path}")
        name, value = re.search(r"^      (net\.\S+): (\d+)$", COMPOSE, re.M).groups()
        pathlib.Path("/proc/sys", *name.split(".")).write_text(value)

        inside = ["chroot", f"--userspec={user}:{user}", str(root)]
        # chroot needs its capability until it has changed the root; the change of the user drops all.
        bare = ["setpriv", "--no-new-privs", "--inh-caps=-all", *inside]
        log = open(work / "log", "w+")
        daemon = subprocess.Popen([*bare, *config["Entrypoint"], *config["Cmd"]], stdout=log, stderr=log, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        health = json.loads(re.search(r"test: (\[.*\])", COMPOSE).group(1))[1:]
        for _ in range(600):
            healthy = subprocess.run([*bare, *health], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, text=True)
            if healthy.returncode == 0 or daemon.poll() is not None:
                break
            time.sleep(0.1)
        journal = (work / "log").read_text()
        check("the health command succeeds with a read-only root", healthy.returncode == 0, healthy.stdout + journal)
        answer = run("dig", "+short", "+time=5", "@127.0.0.1", "2.0.0.127.relays.orbs.example", "A").strip()
        check("the daemon answers on port 53 without a capability", answer.startswith("127.0.0."), answer)
        status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
        held = re.search(r"^CapEff:\s*(\w+)", status, re.M).group(1)
        check("it has no capability", int(held, 16) == 0, status)
        daemon.terminate()
        check("it ends at SIGTERM", daemon.wait(60) == 0)
        failed = subprocess.run([*bare, *health], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        check("the health command fails without the daemon", failed.returncode != 0)
    finally:
        if daemon and daemon.poll() is None:
            daemon.kill()
        subprocess.run(["umount", "-R", "-l", str(work / "bundle/rootfs")], stderr=subprocess.DEVNULL)
        shutil.rmtree(work)


main()
