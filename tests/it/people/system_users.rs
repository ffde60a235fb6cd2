//! System users: private files, and the identity of users at the socket.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process,
    time::{Duration, Instant},
};

use super::{group, is_root, orbsd};
use crate::lab::{CONFIG, Daemon, Folder};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

/// Returns all files below a directory, except those that a test of the daemon leaves there.
fn below(path: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(path).unwrap().flatten() {
        out.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            below(&entry.path(), out);
        }
    }
}

#[test]
fn store_journal_keys_and_backups_are_private_whatever_the_umask() {
    let config = format!(
        "{CONFIG}\n[[export]]\nzone = \"bl\"\nformat = \"list\"\npath = \"pub/deep/bl.txt\"\ninterval = \"1s\"\n"
    );
    let f = Folder::with(&config, &[("bl", crate::lab::ZONE)]);
    // A command that creates the store.
    assert_eq!(
        orbsd(&f, &["list", "45.1.1.1", "--reason", "relay"], None).0,
        0
    );
    assert_eq!(orbsd(&f, &["key", "create", "mirror"], None).0, 0);
    let backup = f.path().join("backup");
    let (code, text) = orbsd(&f, &["backup", backup.to_str().unwrap()], None);
    assert_eq!(code, 0, "{text}");
    fs::rename(f.path().join("data"), f.path().join("old")).unwrap();
    let (code, text) = orbsd(
        &f,
        &["restore", "backup", "--removal-log", "old/removals.log"],
        None,
    );
    assert_eq!(code, 0, "{text}");
    // A daemon whose user also has a umask of 0.
    let log = fs::File::create(f.path().join("log")).unwrap();
    let daemon = process::Command::new("sh")
        .args(["-c", "umask 0; exec ./orbsd serve"])
        .current_dir(f.path())
        .stderr(log)
        .spawn()
        .unwrap();
    let daemon = Daemon(daemon);
    let until = Instant::now() + Duration::from_secs(20);
    while !f.path().join("pub/deep/bl.txt").exists() {
        assert!(Instant::now() < until, "{}", f.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    for private in ["data", "old", "backup", "keys"] {
        let path = f.path().join(private);
        assert_eq!(mode(&path), 0o700, "{private}");
        let mut all = Vec::new();
        below(&path, &mut all);
        assert!(!all.is_empty());
        for p in all {
            assert_eq!(mode(&p) & 0o077, 0, "{}: {:o}", p.display(), mode(&p));
        }
    }
    // Files for other programs can be read; the socket is for its group.
    assert_eq!(
        ["pub", "pub/deep", "pub/deep/bl.txt"].map(|p| mode(&f.path().join(p))),
        [0o755, 0o755, 0o644]
    );
    assert_eq!(
        ["run", "run/orbsd.sock"].map(|p| mode(&f.path().join(p))),
        [0o750, 0o660]
    );
    assert!(daemon.stop().success());
    // A store of an earlier version that others could read is made private, and `check` warns of it
    // until then.
    fs::set_permissions(f.path().join("data"), fs::Permissions::from_mode(0o755)).unwrap();
    let (code, text) = orbsd(&f, &["check"], None);
    assert!(
        code == 0
            && text.contains("every user of this machine can read")
            && text.contains("chmod 700"),
        "{text}"
    );
    assert_eq!(orbsd(&f, &["status"], None).0, 0);
    assert_eq!(mode(&f.path().join("data")), 0o700);
    // A file that a command writes for the user gets the mode of the umask, and keeps it later.
    assert_eq!(orbsd(&f, &["export", "bl", "-o", "bl.zone"], None).0, 0);
    assert_eq!(mode(&f.path().join("bl.zone")), 0o666);
    fs::set_permissions(f.path().join("bl.zone"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(orbsd(&f, &["export", "bl", "-o", "bl.zone"], None).0, 0);
    assert_eq!(mode(&f.path().join("bl.zone")), 0o640);
}

/// Starts a daemon whose socket a group may open, with private keys. Returns the number of the
/// group too.
fn daemon_with_group(more: &str) -> (Folder, Daemon, u32) {
    let (name, gid) = group();
    let config = CONFIG.replace(
        "[admin]\n",
        &format!("[admin]\nsocket_group = \"{name}\"\n"),
    );
    let f = Folder::with(
        &format!("{config}\n{more}\n[[key]]\nname = \"mirror\"\nfile = \"keys/mirror\"\n"),
        &[("bl", crate::lab::ZONE)],
    );
    // The key is created first: without it the configuration is not valid.
    assert!(f.orbsd(&["key", "create", "mirror"]).status.success());
    let daemon = Daemon::start(&f);
    fs::set_permissions(f.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (path, mode) in [("run", 0o750), ("run/orbsd.sock", 0o660)] {
        let meta = fs::metadata(f.path().join(path)).unwrap();
        assert_eq!((meta.mode() & 0o777, meta.gid()), (mode, gid), "{path}");
    }
    (f, daemon, gid)
}

/// Creates a folder of the daemon's user and group, for programs that run as another user.
fn folder_owned_by(config: &str, (uid, gid): (u32, u32)) -> Folder {
    let f = Folder::with(config, &[("bl", crate::lab::ZONE)]);
    fs::create_dir(f.path().join("run")).unwrap();
    let all = ["", "zones", "zones/bl.toml", "config.toml", "run"];
    all.iter()
        .for_each(|p| std::os::unix::fs::chown(f.path().join(p), Some(uid), Some(gid)).unwrap());
    fs::set_permissions(f.path().join("run"), fs::Permissions::from_mode(0o750)).unwrap();
    f
}

#[test]
fn store_that_root_restores_into_a_folder_of_root_is_reported() {
    if !is_root() {
        return;
    }
    let user = (4711, 4712);
    let f = folder_owned_by(CONFIG, user);
    let copy = f.path().join("copy");
    for args in [
        &["list", "45.1.1.1", "--reason", "relay"][..],
        &["backup", copy.to_str().unwrap()],
    ] {
        assert_eq!(orbsd(&f, args, Some(user)).0, 0, "{args:?}");
    }
    fs::rename(f.path().join("data"), f.path().join("old")).unwrap();
    fs::create_dir(f.path().join("data")).unwrap();
    let (code, text) = orbsd(&f, &["restore", "copy", "--without-removal-log"], None);
    let data = f.path().join("data");
    let remedy = format!("run `chown -R 4711:4712 {}`", data.display());
    assert!(code == 0 && text.contains(&remedy), "{text}");
    assert_eq!(fs::metadata(data).unwrap().uid(), 0);
}

#[test]
fn store_restored_by_root_belongs_to_the_daemons_user() {
    if !is_root() {
        return;
    }
    let user = (4711, 4712);
    let f = folder_owned_by(CONFIG, user);
    let run = |args: &[&str], ids| {
        let (code, text) = orbsd(&f, args, ids);
        assert_eq!(code, 0, "{args:?}: {text}");
    };
    run(&["list", "45.1.1.1", "--reason", "relay"], Some(user));
    run(
        &["backup", f.path().join("copy").to_str().unwrap()],
        Some(user),
    );
    for restore in [
        &["restore", "copy", "--without-removal-log"][..],
        &["restore", "copy", "--removal-log", "old-0/removals.log"],
    ] {
        let old = (0..)
            .map(|n| f.path().join(format!("old-{n}")))
            .find(|p| !p.exists())
            .unwrap();
        fs::rename(f.path().join("data"), old).unwrap();
        run(restore, None);
        let mut all = vec![f.path().join("data"), f.path().join("data.mirrors.json")];
        below(&f.path().join("data"), &mut all);
        assert!(all.len() > 5);
        for path in all {
            assert_eq!(
                fs::symlink_metadata(&path)
                    .map(|m| (m.uid(), m.gid()))
                    .unwrap(),
                user,
                "{}",
                path.display()
            );
        }
        run(&["list", "45.1.1.2", "--reason", "relay"], Some(user));
    }
    // A refused command leaves no files that prevent the daemon's start.
    fs::rename(f.path().join("data"), f.path().join("old-2")).unwrap();
    f.write(
        "other.log",
        "{\"n\":9,\"at\":\"2026-01-01T00:00:00Z\",\"store\":\"ab\"}\n",
    );
    assert_eq!(
        orbsd(&f, &["restore", "copy", "--removal-log", "other.log"], None).0,
        1
    );
    run(&["list", "45.1.1.2", "--reason", "relay"], Some(user));
    run(&["key", "create", "mirror"], None);
    assert_eq!(
        ["keys", "keys/mirror"].map(|p| fs::metadata(f.path().join(p)).unwrap().uid()),
        [user.0; 2]
    );
    // A store that root would create.
    fs::rename(f.path().join("data"), f.path().join("gone")).unwrap();
    let (code, text) = orbsd(&f, &["list", "45.1.1.1", "--reason", "relay"], None);
    assert!(
        code == 1 && text.contains("belongs to uid 4711") && !f.path().join("data").exists(),
        "{text}"
    );
}

#[test]
fn existing_directory_gets_the_socket_group() {
    if !is_root() {
        return;
    }
    let (name, gid) = group();
    let f = folder_owned_by(
        &CONFIG.replace(
            "[admin]\n",
            &format!("[admin]\nsocket_group = \"{name}\"\n"),
        ),
        (0, 0),
    );
    let daemon = Daemon::start(&f);
    for path in ["run", "run/orbsd.sock"] {
        assert_eq!(
            fs::metadata(f.path().join(path)).unwrap().gid(),
            gid,
            "{path}"
        );
    }
    assert!(daemon.stop().success());
}

#[test]
fn socket_group_without_permission_is_reported_and_leaves_no_socket() {
    if !is_root() {
        return;
    }
    let (name, gid) = group();
    let user = (4711, 4712);
    let f = folder_owned_by(
        &CONFIG.replace(
            "[admin]\n",
            &format!("[admin]\nsocket_group = \"{name}\"\n"),
        ),
        user,
    );
    for folder in ["4712", "set"] {
        if folder == "set" {
            // The directory has the group already, and the socket cannot get it.
            std::os::unix::fs::chown(f.path().join("run"), None, Some(gid)).unwrap();
        }
        let (code, text) = orbsd(&f, &["serve"], Some(user));
        assert!(
            code != 0
                && text.contains("socket_group")
                && text.contains(&format!("SupplementaryGroups={name}")),
            "{text}"
        );
        assert!(!f.path().join("run/orbsd.sock").exists());
    }
    // A command without a daemon needs no group.
    let (code, text) = orbsd(&f, &["status"], Some(user));
    assert_eq!(code, 0, "{text}");
}

#[test]
fn socket_error_does_not_suggest_the_group_of_root() {
    if !is_root() {
        return;
    }
    let f = folder_owned_by(CONFIG, (0, 0));
    let _daemon = Daemon::start(&f);
    fs::set_permissions(f.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (code, text) = orbsd(&f, &["status"], Some((4711, 4712)));
    assert!(
        code == 1 && text.contains("no access to run/orbsd.sock") && text.contains("socket_group"),
        "{text}"
    );
    assert!(!text.contains("join the group"), "{text}");
}

/// Only root can run commands as other users.
#[test]
fn group_members_can_only_read_through_the_socket() {
    if !is_root() {
        return;
    }
    let (f, _daemon, gid) = daemon_with_group("");
    let member = Some((4711, gid));
    f.ok(&["list", "45.1.1.1", "--reason", "relay"]);
    let (code, text) = orbsd(&f, &["status"], member);
    assert!(code == 0 && text.contains("running since"), "{text}");
    let (code, text) = orbsd(&f, &["lookup", "45.1.1.1"], member);
    assert!(code == 0 && text.contains("listed by operator"), "{text}");
    // The keys cannot be read, so the daemon checks them.
    let (code, text) = orbsd(&f, &["check"], member);
    assert!(
        code == 0 && text.contains("the daemon has checked it") && text.contains("valid, 1 zone\n"),
        "{text}"
    );
    f.write("zones/bl.toml", "origin = 1");
    let (code, text) = orbsd(&f, &["check"], member);
    assert!(code == 2 && text.contains("bl.toml:1"), "{text}");
    // All other files.
    for args in [
        &["list", "45.1.1.2", "--reason", "relay"][..],
        &["audit"],
        &["user", "add", "eve", "--role", "owner"],
        &["reload"],
    ] {
        let (code, text) = orbsd(&f, args, member);
        assert!(
            code == 1 && text.contains("yours is reader"),
            "{args:?}: {code} {text}"
        );
    }
    let (code, text) = orbsd(&f, &["status"], Some((4712, 4712)));
    assert!(
        code == 1 && text.contains("no access to run/orbsd.sock: join the group"),
        "{text}"
    );
}

#[test]
fn system_user_is_mapped_to_the_configured_user() {
    if !is_root() {
        return;
    }
    let (f, _daemon, gid) = daemon_with_group("[admin.uids]\n4711 = \"anna\"");
    let member = Some((4711, gid));
    let (code, text) = orbsd(&f, &["status"], member);
    assert!(code == 1 && text.contains("which is not a user"), "{text}");
    f.ok(&["user", "add", "anna", "--role", "editor"]);
    let (code, text) = orbsd(&f, &["list", "45.1.1.2", "--reason", "relay"], member);
    assert_eq!(code, 0, "{text}");
    let last = f.json(&["lookup", "45.1.1.2", "--json"]);
    assert_eq!(last["history"][0]["author"], "anna");
    f.ok(&["user", "disable", "anna"]);
    let (code, text) = orbsd(&f, &["status"], member);
    assert!(
        code == 1 && text.contains("anna (uid 4711) is disabled"),
        "{text}"
    );
}
