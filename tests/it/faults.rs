//! Stores that are damaged, read-only or of earlier versions: no wrong answer, and no loss.

use std::{fs, process, time::Duration};

use orbsd::store::{Backup, Store};

use crate::lab::{Daemon, Folder, query, shown, udp};

#[test]
fn read_only_store_is_refused_and_works_again_when_writable() {
    let f = Folder::new();
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    let script = r#"
set -u
mount --bind data data && mount -o remount,bind,ro data || exit 90
$ORBSD serve 2> log; [ $? = 1 ] || exit 91
$ORBSD list 45.1.1.2 --reason relay > out 2>> log; [ $? = 1 ] || exit 92
umount data
"#;
    let out = process::Command::new("unshare")
        .args(["-rm", "sh", "-c", script])
        .env("ORBSD", env!("CARGO_BIN_EXE_orbsd"))
        .current_dir(f.path())
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{:?} {} {}",
        out.status,
        String::from_utf8_lossy(&out.stderr),
        f.log()
    );
    assert!(f.log().to_lowercase().contains("read-only"), "{}", f.log());
    f.ok(&["lookup", "45.1.1.1"]);
    assert_eq!(f.orbsd(&["lookup", "45.1.1.2"]).status.code(), Some(1));
    f.ok(&["list", "45.1.1.2", "--reason", "relay"]);
}

/// Such a store must not be taken for a new one, and served as an empty list.
#[test]
fn store_without_the_file_current_is_damaged() {
    let f = Folder::new();
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    let current = f.path().join("data/CURRENT");
    let text = fs::read(&current).unwrap();
    fs::remove_file(&current).unwrap();
    for _ in 0..2 {
        let out = f.orbsd(&["status"]);
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code() == Some(1) && stderr.contains("damaged"),
            "{stderr}"
        );
    }
    fs::write(&current, text).unwrap();
    f.ok(&["lookup", "45.1.1.1"]);
}

/// A newer image beside an older store shows that commits are lost. Mirrors may have their serials.
#[test]
fn older_copy_of_the_store_with_a_newer_image_makes_serials_jump() {
    let f = Folder::new();
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    let copy = f.path().join("copy");
    let run = |args: &[&str]| {
        assert!(
            process::Command::new(args[0])
                .args(&args[1..])
                .current_dir(f.path())
                .status()
                .unwrap()
                .success()
        );
    };
    run(&["cp", "-r", "data", "copy"]);
    f.ok(&["list", "45.1.1.2", "--reason", "relay"]);
    let serial = |f: &Folder| {
        f.json(&["status", "--json"])["zones"][0]["serial"]
            .as_u64()
            .unwrap()
    };
    let seen = serial(&f);
    fs::copy(f.path().join("data/image"), copy.join("image")).unwrap();
    fs::remove_dir_all(f.path().join("data")).unwrap();
    run(&["mv", "copy", "data"]);
    let _daemon = Daemon::start(&f);
    assert_eq!(f.orbsd(&["lookup", "45.1.1.2"]).status.code(), Some(1));
    f.ok(&["lookup", "45.1.1.1"]);
    assert!(
        serial(&f) >= seen + (1 << 30) - 1,
        "{} after {seen}",
        serial(&f)
    );
}

/// An image that this version did not write for this store, or that is damaged, is never misread:
/// the tables are built from the store, and a new image takes its place.
#[test]
fn image_of_another_version_or_store_or_a_damaged_one_is_rebuilt_from_the_store() {
    let f = Folder::new();
    let listed = ["45.1.1.1", "45.2.0.0/15", "2a00:1:2:3::/64"];
    for subject in listed {
        f.ok(&["list", subject, "--reason", "relay"]);
    }
    f.ok(&["list", "bad.example", "--reason", "spam"]);
    let image = f.path().join("data/image");
    let whole = fs::read(&image).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut image = whole.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    let middle = whole.len() / 2;
    for (damaged, why) in [
        (with(7, &[3]), "another version"),
        (with(7, &[255]), "another version"),
        (with(8, &[!whole[8]]), "another store"),
        (with(middle, &[!whole[middle]]), "without an image"),
        (
            with(whole.len() - 1, &[!whole[whole.len() - 1]]),
            "checksum",
        ),
        (whole[..middle].to_vec(), "without an image"),
        ([&whole[..], b"x"].concat(), "checksum"),
        (Vec::new(), "truncated"),
    ] {
        fs::write(&image, damaged).unwrap();
        f.write("log", "");
        let daemon = Daemon::start(&f);
        assert!(f.log().contains(why), "{why}: {}", f.log());
        for subject in listed.iter().chain(&["bad.example"]) {
            f.ok(&["lookup", subject]);
        }
        assert!(daemon.stop().success());
        f.write("log", "");
        let daemon = Daemon::start(&f);
        assert!(!f.log().contains("without an image"), "{}", f.log());
        f.ok(&["lookup", "2a00:1:2:3::1"]);
        assert!(daemon.stop().success());
    }
}

/// The serial of a zone that is not configured does not follow the changes of its listings.
#[test]
fn zone_that_returns_to_the_configuration_has_a_new_serial() {
    let f = Folder::new();
    let zone = fs::read_to_string(f.path().join("zones/bl.toml")).unwrap();
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    let serial = |f: &Folder| {
        f.json(&["status", "--json"])["zones"][0]["serial"]
            .as_u64()
            .unwrap()
    };
    let seen = serial(&f);
    fs::remove_file(f.path().join("zones/bl.toml")).unwrap();
    f.ok(&[
        "list",
        "45.1.1.2",
        "--reason",
        "relay",
        "--allow-unpublished",
    ]);
    f.write("zones/bl.toml", &zone);
    assert!(serial(&f) > seen);
}

