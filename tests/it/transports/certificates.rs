//! Certificates and keys of the encrypted transports: renewed, refused, and read again.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Secure, framed, h3, over_quic};
use crate::lab::{Daemon, ZONE, query};

#[test]
fn refused_reload_applies_nothing() {
    let s = Secure::with("");
    let _daemon = s.listed();
    let certificate = || {
        let stream = s.runtime.block_on(s.dot());
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let first = certificate();
    let read = |name: &str| fs::read_to_string(s.folder.path().join(name)).unwrap();
    let (config, old) = (read("config.toml"), [read("c.pem"), read("k.pem")]);
    s.renew();
    s.put("c2.pem", &read("c.pem"));
    s.put("k2.pem", &read("k.pem"));
    s.put("c.pem", &old[0]);
    s.put("k.pem", &old[1]);
    // The configuration is valid and its certificate too, but the ledger cannot create the removal log.
    let next = config
        .replace("'c.pem'", "'c2.pem'")
        .replace("'k.pem'", "'k2.pem'")
        .replace(
            "[admin]",
            "[removal_log]\npath = '/proc/none/x.log'\n[admin]",
        );
    s.folder.write("config.toml", &next);
    let refused = s.folder.orbsd(&["reload"]);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && error.contains("/proc/none/x.log"),
        "{error}"
    );
    assert_eq!(certificate(), first);
    // The certificate is refused, and a new zone is not added.
    let zone = read("zones/bl.toml").replace("bl.orbs.example", "new.orbs.example");
    s.folder.write("zones/new.toml", &zone);
    s.folder
        .write("config.toml", &config.replace("'k.pem'", "'k2.pem'"));
    let refused = s.folder.orbsd(&["reload"]);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && error.contains("k2.pem: this is not the key"),
        "{error}"
    );
    assert!(!s.folder.ok(&["status"]).contains("new.orbs.example"));
    s.folder.write(
        "config.toml",
        &next.replace("path = '/proc/none/x.log'\n", ""),
    );
    s.folder.ok(&["reload"]);
    assert_ne!(certificate(), first);
    assert!(s.folder.ok(&["status"]).contains("new.orbs.example"));
}

#[test]
fn http3_has_the_renewed_certificate_after_a_reload() {
    let s = Secure::new();
    let _daemon = s.listed();
    let shown = || {
        s.runtime.block_on(async {
            let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let config = quinn::ClientConfig::new(Arc::new(self::h3(&s)));
            let connection = endpoint
                .connect_with(config, s.h3, "ns.orbs.example")
                .unwrap()
                .await
                .unwrap();
            quic_certificate(&connection)
        })
    };
    let first = shown();
    s.renew();
    s.folder.ok(&["reload"]);
    assert_ne!(shown(), first);
}

/// The certificate that the server of a connection has shown.
fn quic_certificate(c: &quinn::Connection) -> Vec<u8> {
    let chain = c
        .peer_identity()
        .unwrap()
        .downcast::<Vec<tokio_rustls::rustls::pki_types::CertificateDer>>()
        .unwrap();
    chain[0].to_vec()
}

#[test]
fn renewed_certificate_is_used_without_closing_connections_and_a_bad_one_is_not() {
    let s = Secure::new();
    let _daemon = s.listed();
    let q = query("7.100.51.45.bl.orbs.example", 1, true);
    let shown =
        |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let (mut old, old_doq) = s
        .runtime
        .block_on(async { (s.dot().await, s.doq().await.unwrap()) });
    let first = shown(&old);
    assert_eq!(quic_certificate(&old_doq.1), first);
    // A certificate with the key of another one.
    let other = CertificateParams::new(["ns.orbs.example".into()]).unwrap();
    s.put(
        "c.pem",
        &other
            .signed_by(&KeyPair::generate().unwrap(), &s.ca)
            .unwrap()
            .pem(),
    );
    let refused = s.folder.orbsd(&["reload"]);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success()
            && error.contains("k.pem: this is not the key of the certificate in"),
        "{error}"
    );
    let check = s.folder.orbsd(&["check"]);
    assert!(
        check.status.code() == Some(2) && String::from_utf8_lossy(&check.stderr).contains("k.pem"),
        "{check:?}"
    );
    assert_eq!(shown(&s.runtime.block_on(s.dot())), first);
    s.renew();
    assert!(s.folder.orbsd(&["check"]).status.success());
    assert!(!s.folder.ok(&["reload"]).contains("k.pem"));
    let second = s.runtime.block_on(async {
        let new = shown(&s.dot().await);
        assert_ne!(new, first);
        let doh = s.tls(s.doh, "h2", Ipv4Addr::LOCALHOST).await.unwrap();
        let doq = s.doq().await.unwrap();
        assert_eq!(
            (shown(&doh), quic_certificate(&doq.1)),
            (new.clone(), new.clone())
        );
        let id0 = [&[0, 0][..], &q[2..]].concat();
        assert!(
            framed(&mut old, &q).await.is_some() && over_quic(&old_doq.1, &id0).await.is_ok(),
            "open connections go on"
        );
        new
    });
    // The renewed certificate is used without a reload.
    s.renew();
    let until = Instant::now() + Duration::from_secs(20);
    while shown(&s.runtime.block_on(s.dot())) == second {
        assert!(Instant::now() < until, "{}", s.folder.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn missing_or_unsafe_key_file_prevents_the_start_and_check_reports_it() {
    let s = Secure::new();
    let check = |part: &str| {
        let out = s.folder.orbsd(&["check"]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            out.status.code() == Some(2) && said.contains(part),
            "{part}: {said}"
        );
    };
    assert!(s.folder.orbsd(&["check"]).status.success());
    fs::set_permissions(
        s.folder.path().join("k.pem"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    check("k.pem: other users can read this key");
    let mut daemon = Daemon::spawn(&s.folder);
    assert_eq!(daemon.0.wait().unwrap().code(), Some(1));
    assert!(
        s.folder
            .log()
            .contains("k.pem: other users can read this key"),
        "{}",
        s.folder.log()
    );
    fs::remove_file(s.folder.path().join("k.pem")).unwrap();
    check("k.pem: ");
    let config = fs::read_to_string(s.folder.path().join("config.toml")).unwrap();
    s.folder.write(
        "config.toml",
        &config.replace("key = 'k.pem'", "https_path = 'q'"),
    );
    check("tls.key: it is required when any TLS listener is configured");
    check("tls.https_path: `q`");
    s.folder
        .write("config.toml", &config.replace("client_ca = 'ca.pem'", ""));
    s.folder.write(
        "zones/bl.toml",
        &format!("{ZONE}[transfer]\nallow = ['cert:mirror.example']"),
    );
    check("set `listen` and `client_ca` of [tls]");
}
