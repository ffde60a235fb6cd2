//! `orbsd init`: the files that it writes, and what it refuses.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use crate::lab::{Daemon, Folder, free_port, query, shown, udp};

/// An empty folder.
fn empty() -> Folder {
    let f = Folder::with("", &[]);
    fs::remove_file(f.path().join("config.toml")).unwrap();
    fs::remove_dir(f.path().join("zones")).unwrap();
    f
}

/// All files and folders below a folder with their modes and contents, without the sockets of
/// daemons and the store's own files.
fn tree(folder: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut out = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = match metadata.is_file() {
                true => fs::read(&path).unwrap(),
                false => Vec::new(),
            };
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            let name = path.strip_prefix(folder).unwrap().to_path_buf();
            out.push((name, metadata.mode() & 0o7777, content));
        }
    }
    out.sort();
    out
}

fn text(out: &Output) -> String {
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

/// Moves the API of a written configuration to a free port.
fn use_free_port_for_api(f: &Folder) {
    let config = fs::read_to_string(f.path().join("config.toml")).unwrap();
    f.write(
        "config.toml",
        &config.replace("127.0.0.1:8053", &format!("127.0.0.1:{}", free_port())),
    );
}

#[test]
fn new_server_is_sound_and_answers_with_its_first_listing() {
    let f = empty();
    let listen = f.addr().to_string();
    let done = f.json(&[
        "init",
        "--json",
        "--yes",
        "--zone",
        "BL.Example.org",
        "--listen",
        &listen,
        "--ns",
        "ns1.bl.example.org=192.0.2.1,ns.example.net",
        "--mirror",
        "192.0.2.53",
        "--user",
        "anna",
    ]);
    for (path, mode) in [
        ("config.toml", 0o640),
        ("zones", 0o750),
        ("zones/bl.toml", 0o640),
        ("keys", 0o700),
        ("keys/mirror", 0o600),
        ("data", 0o700),
    ] {
        let found = f.path().join(path).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{path}");
    }
    let names: Vec<PathBuf> = tree(f.path()).into_iter().map(|(name, ..)| name).collect();
    let names: Vec<&Path> = names.iter().map(PathBuf::as_path).collect();
    assert!(!names.contains(&Path::new("config.toml.new")), "{names:?}");
    assert_eq!(
        done["delegation"],
        serde_json::json!([
            "bl.example.org.     IN NS   ns1.bl.example.org.",
            "bl.example.org.     IN NS   ns.example.net.",
            "ns1.bl.example.org. IN A    192.0.2.1",
        ])
    );
    assert_eq!(done["mirror"].as_array().unwrap().len(), 4);
    let secret = fs::read_to_string(f.path().join("keys/mirror")).unwrap();
    let secret = secret.split('"').nth(3).unwrap();
    assert!(
        done["mirror"][0][1].as_str().unwrap().contains(secret),
        "{done}"
    );

    let checked = f.json(&["check", "--json"]);
    assert_eq!(
        (&checked["errors"], &checked["warnings"]),
        (&"[]".parse().unwrap(), &"[]".parse().unwrap()),
        "{checked}"
    );
    // No host is listed.
    assert_eq!(f.orbsd(&["lookup", "45.51.100.7"]).status.code(), Some(1));
    use_free_port_for_api(&f);
    let _daemon = Daemon::start(&f);
    f.ok(&["list", "45.51.100.7", "--reason", "relay"]);
    let ask = |name: &str, kind| {
        let query = query(&format!("{name}.bl.example.org"), kind, true);
        shown(&udp(f.addr(), &query, Duration::from_secs(5)).unwrap())
    };
    assert_eq!(ask("7.100.51.45", 1), "NOERROR 127.0.0.2");
    assert!(
        ask("7.100.51.45", 16).contains("Open relay: 45.51.100.7; contact hostmaster@example.org"),
        "{}",
        ask("7.100.51.45", 16)
    );
    assert_eq!(ask("8.100.51.45", 1), "NXDOMAIN soa 60");
    assert_eq!(ask("ns1", 1), "NOERROR 192.0.2.1");
    // The token is one of an owner, and the user has the printed secrets.
    let users = f.json(&["user", "list", "--json"]);
    assert_eq!(
        (&users["items"][0]["name"], &users["items"][0]["role"]),
        (&"anna".into(), &"owner".into())
    );
    assert!(
        done["user"]["password"].as_str().unwrap().len() >= 12,
        "{done}"
    );
    let token = f.write("token", done["token"].as_str().unwrap());
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let config = f.config();
    let server = format!("http://{}", config.admin.listen.unwrap());
    f.ok(&["user", "list", "--server", &server, "--token", "token"]);
}

#[test]
fn second_run_is_refused_and_changes_nothing() {
    let f = empty();
    let init = ["init", "--zone", "bl.example.org", "--yes"];
    f.ok(&init);
    let before = tree(f.path());
    for arguments in [&init[..], &["init", "--zone", "other.example.org", "--yes"]] {
        let out = f.orbsd(arguments);
        let said = text(&out);
        assert_eq!(out.status.code(), Some(1), "{said}");
        for part in [
            "config.toml",
            "zones/bl.toml",
            "keys/mirror",
            "data",
            "orbsd init DIR",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    assert_eq!(tree(f.path()), before);
}

#[test]
fn each_existing_file_is_refused_before_anything_is_written() {
    for name in [
        "config.toml",
        "zones/other.toml",
        "keys/mirror",
        "data/file",
        "config.toml.new",
    ] {
        let f = empty();
        let path = f.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let before = tree(f.path());
        let out = f.orbsd(&["init", "--zone", "bl.example.org", "--yes"]);
        let named = name.split('/').next().unwrap();
        assert!(
            out.status.code() == Some(1) && text(&out).contains(named),
            "{name}: {}",
            text(&out)
        );
        assert_eq!(tree(f.path()), before, "{name}");
    }
}

#[test]
fn answers_come_from_standard_input_and_bad_ones_are_asked_again() {
    let f = empty();
    let answers =
        "bl\nbl.example.org\n\nns1.example.org=192.0.2.1\nnobody\npostmaster@example.org\n\nanna\n";
    let out = f.orbsd_with(&["init", "server"], answers);
    let said = text(&out);
    assert!(out.status.success(), "{said}");
    assert!(
        said.contains("Zone to publish") && said.contains("[127.0.0.1:5300]"),
        "{said}"
    );
    let zone = fs::read_to_string(f.path().join("server/zones/bl.toml")).unwrap();
    assert!(
        zone.contains("contact = \"postmaster@example.org\""),
        "{zone}"
    );
    assert!(
        said.contains("anna: owner") && said.contains("orbsd --config server/config.toml check"),
        "{said}"
    );
    f.ok(&["check", "--config", "server/config.toml"]);
    // An input that ends early names the first missing option, and nothing is written.
    let out = f.orbsd_with(&["init", "other"], "bl.example.org\n");
    assert!(
        out.status.code() == Some(2) && text(&out).contains("--listen: "),
        "{}",
        text(&out)
    );
    assert!(!f.path().join("other").exists());
}

#[test]
fn questions_are_answered_on_a_terminal() {
    let f = empty();
    // script(1) runs the command on a terminal of its own.
    let mut child = Command::new("script")
        .args([
            "-q",
            "-e",
            "-c",
            &format!("{} init", env!("CARGO_BIN_EXE_orbsd")),
            "/dev/null",
        ])
        .current_dir(f.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut said = String::new();
    let mut buffer = [0; 4096];
    for (question, answer) in [
        ("bl.example.org: ", "bl.example.org"),
        ("[127.0.0.1:5300]: ", ""),
        ("[ns1.example.org]: ", ""),
        ("[hostmaster@example.org]: ", ""),
        ("[none]: ", ""),
        ("[admin]: ", ""),
    ] {
        while !said.ends_with(question) {
            let n = output.read(&mut buffer).unwrap();
            assert!(n > 0, "the command ended before `{question}`: {said}");
            said += &String::from_utf8_lossy(&buffer[..n]);
        }
        writeln!(input, "{answer}").unwrap();
    }
    output.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert!(said.contains("No host is listed"), "{said}");
    f.ok(&["check"]);
}

#[test]
fn wrong_option_is_named_and_nothing_is_written() {
    let f = empty();
    for (arguments, part) in [
        (&["--yes"][..], "--zone: "),
        (
            &[
                "--yes",
                "--zone",
                "bl.example.org",
                "--ns",
                "ns1.bl.example.org",
            ],
            "--ns: ",
        ),
        (
            &["--yes", "--zone", "bl.example.org", "--listen", "here"],
            "--listen: ",
        ),
        (
            &["--yes", "--zone", "bl.example.org", "--config", "x.toml"],
            "--config: ",
        ),
    ] {
        let out = f.orbsd(&[&["init"], arguments].concat());
        assert!(
            out.status.code() == Some(2) && text(&out).contains(part),
            "{arguments:?}: {}",
            text(&out)
        );
    }
    assert!(tree(f.path()).is_empty());
}

#[test]
fn command_without_a_configuration_names_init() {
    let f = empty();
    for arguments in [
        &["serve"][..],
        &["check"],
        &["list", "45.1.1.1", "--reason", "relay"],
        &["status"],
    ] {
        let out = f.orbsd(arguments);
        let said = text(&out);
        assert_eq!(out.status.code(), Some(2), "{arguments:?}: {said}");
        assert_eq!(
            said.trim_end().lines().collect::<Vec<_>>(),
            [
                "orbsd: there is no configuration config.toml: `orbsd init` writes one, and `--config FILE` names another one"
            ],
            "{arguments:?}"
        );
    }
}

/// Runs a script in a mount namespace of its own; `$ORBSD` is the program.
fn in_namespace(f: &Folder, script: &str) -> Output {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    Command::new("unshare")
        .args([if root { "-m" } else { "-rm" }, "sh", "-c", script])
        .env("ORBSD", env!("CARGO_BIN_EXE_orbsd"))
        .current_dir(f.path())
        .output()
        .unwrap()
}

#[test]
fn read_only_folder_is_named_and_stays_as_it_is() {
    let f = empty();
    fs::create_dir(f.path().join("etc")).unwrap();
    let out = in_namespace(
        &f,
        "mount -t tmpfs -o ro tmpfs etc && \"$ORBSD\" init etc/orbsd --zone bl.example.org --yes",
    );
    let said = text(&out);
    assert!(
        out.status.code() == Some(1)
            && said.contains("etc/orbsd: ")
            && said.contains("nothing was changed"),
        "{said}"
    );
}

/// The size of the disk decides which of the files does not fit: each time, all of them are removed.
#[test]
fn full_disk_leaves_no_file() {
    for size in ["8k", "16k", "24k", "32k", "64k"] {
        let f = empty();
        fs::create_dir(f.path().join("disk")).unwrap();
        let script = format!(
            "mount -t tmpfs -o size={size} tmpfs disk && ! \"$ORBSD\" init disk/orbsd --zone bl.example.org --yes && [ -z \"$(ls -A disk)\" ]"
        );
        let out = in_namespace(&f, &script);
        assert!(out.status.success(), "{size}: {}", text(&out));
        assert!(text(&out).contains("orbsd: "), "{size}: {}", text(&out));
    }
}
