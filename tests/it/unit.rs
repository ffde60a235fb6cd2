//! The systemd unit: its settings, the opinion of systemd, and the daemon under its restrictions.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::lab::{Daemon, free_port, query, shown, udp};

const UNIT: &str = "orbsd.service";

/// The values of a setting of the unit.
fn values(setting: &str) -> Vec<String> {
    let unit = fs::read_to_string(UNIT).unwrap();
    unit.lines()
        .filter_map(|l| l.strip_prefix(setting)?.strip_prefix('='))
        .map(String::from)
        .collect()
}

#[test]
fn unit_permits_reading_the_clock_state_and_not_setting_it() {
    assert_eq!(values("ProtectClock"), [""; 0], "it forbids adjtimex");
    let calls = values("SystemCallFilter").join(" ");
    for call in ["@system-service", "adjtimex", "clock_adjtime"] {
        assert!(calls.split(' ').any(|c| c == call), "{calls}");
    }
    for set in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        assert_eq!(values(set), ["CAP_NET_BIND_SERVICE"], "{set}");
    }
}

#[test]
fn systemd_accepts_the_unit_with_low_exposure() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: systemd-analyze is not here; `sh tests/need.sh` installs it");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join(UNIT);
    fs::write(
        &unit,
        fs::read_to_string(UNIT)
            .unwrap()
            .replace("/usr/local/bin/orbsd", env!("CARGO_BIN_EXE_orbsd")),
    )
    .unwrap();
    for args in [
        &["verify"][..],
        &["security", "--offline=true", "--threshold=25", "--no-pager"],
    ] {
        let out = Command::new("systemd-analyze")
            .args(args)
            .arg(&unit)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{args:?}: {text}");
        assert!(args[0] != "verify" || text.trim().is_empty(), "{text}");
    }
}

/// The folders of a machine: `etc` with the shipped configuration and the changes that the unit's
/// header requires, `state` and `run`.
struct Machine {
    dir: tempfile::TempDir,
    port: u16,
}

impl Machine {
    fn new() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["etc/zones", "state", "run", "root"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let port = free_port();
        let machine = Machine { dir, port };
        let mut config = fs::read_to_string("config.toml").unwrap();
        // `#   [store] path = "/var/lib/orbsd"` in the header.
        let header = fs::read_to_string(UNIT).unwrap();
        let mut settings: Vec<(String, String)> = Vec::new();
        for line in header.lines().take_while(|l| l.starts_with('#')) {
            let Some((table, setting)) =
                line.strip_prefix("#   [").and_then(|l| l.split_once("] "))
            else {
                continue;
            };
            settings.push((table.into(), machine.here(setting)));
        }
        assert!(
            settings.len() == 2,
            "the header names the settings that it needs: {settings:?}"
        );
        settings.push(("dns".into(), format!("listen = [\"127.0.0.1:{port}\"]")));
        settings.push(("admin".into(), "listen = \"\"".into()));
        settings.push(("probe".into(), "domain = \"probe.example\"".into()));
        for (table, setting) in settings {
            config = with(&config, &table, &setting);
        }
        fs::write(machine.path("etc/config.toml"), config).unwrap();
        for zone in fs::read_dir("zones").unwrap().map(|e| e.unwrap().path()) {
            fs::copy(
                &zone,
                machine.path("etc/zones").join(zone.file_name().unwrap()),
            )
            .unwrap();
        }
        machine
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Returns a command or setting of the unit with the paths of this machine.
    fn here(&self, text: &str) -> String {
        let shown = |name: &str| self.path(name).display().to_string();
        text.replace("/var/lib/orbsd", &shown("state"))
            .replace("/run/orbsd", &shown("run"))
            .replace("/etc/orbsd", &shown("etc"))
            .replace("/usr/local/bin/orbsd", env!("CARGO_BIN_EXE_orbsd"))
    }

    /// Starts a command of the unit so that only the state and the runtime directory are writable,
    /// without capabilities except the one to bind ports.
    fn command(&self, setting: &str) -> Command {
        let script = r#"
set -u
mount --make-rprivate / || exit 90
mount --rbind / root || exit 91
for m in $(awk '{print $5}' /proc/self/mountinfo | grep "^$PWD/root"); do
    mount -o remount,bind,ro "$m" 2> /dev/null
done
for d in state run; do
    mount --bind "$d" "root$PWD/$d" && mount -o remount,bind,rw "root$PWD/$d" || exit 92
done
! touch "root$PWD/etc/x" 2> /dev/null && ! touch root/etc/x 2> /dev/null || exit 93
touch "root$PWD/state/.probe" && rm "root$PWD/state/.probe" || exit 94
exec chroot root setpriv --no-new-privs --inh-caps=-all,+net_bind_service --bounding-set=-all,+net_bind_service $COMMAND
"#;
        let line = values(setting).pop().unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["-rm", "sh", "-c", script])
            .env("COMMAND", self.here(&line))
            .current_dir(self.dir.path());
        command
    }
}

