//! Regression tests: each comment describes the bug that the test excludes.

use std::time::Duration;

use crate::lab::{Daemon, Folder, query, shown, udp};

/// Events were written in a form that could not be read back, so that a look-up reported a damaged
/// store.
#[test]
fn history_with_every_kind_of_event_is_read_back() {
    let f = Folder::new();
    f.ok(&["list", "45.1.1.1", "--reason", "relay", "--note", "n"]);
    f.ok(&["delist", "45.1.1.1"]);
    f.ok(&["exempt", "45.1.1.1"]);
    f.ok(&["exempt", "--remove", "45.1.1.1"]);
    let events = f.json(&["lookup", "45.1.1.1", "--json"])["history"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(
        events, 5,
        "listed, delisted, held, exempted, exemption ended"
    );
}

fn answer(f: &Folder, name: &str) -> String {
    shown(
        &udp(
            f.addr(),
            &query(&format!("{name}.orbs.example"), 1, true),
            Duration::from_secs(5),
        )
        .unwrap(),
    )
}

/// Removing entries from a feed also removed its exclusions, so that excluded subjects were listed.
#[test]
fn removing_listings_from_a_feed_keeps_its_exclusions() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    f.write("h.rbl", "60.1.0.0/16\n!60.1.5.0/24\n");
    f.write("gone.txt", "60.1.5.0/24\n");
    f.write("hole.rbl", "!60.1.5.0/24\n");
    f.ok(&[
        "import", "--source", "xbl", "--reason", "relay", "--format", "rbldnsd", "h.rbl",
    ]);
    assert_eq!(answer(&f, "8.5.1.60.bl"), "NXDOMAIN soa 60");
    f.ok(&[
        "import", "--source", "xbl", "--reason", "relay", "--mode", "remove", "gone.txt",
    ]);
    assert_eq!(answer(&f, "8.5.1.60.bl"), "NXDOMAIN soa 60");
    f.ok(&[
        "import", "--source", "xbl", "--reason", "relay", "--format", "rbldnsd", "--mode",
        "remove", "hole.rbl",
    ]);
    assert_eq!(
        answer(&f, "8.5.1.60.bl"),
        "NOERROR 127.0.0.2",
        "an exclusion itself can be removed"
    );
    f.write("v.rbl", "63.1.0.0/16 :127.0.0.2:\n63.1.2.3 :127.0.0.3:\n");
    f.write("one.txt", "63.1.2.3\n");
    f.ok(&[
        "import",
        "--source",
        "two",
        "--code-zone",
        "bl",
        "--format",
        "rbldnsd",
        "v.rbl",
    ]);
    f.ok(&[
        "import", "--source", "two", "--reason", "relay", "--mode", "remove", "one.txt",
    ]);
    assert_eq!(answer(&f, "3.2.1.63.bl"), "NOERROR 127.0.0.3");
}

/// A name in a master file of domains was read without its effect on names below it, which a
/// wildcard above does not match.
#[test]
fn imported_master_file_of_domains_gives_the_same_answers() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    f.ok(&[
        "list",
        "--reason",
        "spam",
        ".foo.test",
        "*.bar.test",
        "q.bar.test",
    ]);
    f.ok(&["exempt", ".x.foo.test"]);
    let names = [
        "foo.test",
        "a.foo.test",
        "x.foo.test",
        "y.x.foo.test",
        "z.bar.test",
        "q.bar.test",
        "z.q.bar.test",
    ];
    let before: Vec<String> = names
        .iter()
        .map(|n| answer(&f, &format!("{n}.dbl")))
        .collect();
    assert_eq!(before[3], "NXDOMAIN soa 60");
    f.ok(&["export", "dbl", "-o", "d.zone"]);
    f.ok(&[
        "delist",
        "--no-hold",
        ".foo.test",
        "*.bar.test",
        "q.bar.test",
    ]);
    f.ok(&["exempt", "--remove", ".x.foo.test"]);
    f.ok(&[
        "import",
        "--source",
        "m",
        "--code-zone",
        "dbl",
        "--format",
        "master",
        "d.zone",
    ]);
    let after: Vec<String> = names
        .iter()
        .map(|n| answer(&f, &format!("{n}.dbl")))
        .collect();
    // An exempt name is NODATA and an excluded one NXDOMAIN; all other answers are the same.
    assert_eq!(
        (before[0..2].to_vec(), before[3..].to_vec()),
        (after[0..2].to_vec(), after[3..].to_vec())
    );
    assert!(!after[2].contains("127."), "{}", after[2]);
}

