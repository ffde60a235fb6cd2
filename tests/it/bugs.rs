//! Bugs by their names.

use std::time::Duration;

use crate::lab::{Daemon, Folder, query, shown, udp};

/// Events were written in a form that could not be read back, so that a look-up called the store
/// damaged.
#[test]
fn history_with_every_kind_of_event_reads_back() {
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
        "listed, delisted, held, exempted, and that is over"
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

/// Taking entries away from a feed took its exceptions too, and so listed what it had excepted.
#[test]
fn taking_listings_away_leaves_the_exceptions() {
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
        "the exception itself can be taken away"
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

/// A name in a master file of domains stops the wildcard above it for what is below the name too.
#[test]
fn a_master_file_of_domains_comes_back_as_it_went_out() {
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
    // An exempt name is NODATA, an excepted one does not exist; the rest is the same to the letter.
    assert_eq!(
        (before[0..2].to_vec(), before[3..].to_vec()),
        (after[0..2].to_vec(), after[3..].to_vec())
    );
    assert!(!after[2].contains("127."), "{}", after[2]);
}

/// A command died of a signal, without a word, when its daemon did.
#[test]
fn a_command_whose_daemon_dies_says_so() {
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
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(1) && said.contains("orbsd: "),
        "{:?} {said}",
        out.status
    );
}

/// An export replaced whatever stood under the name: a device, a link.
#[test]
fn an_export_replaces_files_alone() {
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

/// A download that failed took a whole list away; a directory was told as a daemon that does not
/// answer.
#[test]
fn what_is_no_list_changes_nothing_and_is_named() {
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
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code() == Some(code) && said.contains(part),
            "{args:?}: {:?} {said}",
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
    let said = f.ok(&["reload"]);
    assert!(
        said.contains("dns.workers has changed; restart the daemon to apply it"),
        "{said}"
    );
}