/// The stores of earlier versions.
const FIXTURES: [&str; 5] = ["store-1", "store-2", "store-3", "store-4", "store-5"];

/// Puts the store of an earlier version where the configuration expects it.
fn unpack(f: &Folder, name: &str) {
    let fixture = std::env::current_dir()
        .unwrap()
        .join(format!("tests/fixtures/{name}.tar.gz"));
    let unpacked = process::Command::new("tar")
        .arg("xzf")
        .arg(&fixture)
        .current_dir(f.path())
        .status();
    assert!(unpacked.unwrap().success(), "{name}");
}

#[test]
fn stores_of_all_earlier_versions_are_upgraded_with_their_contents() {
    for name in FIXTURES {
        let f = Folder::new();
        unpack(&f, name);
        let _daemon = Daemon::start(&f);
        check_contents(&f);
    }
}

/// Makes a backup, as the program that wrote a store would, and moves the store away.
fn back_up(f: &Folder) {
    let (store, copy) = (f.path().join("data"), f.path().join("backup/store"));
    fs::create_dir_all(&copy).unwrap();
    for entry in fs::read_dir(&store).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_log = name
            .strip_suffix(".log")
            .is_some_and(|n| n.parse::<u64>().is_ok());
        let begins = |prefix: &str| name.starts_with(prefix);
        if is_log
            || name.ends_with(".sst")
            || ["CURRENT", "MANIFEST-", "OPTIONS-"].into_iter().any(begins)
        {
            fs::copy(store.join(&name), copy.join(&name)).unwrap();
        }
    }
    let description = Backup::read(&copy, "2026-01-02T03:04:05Z".into()).unwrap();
    let text = serde_json::to_string(&description).unwrap();
    f.write("backup/backup.json", &text);
    fs::rename(store, f.path().join("data.old")).unwrap();
}

#[test]
fn backups_of_stores_of_all_earlier_versions_are_restored_with_their_contents() {
    for (name, version) in FIXTURES.iter().zip(1..) {
        let f = Folder::new();
        unpack(&f, name);
        assert_eq!(
            Store::version_in(&f.path().join("data")).unwrap(),
            Some(version)
        );
        back_up(&f);
        let log = f.path().join("data.old/removals.log");
        match log.exists() {
            true => f.ok(&[
                "restore",
                "backup",
                "--removal-log",
                "data.old/removals.log",
            ]),
            false => f.ok(&["restore", "backup", "--without-removal-log"]),
        };
        let _daemon = Daemon::start(&f);
        check_contents(&f);
    }
}

#[test]
fn check_of_the_configuration_says_that_an_older_store_has_to_be_upgraded() {
    for (name, version) in FIXTURES.iter().zip(1..) {
        let f = Folder::new();
        unpack(&f, name);
        let out = f.ok(&["check"]);
        let expected = format!("written by an older orbsd (store version {version}; ");
        assert!(
            out.contains(&expected) && out.contains("start the daemon, which upgrades it"),
            "{name}: {out}"
        );
        assert_eq!(
            Store::version_in(&f.path().join("data")).unwrap(),
            Some(version)
        );
    }
}

#[test]
fn upgrade_of_the_store_extends_the_start_limit_of_systemd() {
    let f = Folder::new();
    unpack(&f, "store-5");
    let path = f.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let daemon = process::Command::new(env!("CARGO_BIN_EXE_orbsd"))
        .arg("serve")
        .current_dir(f.path())
        .env("NOTIFY_SOCKET", &path)
        .stderr(process::Stdio::null())
        .spawn()
        .map(Daemon)
        .unwrap();
    let mut states = Vec::new();
    while !states.iter().any(|s| s == "READY=1") {
        let mut buf = [0; 200];
        let n = socket.recv(&mut buf).unwrap();
        let text = std::str::from_utf8(&buf[..n]).unwrap();
        states.extend(text.lines().map(String::from));
    }
    assert_eq!(states, ["EXTEND_TIMEOUT_USEC=600000000", "READY=1"]);
    assert!(daemon.stop().success());
}

/// Checks the contents of a store that was made of one of the [`FIXTURES`], in a running daemon.
fn check_contents(f: &Folder) {
    let a = |name: &str| {
        shown(
            &udp(
                f.addr(),
                &query(&format!("{name}.bl.orbs.example"), 1, true),
                Duration::from_secs(5),
            )
            .unwrap(),
        )
    };
    assert_eq!(a("1.1.1.45"), "NOERROR 127.0.0.2");
    assert_eq!(a("2.1.1.45"), "NXDOMAIN soa 60");
    assert_eq!(
        (a("1.9.2.45").as_str(), a("1.3.2.45").as_str()),
        ("NOERROR 127.0.0.3", "NXDOMAIN soa 60")
    );
    assert_eq!(a("1.1.1.46"), "NXDOMAIN soa 60", "suppressed by a hold");
    assert_eq!(
        f.json(&["lookup", "45.1.1.1", "--json"])["history"][0]["evidence"]["text"],
        "seen"
    );
    f.write("a.txt", "45.2.0.0/16\n");
    let d = f.json(&[
        "import", "--json", "--source", "xbl", "--reason", "netblock", "a.txt",
    ]);
    assert_eq!(
        (&d["difference"]["removed"], &d["difference"]["same"]),
        (&2.into(), &1.into())
    );
}