/// Returns a configuration in which a setting of a table is replaced.
fn with(config: &str, table: &str, setting: &str) -> String {
    let key = setting.split(" = ").next().unwrap();
    let (mut within, mut done, mut out) = (false, false, String::new());
    for line in config.lines() {
        if line.starts_with('[') {
            within = line.starts_with(&format!("[{table}]"));
        }
        let sets = within
            && line
                .trim_start_matches("# ")
                .starts_with(&format!("{key} ="));
        out += if sets && !done { setting } else { line };
        out.push('\n');
        done |= sets;
    }
    assert!(done, "config.toml shows [{table}] {key}");
    out
}

fn files(folder: &Path) -> Vec<String> {
    let mut out: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    out.sort();
    out
}

#[test]
fn daemon_runs_under_the_unit_and_a_refused_reload_fails() {
    let machine = Machine::new();
    let before = files(&machine.path("etc"));
    let log = fs::File::create(machine.path("log")).unwrap();
    let daemon = Daemon(machine.command("ExecStart").stderr(log).spawn().unwrap());
    let addr = ([127, 0, 0, 1], machine.port).into();
    let ask = |name: &str| {
        udp(
            addr,
            &query(&format!("{name}.relays.orbs.example"), 1, true),
            Duration::from_millis(200),
        )
    };
    let until = Instant::now() + Duration::from_secs(20);
    while ask("2.0.0.127").is_none() {
        assert!(
            Instant::now() < until,
            "it does not start: {}",
            fs::read_to_string(machine.path("log")).unwrap()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let run = |args: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orbsd"));
        let out = command
            .args(["--config", &machine.here("/etc/orbsd/config.toml")])
            .args(args.split(' '))
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{args}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    };
    run("list 45.51.100.7 --reason relay");
    assert_eq!(shown(&ask("7.100.51.45").unwrap()), "NOERROR 127.0.0.2");
    run("delist 45.51.100.7");
    for file in ["data/removals.log", "data/probe.key", "data.mirrors.json"] {
        assert!(
            machine.path("state").join(file).is_file(),
            "{file}: {:?}",
            files(&machine.path("state"))
        );
    }
    assert_eq!(files(&machine.path("run")), ["orbsd.sock"]);
    assert_eq!(
        files(&machine.path("etc")),
        before,
        "the configuration is only read"
    );
    // `systemctl reload` runs ExecReload=, and fails if that fails.
    let reload = || machine.command("ExecReload").output().unwrap();
    let out = reload();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let config = fs::read_to_string(machine.path("etc/config.toml")).unwrap();
    fs::write(
        machine.path("etc/config.toml"),
        config.replace("workers = 0", "workers = \"many\""),
    )
    .unwrap();
    let out = reload();
    assert!(matches!(out.status.code(), Some(1 | 2)), "{:?}", out.status);
    assert!(
        String::from_utf8_lossy(&out.stderr)
            .contains("dns.workers: \"many\" is not a whole number")
    );
    assert!(ask("2.0.0.127").is_some());
    assert!(daemon.stop().success());
}
