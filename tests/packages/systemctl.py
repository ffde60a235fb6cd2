#!/usr/bin/python3
"""Stands for `systemctl` in the root of a test, where systemd does not run.

It reads the installed unit, checks it with `systemd-analyze` at each daemon-reload, and starts ExecStart as the unit's user with its
directories, capabilities and a notify socket. It does not apply the other restrictions of the unit.
"""

import os
import pathlib
import pwd
import signal
import socket
import subprocess
import sys
import time

UNIT = pathlib.Path("/usr/lib/systemd/system/orbsd.service")
STATE = pathlib.Path("/run/test-systemctl")
REAL = "/usr/bin/systemctl.distrib"
READY_TIMEOUT = 120
STOP_TIMEOUT = 60


def setting(name):
    """The last value of a setting of the unit."""
    values = [line.split("=", 1)[1] for line in UNIT.read_text().splitlines() if line.startswith(f"{name}=")]
    return values[-1] if values else ""


def note(text):
    with open(STATE / "log", "a") as log:
        log.write(text + "\n")


def running():
    """The process of the daemon; None if it has ended."""
    try:
        pid = int((STATE / "pid").read_text())
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return None if state == "Z" else pid
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None


def folder(path, mode, user):
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)
    os.chown(path, user.pw_uid, user.pw_gid)


def command(line, user):
    """A command line of the unit as its user, with its capabilities alone."""
    capabilities = ",".join("+" + c.lower().removeprefix("cap_") for c in setting("AmbientCapabilities").split())
    restricted = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", "--no-new-privs"]
    restricted += [f"--{kind}=-all,{capabilities}" for kind in ("bounding-set", "inh-caps")]
    return [*restricted, f"--ambient-caps=-all,{capabilities}", *line.split()]


def start():
    if running():
        return 0
    condition = setting("ConditionPathExists")
    if condition and not os.path.exists(condition):
        note(f"not started: {condition} does not exist")
        return 0
    user = pwd.getpwnam(setting("User"))
    state, runtime = setting("StateDirectory"), setting("RuntimeDirectory")
    folder(f"/var/lib/{state}", int(setting("StateDirectoryMode"), 8), user)
    folder(f"/run/{runtime}", int(setting("RuntimeDirectoryMode"), 8), user)
    path = STATE / "notify"
    path.unlink(missing_ok=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(path))
    os.chmod(path, 0o666)
    notify.settimeout(1)
    environment = {
        "PATH": "/usr/sbin:/usr/bin",
        "NOTIFY_SOCKET": str(path),
        "STATE_DIRECTORY": f"/var/lib/{state}",
        "RUNTIME_DIRECTORY": f"/run/{runtime}",
    }
    mask = int(setting("UMask"), 8)
    with open(STATE / "journal", "a") as journal:
        daemon = subprocess.Popen(
            command(setting("ExecStart"), user),
            stdin=subprocess.DEVNULL,
            stdout=journal,
            stderr=journal,
            cwd="/",
            env=environment,
            start_new_session=True,
            umask=mask,
        )
    (STATE / "pid").write_text(str(daemon.pid))
    end = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < end:
        if daemon.poll() is not None:
            note(f"start failed: exit code {daemon.returncode}")
            return 1
        try:
            if b"READY=1" in notify.recv(4096):
                note("started")
                return 0
        except TimeoutError:
            pass
    note("start failed: no READY=1")
    return 1


def stop():
    pid = running()
    if not pid:
        return 0
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + STOP_TIMEOUT
    while running() and time.monotonic() < end:
        time.sleep(0.05)
    note("stopped" if not running() else "stop failed")
    return 1 if running() else 0


def verify():
    """What `systemd-analyze` finds in the unit is an error of the test."""
    if not UNIT.exists():
        return 0
    for arguments in (["verify", str(UNIT)], ["security", "--offline=true", "--threshold=25", "--no-pager", str(UNIT)]):
        done = subprocess.run(["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0 or (arguments[0] == "verify" and done.stdout.strip()):
            note(f"systemd-analyze {arguments[0]} failed: {done.stdout}")
            return 1
        note(f"systemd-analyze {arguments[0]} passed")
    return 0


def main():
    STATE.mkdir(exist_ok=True)
    words = [a for a in sys.argv[1:] if not a.startswith("-")]
    note(" ".join(sys.argv[1:]))
    # What changes or reads links alone is done by systemd's own program.
    if "--root=/" in sys.argv or words[:1] == ["is-enabled"]:
        return subprocess.run([REAL, "--root=/", *[a for a in sys.argv[1:] if a != "--root=/"]]).returncode
    verb = words[0] if words else ""
    if verb in ("enable", "disable"):
        subprocess.run([REAL, "--root=/", "--quiet", *words], check=True)
        if "--now" in sys.argv:
            return start() if verb == "enable" else stop()
        return 0
    match verb:
        case "start":
            return start()
        case "stop":
            return stop()
        case "restart" | "try-restart":
            return stop() or start()
        case "reload":
            return subprocess.run(command(setting("ExecReload"), pwd.getpwnam(setting("User")))).returncode
        case "daemon-reload":
            return verify()
        case "is-active":
            return 0 if running() else 3
        case _:
            return 0


sys.exit(main())
