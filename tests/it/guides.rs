//! Runs the commands of the guides, and of the first page, in their order and as they are printed: as
//! root, with the paths and ports of the page, in namespaces of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::recipes::{Block, blocks, is_shown};

/// What a machine has before the first command of a page.
#[derive(Debug, Clone, Copy)]
enum Before {
    /// Nothing: the page installs orbsd.
    Nothing,
    /// The package.
    Installed,
    /// A server that `orbsd init` has configured, which runs.
    Running,
}

/// The pages, and what each assumes.
const GUIDES: [(&str, Before); 6] = [
    ("README.md", Before::Nothing),
    ("docs/getting-started.md", Before::Nothing),
    ("docs/zone-in-the-world.md", Before::Installed),
    ("docs/monitoring.md", Before::Running),
    ("docs/backup.md", Before::Running),
    ("docs/upgrade.md", Before::Running),
];

/// Whether this file runs a block.
pub fn runs(block: &Block) -> bool {
    let is_guide = GUIDES.iter().any(|(page, _)| *page == block.document);
    is_guide && ["sh", "console"].contains(&block.language.as_str())
}

/// A machine with a user `orbsd`, 192.0.2.1 as an address, and empty state, in the namespaces of this
/// script. It runs the commands of `$WORK/steps`, writes the output of each beside it, and stops the
/// daemon.
const MACHINE: &str = r#"
set -eu
trap '[ ! -s /run/orbsd.pid ] || kill "$(cat /run/orbsd.pid)" 2> /dev/null || true' EXIT
ip link set lo up
ip addr add 192.0.2.1/32 dev lo
mkdir "$WORK/etc"
cp -a /etc/. "$WORK/etc" 2> /dev/null || true
rm -rf "$WORK/etc/orbsd"
if [ -n "$USERS" ]; then
    grep -q '^orbsd:' /etc/passwd || echo 'orbsd:x:4711:4711::/nonexistent:/usr/sbin/nologin' >> "$WORK/etc/passwd"
    grep -q '^orbsd:' /etc/group || echo 'orbsd:x:4711:' >> "$WORK/etc/group"
fi
mount --bind "$WORK/etc" /etc
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$WORK/home"
cd "$WORK/home"
for step in "$WORK"/steps/*; do
    code=0
    timeout 120 sh -e "$step" < /dev/null > "$WORK/out/${step##*/}" 2>&1 || code=$?
    echo "$code" > "$WORK/codes/${step##*/}"
done
"#;

/// Replaces apt: puts in place what the package brings.
const APT: &str = r#"#!/bin/sh
set -eu
case "$*" in "install ./orbsd_"*"_amd64.deb" | "install --allow-downgrades ./orbsd_"*"_amd64.deb") ;; *) echo "apt: unknown command: $*" >&2; exit 64 ;; esac
ln -sf "$ORBSD" "$WORK/bin/orbsd"
[ -d /etc/orbsd ] || install -d -m 750 /etc/orbsd
[ -d /var/lib/orbsd ] || install -d -m 700 /var/lib/orbsd
if [ -n "$USERS" ]; then
    chown root:orbsd /etc/orbsd
    chown orbsd:orbsd /var/lib/orbsd
fi
"#;

/// Replaces systemd: runs the daemon with the command of orbsd.service.
const SYSTEMCTL: &str = r#"#!/bin/sh
set -eu
start() {
    orbsd --config /etc/orbsd/config.toml serve < /dev/null > /dev/null 2>> "$WORK/log" &
    echo $! > /run/orbsd.pid
    for i in $(seq 300); do
        orbsd --socket /run/orbsd/orbsd.sock status > /dev/null 2>&1 && return
        kill -0 $! 2> /dev/null || break
        sleep 0.1
    done
    cat "$WORK/log" >&2
    exit 1
}
stop() {
    pid=$(cat /run/orbsd.pid)
    kill "$pid"
    for i in $(seq 300); do
        kill -0 "$pid" 2> /dev/null || return 0
        sleep 0.1
    done
    exit 1
}
case "$*" in
"enable --now orbsd" | "start orbsd") start ;;
"stop orbsd" | "disable --now orbsd") stop ;;
"restart orbsd") stop; start ;;
"reload orbsd") orbsd --config /etc/orbsd/config.toml reload ;;
*) echo "systemctl: unknown command: $*" >&2; exit 64 ;;
esac
"#;

/// Replaces make: accepts each target of the Makefile.
const MAKE: &str = r#"#!/bin/sh
grep -q "^$1:" "$MAKEFILE"
"#;

/// A command or a block of commands of a page.
struct Step {
    /// The page and the line of its block.
    place: String,
    script: String,
    /// What the page shows below it; `None`: it has to succeed.
    shown: Option<Vec<String>>,
}

