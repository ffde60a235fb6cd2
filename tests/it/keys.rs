//! TSIG keys: created on the command line, used by the configuration.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
};

use orbsd::{
    dns::tsig::{self, TsigSession},
    model::{Algorithm, Time},
};

use crate::lab::{CONFIG, Daemon, Folder, ZONE, query};

/// Creates a key, and puts the printed lines for our own files into them.
fn with_key(f: &Folder) -> serde_json::Value {
    let made = f.json(&[
        "key",
        "create",
        "Mirror.Example.",
        "--algorithm",
        "hmac-sha512",
        "--server",
        "192.0.2.9",
        "--json",
    ]);
    f.write(
        "config.toml",
        &format!(
            "{}{}",
            CONFIG.replace("PORT", &f.port.to_string()),
            made["lines"]["orbsd_config"].as_str().unwrap()
        ),
    );
    f.write(
        "zones/bl.toml",
        &format!("{ZONE}{}", made["lines"]["orbsd_zone"].as_str().unwrap()),
    );
    made
}

#[test]
fn created_key_is_accepted_and_never_overwritten() {
    let f = Folder::new();
    let made = with_key(&f);
    let path = f.path().join("keys/mirror.example");
    assert_eq!(made["file"], "keys/mirror.example");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    f.ok(&["check"]);
    let keys = f.config().ledger.keys;
    let key = keys.get("mirror.example").unwrap();
    assert_eq!(
        (key.algorithm(), key.secret().len()),
        (Algorithm::HmacSha512, 64)
    );
    // Its secret is in the lines for the other server, and its file has BIND's form.
    let secret = data_encoding::BASE64.encode(key.secret());
    for (other, part) in [
        ("nsd", "request-xfr: 192.0.2.9@53 mirror.example"),
        ("knot", "address: 192.0.2.9@53"),
        (
            "bind",
            "primaries { 192.0.2.9 port 53 key \"mirror.example\"; };",
        ),
        (
            "powerdns",
            "create-secondary-zone bl.orbs.example 192.0.2.9:53",
        ),
    ] {
        let lines = made["lines"][other].as_str().unwrap();
        assert!(
            lines.contains(&secret) && lines.contains(part),
            "{other}: {lines}"
        );
    }
    let clause = fs::read_to_string(&path).unwrap();
    assert!(made["lines"]["bind"].as_str().unwrap().starts_with(&clause));
    let human = f.ok(&["key", "create", "second", "--file", "keys/b"]);
    assert!(
        human.contains("# Knot, knot.conf")
            && human.contains("name = \"second\"\nalgorithm = \"hmac-sha256\"\nfile = \"keys/b\""),
        "{human}"
    );
    assert_ne!(fs::read_to_string(f.path().join("keys/b")).unwrap(), clause);
    // Again: the key is not changed.
    let again = f.orbsd(&["key", "create", "mirror.example"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("was not changed"));
    assert_eq!(fs::read_to_string(&path).unwrap(), clause);
    for args in [
        &["key", "create", "a b"][..],
        &["key", "create", "c", "--algorithm", "hmac-md5"],
        &["key", "create", "c", "--server", "ns1"],
    ] {
        assert_eq!(f.orbsd(args).status.code(), Some(2), "{args:?}");
    }
    assert!(!f.path().join("keys/c").exists());
    // `check` reports a file with too open a mode.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let out = f.orbsd(&["check"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(2)
            && said.contains("keys/mirror.example")
            && said.contains("chmod 600"),
        "{said}"
    );
}

#[test]
fn reload_applies_new_keys() {
    let f = Folder::new();
    let ledger = f.ledger();
    let published = || ledger.published.snapshot().keys.clone();
    assert!(published().is_empty());
    with_key(&f);
    ledger
        .configure(f.config().ledger)
        .map_err(|e| format!("{e:?}"))
        .unwrap();
    let key = published().get("mirror.example").unwrap().clone();
    // The keys of the snapshot verify a request that a client has signed with it.
    let mut request = query("bl.orbs.example", 6, true);
    let len = request.len();
    request.resize(512, 0);
    let (_, end) = TsigSession::request(key, &mut request, len, Time(1_800_000_000)).unwrap();
    let session = tsig::verify(&published(), &request[..end], Time(1_800_000_000))
        .unwrap()
        .unwrap();
    assert_eq!(session.key(), "mirror.example");
    ledger.stop().map_err(|e| format!("{e:?}")).unwrap();
}

#[test]
fn invalid_key_file_is_refused_with_its_line_and_the_old_keys_stay() {
    let f = Folder::new();
    with_key(&f);
    let daemon = Daemon::start(&f);
    f.write(
        "keys/mirror.example",
        "key \"mirror.example\" {\n\talgorithm hmac-sha256;\n",
    );
    fs::set_permissions(
        f.path().join("keys/mirror.example"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let out = f.orbsd(&["reload"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(
        out.status.code() == Some(2)
            && said.contains("keys/mirror.example:2: the algorithm is `hmac-sha256` here"),
        "{said}"
    );
    assert!(daemon.stop().success());
}

/// A mirror whose clock is ten minutes wrong gets a signed BADTIME with the time of the server, and
/// no zone.
#[test]
fn badtime_answer_has_the_time_of_the_server() {
    let f = Folder::new();
    with_key(&f);
    let daemon = Daemon::start(&f);
    let key = f
        .config()
        .ledger
        .keys
        .get("mirror.example")
        .unwrap()
        .clone();
    let ask = |off: i64| {
        let mut request = query("bl.orbs.example", 252, false);
        let len = request.len();
        request.resize(512, 0);
        let at = Time((orbsd::clock::wall().0 as i64 + off) as u64);
        let (_, end) = TsigSession::request(key.clone(), &mut request, len, at).unwrap();
        let mut stream = std::net::TcpStream::connect(f.addr()).unwrap();
        stream
            .set_read_timeout(Some(std::time::Duration::from_secs(10)))
            .unwrap();
        stream
            .write_all(&[&(end as u16).to_be_bytes()[..], &request[..end]].concat())
            .unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut reply).unwrap();
        hickory_proto::op::Message::from_vec(&reply).unwrap()
    };
    for off in [-600, 600] {
        let reply = ask(off);
        assert_eq!(
            (u16::from(reply.response_code), reply.answers.len()),
            (9, 0),
            "NOTAUTH: {reply:?}"
        );
        let shown = format!("{reply:?}");
        assert!(shown.contains("BadTime"), "{shown}");
        assert!(shown.contains("hmac") || shown.contains("Hmac"), "{shown}");
    }
    let reply = ask(200);
    assert!(
        u16::from(reply.response_code) == 0 && reply.answers.len() > 4,
        "{reply:?}"
    );
    assert!(daemon.stop().success());
}