/// A command was killed by a signal, without a message, when its daemon ended.
#[test]
fn command_whose_daemon_is_killed_reports_an_error() {
    let f = Folder::new();
    let daemon = Daemon::start(&f);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_orbsd"))
        .args(["list", "--reason", "relay"])
        .current_dir(f.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        for i in 0..400_000u32 {
            if std::io::Write::write_all(
                &mut stdin,
                format!("{}\n", std::net::Ipv4Addr::from(0x2d00_0000 + i)).as_bytes(),
            )
            .is_err()
            {
                return;
            }
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    drop(daemon);
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let output = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(1) && output.contains("orbsd: "),
        "{:?} {output}",
        out.status
    );
}

/// An export replaced a device or a link by a file.
#[test]
fn export_writes_into_pipes_and_through_links() {
    use std::os::unix::fs::FileTypeExt;
    let f = Folder::new();
    let dir = f.path();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(dir.join("pipe"))
            .status()
            .unwrap()
            .success()
    );
    let reader = std::process::Command::new("cat")
        .arg(dir.join("pipe"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    f.ok(&["export", "bl", "-o", "pipe"]);
    assert!(
        String::from_utf8(reader.wait_with_output().unwrap().stdout)
            .unwrap()
            .contains("$ORIGIN")
    );
    assert!(
        std::fs::symlink_metadata(dir.join("pipe"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
    f.write("target", "old");
    std::os::unix::fs::symlink("target", dir.join("link")).unwrap();
    f.ok(&["export", "bl", "-o", "link"]);
    assert!(
        std::fs::symlink_metadata(dir.join("link"))
            .unwrap()
            .is_symlink()
    );
    assert!(
        std::fs::read_to_string(dir.join("target"))
            .unwrap()
            .contains("$ORIGIN")
    );
}

/// A failed download removed a whole list, and a directory was reported as a daemon that does not
/// answer.
#[test]
fn empty_file_or_directory_is_refused_as_a_list() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    f.write("a.txt", "45.1.1.1\n");
    f.write("empty.txt", "# nothing today\n");
    let import = |args: &[&str]| {
        f.orbsd(&[&["import", "--source", "xbl", "--reason", "relay"], args].concat())
    };
    assert!(import(&["a.txt"]).status.success());
    for (args, code, part) in [
        (&["empty.txt"][..], 3, "--allow-empty"),
        (&["zones"], 2, "zones is a directory"),
        (&["--max-age", "0s", "a.txt"], 2, "max_age"),
    ] {
        let out = import(args);
        let output = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code() == Some(code) && output.contains(part),
            "{args:?}: {:?} {output}",
            out.status
        );
        assert_eq!(answer(&f, "1.1.1.45.bl"), "NOERROR 127.0.0.2");
    }
    assert!(import(&["--allow-empty", "empty.txt"]).status.success());
    assert_eq!(answer(&f, "1.1.1.45.bl"), "NXDOMAIN soa 60");
}

#[test]
fn reload_names_the_changed_keys_that_need_a_restart() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let config = std::fs::read_to_string(f.path().join("config.toml")).unwrap();
    f.write("config.toml", &config.replace("workers = 2", "workers = 1"));
    let output = f.ok(&["reload"]);
    assert!(
        output.contains("dns.workers has changed; restart the daemon to apply it"),
        "{output}"
    );
}