fn steps(page: &str, before: Before) -> Vec<Step> {
    let prepared: &[&str] = match before {
        Before::Nothing => &[],
        Before::Installed => &["apt install ./orbsd_0.1.0-1_amd64.deb"],
        Before::Running => &[
            "apt install ./orbsd_0.1.0-1_amd64.deb",
            "orbsd init --zone bl.example.org --yes",
            "systemctl enable --now orbsd",
        ],
    };
    let step = |command: &&str| Step {
        place: format!("{page}, before its first command"),
        script: (*command).into(),
        shown: None,
    };
    let mut out: Vec<Step> = prepared.iter().map(step).collect();
    for block in blocks(page).iter().filter(|b| runs(b)) {
        let place = format!("{page}:{}", block.line);
        if block.language == "sh" {
            out.push(Step {
                place,
                script: block.text.clone(),
                shown: None,
            });
            continue;
        }
        for line in block.text.lines() {
            match (line.strip_prefix("$ "), out.last_mut()) {
                (Some(command), _) => out.push(Step {
                    place: place.clone(),
                    script: command.into(),
                    shown: Some(Vec::new()),
                }),
                (
                    None,
                    Some(Step {
                        shown: Some(shown), ..
                    }),
                ) => shown.push(line.into()),
                (None, _) => panic!("{place}: no command before {line}"),
            }
        }
    }
    out
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// Runs the steps on a new machine; returns their exit codes and outputs, and the daemon's log.
fn run(steps: &[Step], folder: &Path) -> (Vec<(i32, String)>, String) {
    for name in ["steps", "out", "codes", "bin"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    let name = |i: usize| format!("{i:03}");
    for (i, step) in steps.iter().enumerate() {
        fs::write(folder.join("steps").join(name(i)), &step.script).unwrap();
    }
    for (program, text) in [("apt", APT), ("systemctl", SYSTEMCTL), ("make", MAKE)] {
        let draft = folder.join(program);
        fs::write(&draft, text).unwrap();
        // Another process writes the program: a child of another test might have it open otherwise.
        let installed = Command::new("install")
            .args(["-m", "755"])
            .args([&draft, &folder.join("bin").join(program)])
            .status();
        assert!(installed.unwrap().success());
    }
    let path = format!(
        "{}:{}",
        folder.join("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let out = Command::new("unshare")
        .args(match is_root() {
            true => &["-mn"][..],
            false => &["-rmn"],
        })
        .args(["--pid", "--fork", "--kill-child", "sh", "-c", MACHINE])
        .env("WORK", folder)
        .env("ORBSD", env!("CARGO_BIN_EXE_orbsd"))
        .env(
            "MAKEFILE",
            std::env::current_dir().unwrap().join("Makefile"),
        )
        // A user namespace has no other users.
        .env("USERS", if is_root() { "yes" } else { "" })
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let read = |part: &str, i: usize| {
        let path: PathBuf = [folder, Path::new(part), Path::new(&name(i))]
            .iter()
            .collect();
        fs::read_to_string(path).unwrap()
    };
    let result = |i| (read("codes", i).trim().parse().unwrap(), read("out", i));
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    ((0..steps.len()).map(result).collect(), log)
}

/// Runs a page, and compares what its commands print with what it shows.
fn follow(page: &str) {
    let (_, before) = GUIDES.iter().find(|(name, _)| *name == page).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let steps = steps(page, *before);
    let (results, log) = run(&steps, folder.path());
    for (step, (code, output)) in steps.iter().zip(&results) {
        let (place, script) = (&step.place, &step.script);
        match &step.shown {
            None => assert_eq!(*code, 0, "{place}: {script}\nprints\n{output}\n{log}"),
            Some(shown) => {
                let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
                let printed: Vec<&str> = output.lines().collect();
                assert!(
                    is_shown(&shown, &printed),
                    "{place}: {script}\nprints\n{output}\nbut the page shows\n{}\n{log}",
                    shown.join("\n")
                );
            }
        }
    }
    assert!(results.len() >= 5, "{page}: {}", results.len());
}

#[test]
fn first_page_is_followed_as_it_stands() {
    follow("README.md");
}

#[test]
fn guide_to_getting_started_is_followed_as_it_stands() {
    follow("docs/getting-started.md");
}

#[test]
fn guide_to_a_zone_in_the_world_is_followed_as_it_stands() {
    follow("docs/zone-in-the-world.md");
}

#[test]
fn guide_to_monitoring_is_followed_as_it_stands() {
    follow("docs/monitoring.md");
}

#[test]
fn guide_to_backups_is_followed_as_it_stands() {
    follow("docs/backup.md");
}

#[test]
fn guide_to_upgrades_is_followed_as_it_stands() {
    follow("docs/upgrade.md");
}

/// The daemon's group reads the configuration; only the daemon's user reads keys and the store.
#[test]
fn files_of_a_machine_belong_to_the_daemon_of_its_unit() {
    if !is_root() {
        eprintln!("skipped: only root gives files away");
        return;
    }
    let step = |script: &str| Step {
        place: String::new(),
        script: script.into(),
        shown: None,
    };
    let files = "/etc/orbsd /etc/orbsd/config.toml /etc/orbsd/zones /etc/orbsd/zones/bl.toml /etc/orbsd/keys /etc/orbsd/keys/mirror /var/lib/orbsd /var/lib/orbsd/data";
    let steps = [
        step("apt install ./orbsd_0.1.0-1_amd64.deb"),
        step("orbsd init --zone bl.example.org --yes"),
        step(&format!("stat -c '%U:%G %a' {files}")),
        step("find /var/lib/orbsd ! -user orbsd -o -perm /077"),
        step("find /etc/orbsd"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (results, _) = run(&steps, folder.path());
    assert!(results.iter().all(|(code, _)| *code == 0), "{results:?}");
    let owners: Vec<&str> = results[2].1.lines().collect();
    let (shared, private) = (["root:orbsd 750", "root:orbsd 640"], "orbsd:orbsd 700");
    assert_eq!(
        owners,
        [
            &shared[..],
            &shared,
            &[private, "orbsd:orbsd 600", private, private]
        ]
        .concat(),
        "{files}"
    );
    assert_eq!(results[3].1, "");
    assert_eq!(results[4].1.lines().count(), 6, "{}", results[4].1);
}

/// The commands of the first page up to the first answered listing: installing, `orbsd init`, a start
/// and the listing.
#[test]
fn first_answered_listing_needs_four_commands() {
    let commands = steps("README.md", Before::Nothing);
    let position = commands.iter().position(|s| s.script.starts_with("dig "));
    assert_eq!(position, Some(4), "the fifth command shows the answer");
    assert!(
        commands[0].script.starts_with("apt install "),
        "the first command installs"
    );
}
