//! Imports: modes, errors with their positions, atomicity, and the round trip through exports.

use std::{collections::BTreeSet, io::Write, time::Duration};

use crate::lab::{Daemon, Folder};

fn report(f: &Folder, args: &[&str]) -> serde_json::Value {
    f.json(
        &[
            &["import", "--json", "--source", "xbl", "--reason", "relay"],
            args,
        ]
        .concat(),
    )
}

fn listed(f: &Folder) -> BTreeSet<String> {
    f.ok(&["export", "bl", "--format", "list"])
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(String::from)
        .collect()
}

#[test]
fn modes_change_the_source_and_dry_runs_and_errors_do_not() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    f.write("a.txt", "45.1.1.1\n45.1.1.2\n45.2.0.0/16\n10.0.0.1\n");
    f.write("b.txt", "45.1.1.2\n45.1.1.3\n");
    f.write("bad.txt", "45.1.1.9\n45.1.1.7/24\nnope_!\n");
    let d = report(&f, &["--dry-run", "a.txt"]);
    assert_eq!(
        (
            &d["difference"]["added"],
            &d["report"]["left_out"][0]["count"],
            &d["receipt"]
        ),
        (&3.into(), &1.into(), &serde_json::Value::Null)
    );
    assert!(listed(&f).is_empty());
    assert_eq!(report(&f, &["a.txt"])["difference"]["added"], 3);
    assert_eq!(report(&f, &["a.txt"])["difference"]["same"], 3);
    let d = report(&f, &["b.txt"]);
    assert_eq!(
        (
            &d["difference"]["added"],
            &d["difference"]["removed"],
            &d["difference"]["same"]
        ),
        (&1.into(), &2.into(), &1.into())
    );
    assert_eq!(
        listed(&f),
        ["45.1.1.2", "45.1.1.3"].map(String::from).into()
    );
    report(&f, &["--mode", "add", "a.txt"]);
    assert_eq!(
        listed(&f),
        ["45.1.1.1", "45.1.1.2", "45.1.1.3", "45.2.0.0/16"]
            .map(String::from)
            .into()
    );
    report(&f, &["--mode", "remove", "b.txt"]);
    assert_eq!(
        listed(&f),
        ["45.1.1.1", "45.2.0.0/16"].map(String::from).into()
    );
    // Errors change nothing, and are reported with their positions.
    let out = f.orbsd(&["import", "--source", "xbl", "--reason", "relay", "bad.txt"]);
    let output = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(3), "{output}");
    for part in [
        "bad.txt:2:1: `45.1.1.7/24` has host bits set; the prefix is 45.1.1.0/24",
        "bad.txt:3:1",
        "nothing was changed",
    ] {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert_eq!(
        listed(&f),
        ["45.1.1.1", "45.2.0.0/16"].map(String::from).into()
    );
    report(&f, &["--skip-errors", "--clear-host-bits", "bad.txt"]);
    assert_eq!(listed(&f), ["45.1.1.0/24"].map(String::from).into());
    // `operator` is not a feed.
    assert_eq!(
        f.orbsd(&[
            "import", "--source", "operator", "--reason", "relay", "a.txt"
        ])
        .status
        .code(),
        Some(1)
    );
}

#[test]
fn file_with_an_unusual_name_is_imported_and_named_in_errors() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    for name in ["fi\u{1b}[31m\nle.txt", "a\"b\\c%41.txt", "é\u{85}.txt"] {
        f.write(name, "45.1.1.1\n");
        assert_eq!(report(&f, &[name])["report"]["lines"], 1, "{name:?}");
        f.write(name, "nope_!\n");
        let out = f.orbsd(&["import", "--source", "xbl", "--reason", "relay", name]);
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        let shown = orbsd::model::text::escape(name).into_owned();
        assert!(
            out.status.code() == Some(3) && text.contains(&format!("{shown}:1:1")),
            "{name:?}: {text}"
        );
    }
}

#[test]
fn large_import_is_atomic_and_survives_a_kill() {
    let f = Folder::new();
    let daemon = Daemon::start(&f);
    let all: Vec<u32> = (0..60_000u32)
        .map(|i| 0x2d00_0000 | i.wrapping_mul(2_654_435_761) >> 8)
        .collect();
    let text = |skip: usize| {
        all.iter()
            .skip(skip)
            .map(|a| format!("{}\n", std::net::Ipv4Addr::from(*a)))
            .collect::<String>()
    };
    let count = |v: &[u32]| v.iter().collect::<BTreeSet<_>>().len() as u64;
    f.write("a.txt", &text(0));
    f.write("b.txt", &text(30_000));
    let d = report(&f, &["a.txt"]);
    assert_eq!(d["difference"]["added"].as_u64(), Some(count(&all)));
    let first = std::net::Ipv4Addr::from(all[0]).to_string();
    f.ok(&["delist", "--source", "xbl", &first]);
    assert_eq!(
        f.json(&["lookup", &first, "--json"])["history"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let hosts = |f: &Folder| {
        f.json(&["status", "--json"])["listed"]["ipv4_hosts"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(hosts(&f), count(&all) - 1);
    report(&f, &["b.txt"]);
    assert_eq!(hosts(&f), count(&all[30_000..]));
    // The feed has dropped the entry once, which ended the hold; the next import lists it.
    report(&f, &["a.txt"]);
    assert_eq!(
        (hosts(&f), &f.json(&["lookup", &first, "--json"])["listed"]),
        (count(&all), &true.into())
    );
    drop(daemon); // kill -9
    let _daemon = Daemon::start(&f);
    assert_eq!(hosts(&f), count(&all));
}

/// The command line must not append a line end to a file, which would damage a gzip file.
#[test]
fn several_files_packed_or_not_are_one_list() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let gz = |name: &str, text: &str| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(text.as_bytes()).unwrap();
        std::fs::write(f.path().join(name), out.finish().unwrap()).unwrap();
    };
    gz("a.txt.gz", "45.1.1.1\n45.1.1.2\n");
    gz("b.txt.gz", "45.1.1.3");
    f.write("c.txt", "45.1.1.4"); // no end of line
    f.write("d.txt", "45.1.1.5\n");
    report(&f, &["a.txt.gz"]);
    assert_eq!(
        listed(&f),
        ["45.1.1.1", "45.1.1.2"].map(String::from).into()
    );
    report(&f, &["a.txt.gz", "c.txt", "b.txt.gz", "d.txt"]);
    assert_eq!(
        listed(&f),
        ["45.1.1.1", "45.1.1.2", "45.1.1.3", "45.1.1.4", "45.1.1.5"]
            .map(String::from)
            .into()
    );
    // Errors name the file and its line. A default value of one file does not apply to the next.
    f.write("e1.txt", "45.1.1.1\n45.1.1.2\n");
    f.write("e2.txt", "45.1.1.3\nnope_!\n");
    let out = f.orbsd(&[
        "import", "--source", "xbl", "--reason", "relay", "e1.txt", "e2.txt",
    ]);
    let output = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(3) && output.contains("e2.txt:2:1"),
        "{output}"
    );
    f.write("v1.rbl", ":127.0.0.3:blah\n45.2.1.1\n");
    f.write("v2.rbl", "45.2.1.2\n");
    f.ok(&[
        "import",
        "--source",
        "two",
        "--code-zone",
        "bl",
        "--format",
        "rbldnsd",
        "v1.rbl",
        "v2.rbl",
    ]);
    let zones = |s: &str| f.json(&["lookup", s, "--json"])["zones"][0]["codes"][0].clone();
    assert_eq!(
        (zones("45.2.1.1"), zones("45.2.1.2")),
        ("127.0.0.3".into(), "127.0.0.2".into())
    );
}

/// A text of 90,000 bytes must not make the store unreadable.
#[test]
fn overlong_text_is_truncated() {
    let f = Folder::new();
    let mut line = b"45.1.1.1 :2:".to_vec();
    line.extend([0xff; 30_000]);
    line.push(b'\n');
    std::fs::write(f.path().join("a.rbl"), line).unwrap();
    f.ok(&[
        "import", "--source", "xbl", "--reason", "relay", "--format", "rbldnsd", "a.rbl",
    ]);
    f.ok(&["lookup", "45.1.1.1"]);
    std::fs::remove_file(f.path().join("data/image")).unwrap();
    f.ok(&["lookup", "45.1.1.1"]);
}

#[test]
fn dry_run_stores_nothing_and_a_partial_import_keeps_the_expiry() {
    let f = Folder::new();
    f.write("a.txt", "45.1.1.1\n45.1.1.2\n");
    f.write("b.txt", "45.1.1.2\n");
    report(&f, &["--dry-run", "a.txt"]);
    let source = |f: &Folder| {
        f.json(&["status", "--json"])["sources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|s| s["source"] == "xbl")
            .cloned()
    };
    assert_eq!(source(&f), None);
    report(&f, &["--max-age", "2d", "a.txt"]);
    let ends = source(&f).unwrap()["expires"].clone();
    assert!(ends.is_string());
    report(&f, &["--mode", "remove", "b.txt"]);
    assert_eq!(
        source(&f).unwrap()["expires"],
        ends,
        "a partial import does not change the expiry"
    );
    report(&f, &["a.txt"]);
    assert!(source(&f).unwrap()["expires"].is_null());
    // A feed has no single listings.
    let out = f.orbsd(&["list", "45.1.1.9", "--reason", "relay", "--source", "xbl"]);
    assert_eq!(out.status.code(), Some(1));
}

#[test]
fn import_whose_sender_disconnects_changes_nothing() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    f.write("a.txt", "45.1.1.1\n");
    report(&f, &["a.txt"]);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_orbsd"))
        .args(["import", "--source", "xbl", "--reason", "relay", "-"])
        .current_dir(f.path())
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .as_mut()
        .unwrap()
        .write_all("46.1.1.1\n".repeat(1000).as_bytes())
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    std::process::Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    child.wait().unwrap();
    // The source can be imported again as soon as the daemon has noticed the disconnect.
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !f
        .orbsd(&["import", "--source", "xbl", "--reason", "relay", "a.txt"])
        .status
        .success()
    {
        assert!(std::time::Instant::now() < until, "{}", f.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(listed(&f), ["45.1.1.1"].map(String::from).into());
}

#[test]
fn imported_export_is_the_same_list() {
    let f = Folder::new();
    let _daemon = Daemon::start(&f);
    let list = "45.1.1.1\n45.1.1.2 :3:why $\n46.1.0.0/20 :3:\n!46.1.1.0/25\n2a00:1:2::/48 :2:six\n2a00:1:2:3::4\n!2a00:1:2:4::/64\n47.0.0.0/8\n";
    f.write("a.rbl", list);
    f.ok(&[
        "import",
        "--source",
        "one",
        "--code-zone",
        "bl",
        "--format",
        "rbldnsd",
        "a.rbl",
    ]);
    for (format, pieces) in [
        ("master", "master"),
        ("rbldnsd", "rbldnsd"),
        ("list", "list"),
        ("cidr", "list"),
    ] {
        let text = f.ok(&["export", "bl", "--format", format]);
        let other = Folder::new();
        other.write("x", &text);
        let reasons: &[&str] = if pieces == "list" {
            &["--reason", "relay"]
        } else {
            &["--code-zone", "bl"]
        };
        other.ok(&[
            &["import", "--source", "two", "--format", pieces, "x"][..],
            reasons,
        ]
        .concat());
        let again = other.ok(&["export", "bl", "--format", "cidr"]);
        let body = |t: &str| {
            t.lines()
                .filter(|l| !l.starts_with('#'))
                .map(String::from)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            body(&again),
            body(&f.ok(&["export", "bl", "--format", "cidr"])),
            "{format}"
        );
    }
}
