//! The encrypted transports: each answers like UDP, to our clients, to those of hickory and to
//! other programs. Certificates are renewed, and no client gets more than its share.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{TSigner, rdata::tsig::TsigAlgorithm},
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http2, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    runtime::Runtime,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, version::TLS13},
};

use crate::{
    hickory::{Client, Transport},
    lab::{CONFIG, DOMAINS, Daemon, Folder, ZONE, free_port, query, tcp, udp},
};

const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// A zone that this client may not query.
const CLOSED: &str = r#"
origin = "closed.orbs.example"
kind = "address"
ns = ["ns1.orbs.example"]
contact = "hostmaster@orbs.example"
publish = [{ reason = "relay", code = "127.0.0.2" }]
[query]
allow = ["192.0.2.0/24"]
"#;

/// A folder with a certificate, and the addresses of its encrypted transports.
pub struct Secure {
    pub folder: Folder,
    ca: CertifiedIssuer<'static, KeyPair>,
    dot: SocketAddr,
    pub doh: SocketAddr,
    doq: SocketAddr,
    h3: SocketAddr,
    pub runtime: Runtime,
}

impl Secure {
    pub fn new() -> Secure {
        Secure::with("")
    }

    /// As [`Secure::new`], with more lines of configuration.
    pub fn with(more: &str) -> Secure {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners = [free(), free()];
        let [dot, doh] = listeners.each_ref().map(|l| l.local_addr().unwrap());
        let doq = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let h3 = SocketAddr::from(([127, 0, 0, 1], free_port()));
        drop(listeners);
        let tls = format!(
            "[tls]\nlisten = ['{dot}']\nhttps = ['{doh}']\nquic = ['{doq}']\nh3 = ['{h3}']\ncertificate = 'c.pem'\nkey = 'k.pem'\nclient_ca = 'ca.pem'\n"
        );
        let folder = Folder::with(
            &format!("{tls}{CONFIG}{more}"),
            &[("bl", ZONE), ("dbl", DOMAINS), ("closed", CLOSED)],
        );
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of tests");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        folder.write("ca.pem", &ca.pem());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let this = Secure {
            folder,
            ca,
            dot,
            doh,
            doq,
            h3,
            runtime,
        };
        this.renew();
        this
    }

    /// Writes a new certificate and its key.
    fn renew(&self) {
        let key = KeyPair::generate().unwrap();
        let params =
            CertificateParams::new(["ns.orbs.example".into(), "127.0.0.1".into()]).unwrap();
        self.put("k.pem", &key.serialize_pem());
        self.put("c.pem", &params.signed_by(&key, &self.ca).unwrap().pem());
    }

    /// Writes by rename, like certificate tools.
    fn put(&self, name: &str, text: &str) {
        let new = self.folder.write("new", text);
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, self.folder.path().join(name)).unwrap();
    }

    fn client(&self, alpn: &str) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = if alpn.is_empty() {
            Vec::new()
        } else {
            vec![alpn.into()]
        };
        Arc::new(config)
    }

    pub async fn tls(
        &self,
        to: SocketAddr,
        alpn: &str,
        from: Ipv4Addr,
    ) -> Option<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.set_nodelay(true).unwrap();
        let stream = timeout(CLIENT_TIMEOUT, socket.connect(to))
            .await
            .ok()?
            .ok()?;
        let name = "ns.orbs.example".try_into().unwrap();
        timeout(
            CLIENT_TIMEOUT,
            TlsConnector::from(self.client(alpn)).connect(name, stream),
        )
        .await
        .ok()?
        .ok()
    }

    async fn dot(&self) -> TlsStream<TcpStream> {
        self.tls(self.dot, "dot", Ipv4Addr::LOCALHOST)
            .await
            .unwrap()
    }

    async fn doh(&self) -> http2::SendRequest<Full<Bytes>> {
        let stream = self.tls(self.doh, "h2", Ipv4Addr::LOCALHOST).await.unwrap();
        let (send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        send
    }

    async fn doq(&self) -> Result<(quinn::Endpoint, quinn::Connection), quinn::ConnectionError> {
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let crypto: quinn::crypto::rustls::QuicClientConfig =
            self.client("doq").try_into().unwrap();
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let connection = endpoint
            .connect_with(config, self.doq, "ns.orbs.example")
            .unwrap()
            .await?;
        Ok((endpoint, connection))
    }

    async fn hickory(&self, transport: Transport) -> Result<Client, String> {
        let to = match transport {
            Transport::Tls => self.dot,
            Transport::Https => self.doh,
            Transport::Quic => self.doq,
            Transport::Http3 => self.h3,
        };
        Client::connect(transport, to, &self.client("")).await
    }

    pub fn listed(&self) -> Daemon {
        let daemon = Daemon::start(&self.folder);
        let f = &self.folder;
        f.ok(&[
            "list",
            "45.51.100.7",
            "45.51.100.9",
            "2a00:2::5",
            "--reason",
            "relay",
        ]);
        f.ok(&["list", "46.1.0.0/16", "2a00:1::/32", "--reason", "netblock"]);
        f.ok(&["list", "bad.test", "*.worse.test", "--reason", "spam"]);
        daemon
    }
}

/// Returns a message with its length prefix.
async fn framed(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    query: &[u8],
) -> Option<Vec<u8>> {
    stream
        .write_all(&[&(query.len() as u16).to_be_bytes()[..], query].concat())
        .await
        .ok()?;
    stream.flush().await.ok()?;
    let len = timeout(CLIENT_TIMEOUT, stream.read_u16())
        .await
        .ok()?
        .ok()?;
    let mut out = vec![0; usize::from(len)];
    stream.read_exact(&mut out).await.ok()?;
    Some(out)
}

/// Returns the answer of a QUIC connection to a query.
async fn over_quic(
    connection: &quinn::Connection,
    query: &[u8],
) -> Result<Vec<u8>, quinn::ConnectionError> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&[&(query.len() as u16).to_be_bytes()[..], query].concat())
        .await
        .unwrap();
    send.finish().unwrap();
    match receive.read_to_end(70_000).await {
        Ok(read) => {
            assert_eq!(
                usize::from(u16::from_be_bytes([read[0], read[1]])),
                read.len() - 2
            );
            Ok(read[2..].to_vec())
        }
        Err(_) => Err(connection.closed().await),
    }
}

type Reply = (StatusCode, header::HeaderMap, Bytes);

async fn http(send: &mut http2::SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Reply {
    send.ready().await.unwrap();
    let (head, body) = send.send_request(request).await.unwrap().into_parts();
    (
        head.status,
        head.headers,
        body.collect().await.unwrap().to_bytes(),
    )
}

fn get(rest: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://ns.orbs.example{rest}"))
        .body(Full::default())
        .unwrap()
}

fn asked(query: &[u8]) -> Request<Full<Bytes>> {
    get(&format!("/dns-query?dns={}", BASE64URL_NOPAD.encode(query)))
}

fn post(kind: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    let to = Request::post("https://ns.orbs.example/dns-query").header(header::CONTENT_TYPE, kind);
    to.body(Full::from(body)).unwrap()
}

/// Hundreds of queries of every kind, with ID 0.
fn queries() -> Vec<Vec<u8>> {
    let mut names: Vec<String> = (0..20)
        .map(|d| format!("{d}.100.51.45.bl.orbs.example"))
        .collect();
    let in_bl = [
        "",
        "45.",
        "51.45.",
        "100.51.45.",
        "1.1.1.46.",
        "1.46.",
        "46.",
        "1.47.",
        "256.1.1.1.",
        "x.",
        "a.7.100.51.45.",
        "7.100.51.45.7.",
    ];
    names.extend(in_bl.map(|n| format!("{n}bl.orbs.example")));
    names.extend((1..5).map(|n| format!("{n}.0.0.127.bl.orbs.example")));
    names.push(format!(
        "5.{}2.0.0.0.0.0.a.2.bl.orbs.example",
        "0.".repeat(23)
    ));
    names.push(format!(
        "7.{}1.0.0.0.0.0.a.2.bl.orbs.example",
        "0.".repeat(23)
    ));
    names.push("1.0.0.0.0.0.a.2.bl.orbs.example".into());
    names.extend(
        [
            "",
            "test.",
            "invalid.",
            "bad.test.",
            "x.bad.test.",
            "worse.test.",
            "a.b.worse.test.",
        ]
        .map(|n| format!("{n}dbl.orbs.example")),
    );
    names.extend(
        [
            "7.100.51.45.closed.orbs.example",
            "example.org",
            "",
            "orbs.example",
            "BL.ORBS.example",
        ]
        .map(String::from),
    );
    let mut out = Vec::new();
    for name in &names {
        // A, NS, SOA, MX, TXT, AAAA, ANY, CAA, and an unknown type.
        for qtype in [1, 2, 6, 15, 16, 28, 255, 257, 1000] {
            out.extend([true, false].map(|edns| query(name, qtype, edns)));
        }
    }
    let plain = query("7.100.51.45.bl.orbs.example", 1, true);
    let with = |at: usize, value: u8| {
        let mut q = plain.clone();
        q[at] = value;
        q
    };
    let edns = plain.len() - 11;
    out.extend([
        with(edns + 6, 1),
        with(5, 2),
        with(5, 0),
        with(2, 0x28),
        with(2, 0x20),
        with(edns - 1, 3),
        with(edns - 1, 77),
        with(11, 2),
    ]);
    out.extend([
        with(12, 0xc0),
        plain[..12].to_vec(),
        plain[..20].to_vec(),
        [&plain[..], b"more"].concat(),
        with(3, 0xf0),
        with(9, 1),
    ]);
    // Options: NSID, and an unknown one.
    out.extend([3u8, 99].map(|code| [&with(edns + 10, 4)[..], &[0, code, 0, 0]].concat()));
    for q in &mut out {
        q[..2].copy_from_slice(&[0, 0]);
    }
    out
}

/// hickory-server decodes the query before our code gets it, so only well-formed queries are sent.
#[test]
fn hickory_clients_get_the_answers_of_udp_on_every_encrypted_transport() {
    let s = Secure::new();
    let daemon = s.listed();
    let all: Vec<_> = queries()
        .into_iter()
        .step_by(3)
        .filter_map(|q| {
            let message = Message::from_vec(&q).ok()?;
            (message.to_vec().ok()? == q).then_some((q, message))
        })
        .collect();
    assert!(all.len() > 150, "{}", all.len());
    for transport in Transport::ALL {
        s.runtime.block_on(async {
            // hickory-server closes an HTTP/3 connection after 100 queries.
            for part in all.chunks(90) {
                let client = s.hickory(transport).await.unwrap();
                for (query, message) in part {
                    let wanted = udp(s.folder.addr(), query, CLIENT_TIMEOUT).unwrap();
                    let wanted = Message::from_vec(&wanted).unwrap();
                    let got = client
                        .ask(message)
                        .await
                        .unwrap_or_else(|e| panic!("{transport:?}: {e}: {message}"));
                    assert_eq!(got, wanted, "{transport:?}");
                }
            }
        });
    }
    assert!(daemon.stop().success());
    let log = s.folder.log();
    assert!(!log.contains("orbs.example:"), "a line for a query: {log}");
}

#[test]
fn http3_refuses_transfers_and_signed_queries() {
    let s = Secure::new();
    let _daemon = s.listed();
    let axfr = Message::from_vec(&query("bl.orbs.example", 252, true)).unwrap();
    let mut signed = Message::from_vec(&query("7.100.51.45.bl.orbs.example", 1, true)).unwrap();
    let signer = TSigner::new(
        vec![7; 32],
        TsigAlgorithm::HmacSha256,
        "mirror".parse().unwrap(),
        300,
    )
    .unwrap();
    signed.finalize(&signer, 0).unwrap();
    s.runtime.block_on(async {
        let client = s.hickory(Transport::Http3).await.unwrap();
        for message in [axfr, signed] {
            let reply = client.ask(&message).await.unwrap();
            assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
            assert!(reply.answers.is_empty() && reply.edns.is_some(), "{reply}");
        }
    });
}

/// A client that begins a handshake and stalls blocks one socket of its address, for at most five
/// seconds. The kernel gives other clients other sockets.
#[test]
fn stalled_http3_handshake_does_not_stop_other_clients() {
    let s = Secure::new();
    let _daemon = s.listed();
    let message = Message::from_vec(&query("7.100.51.45.bl.orbs.example", 1, true)).unwrap();
    s.runtime.block_on(async {
        // The server gets only the first datagram of this client.
        let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(self::h3(&s)));
        let to = relay.local_addr().unwrap();
        let stalled = endpoint
            .connect_with(config, to, "ns.orbs.example")
            .unwrap();
        let mut datagram = [0; 2048];
        let length = relay.recv(&mut datagram).await.unwrap();
        relay.send_to(&datagram[..length], s.h3).await.unwrap();
        timeout(CLIENT_TIMEOUT, relay.peek(&mut [0; 2048]))
            .await
            .unwrap()
            .unwrap();
        let mut quick = 0;
        for _ in 0..8 {
            let begun = Instant::now();
            // One client may get the socket of the stalled one, and gives up.
            let Ok(client) = s.hickory(Transport::Http3).await else {
                continue;
            };
            assert_eq!(client.ask(&message).await.unwrap().answers.len(), 1);
            quick += usize::from(begun.elapsed() < Duration::from_secs(2));
        }
        drop(stalled);
        assert!(quick >= 6, "{quick} of 8");
    });
}

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

fn h3(s: &Secure) -> quinn::crypto::rustls::QuicClientConfig {
    s.client("h3").try_into().unwrap()
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
fn every_transport_answers_as_udp_does() {
    let s = Secure::new();
    let daemon = s.listed();
    let all = queries();
    assert!(all.len() > 500, "{}", all.len());
    let mut rcodes = std::collections::BTreeMap::new();
    s.runtime.block_on(async {
        let (mut dot, mut doh) = (s.dot().await, s.doh().await);
        let (_endpoint, doq) = s.doq().await.unwrap();
        for q in &all {
            let wanted = udp(s.folder.addr(), q, Duration::from_secs(5))
                .unwrap_or_else(|| panic!("no answer over UDP: {q:?}"));
            let read = Message::from_vec(&wanted).unwrap();
            *rcodes
                .entry(format!("{:?}", read.metadata.response_code))
                .or_insert(0) += 1;
            let posted = http(&mut doh, post("application/dns-message", q.clone())).await;
            let got = http(&mut doh, asked(q)).await;
            let others = [
                ("TCP", tcp(s.folder.addr(), q).unwrap()),
                ("DoT", framed(&mut dot, q).await.unwrap()),
                ("DoH POST", posted.2.to_vec()),
                ("DoH GET", got.2.to_vec()),
                ("DoQ", over_quic(&doq, q).await.unwrap()),
            ];
            for (transport, bytes) in others {
                let other = Message::from_vec(&bytes).unwrap();
                let records = |m: &Message| {
                    [
                        m.answers.clone(),
                        m.authorities.clone(),
                        m.additionals.clone(),
                    ]
                };
                assert_eq!(
                    (&other.metadata, &other.queries, &other.edns),
                    (&read.metadata, &read.queries, &read.edns),
                    "{transport}: {q:?}"
                );
                assert_eq!(records(&other), records(&read), "{transport}: {q:?}");
                assert_eq!(bytes, wanted, "{transport}: {q:?}");
            }
            for (status, headers, _) in [&posted, &got] {
                assert_eq!(
                    (*status, headers[header::CONTENT_TYPE].as_bytes()),
                    (StatusCode::OK, &b"application/dns-message"[..])
                );
                let least = read
                    .answers
                    .iter()
                    .map(|r| r.ttl)
                    .min()
                    .or(read.authorities.first().map(|r| r.ttl));
                let kept = least.map_or("no-store".into(), |ttl| format!("max-age={ttl}"));
                assert_eq!(
                    headers[header::CACHE_CONTROL].to_str().unwrap(),
                    kept,
                    "{q:?}"
                );
            }
        }
        // A transport whose answer is one message has no transfers.
        for qtype in [251, 252] {
            let mut q = query("bl.orbs.example", qtype, true);
            q[..2].copy_from_slice(&[0, 0]);
            for reply in [
                http(&mut doh, asked(&q)).await.2.to_vec(),
                over_quic(&doq, &q).await.unwrap(),
            ] {
                let said = Message::from_vec(&reply).unwrap();
                assert_eq!(said.metadata.response_code, ResponseCode::Refused);
                assert!(
                    reply.windows(12).any(|w| w == b"no transfers"),
                    "an extended error says why"
                );
            }
        }
    });
    // BADVERS has the number of BADSIG (RFC 6895 section 2.3), and the library calls it that.
    for rcode in [
        "NoError", "NXDomain", "Refused", "FormErr", "NotImp", "BADSIG",
    ] {
        assert!(rcodes.contains_key(rcode), "{rcodes:?} has no {rcode}");
    }
    // Each transport has its own counters.
    let workers = s.folder.json(&["status", "--json"])["workers"].clone();
    let count = |name: String| {
        workers[&name]["total"]["queries"]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {workers}"))
    };
    let n = all.len() as u64;
    assert_eq!(
        [
            count(format!("tls-{}", s.dot)),
            count(format!("https-{}", s.doh)),
            count(format!("quic-{}", s.doq))
        ],
        [n, 2 * n + 2, n + 2]
    );
    assert!(daemon.stop().success());
    assert!(
        !s.folder.log().contains("orbs.example:"),
        "no line for a query: {}",
        s.folder.log()
    );
}

/// XoT (RFC 9103): a zone is transferred over TLS only to a client with the certificate.
#[test]
fn zone_is_transferred_over_tls_to_a_client_with_the_certificate() {
    let s = Secure::new();
    s.folder.write(
        "zones/bl.toml",
        &format!("{ZONE}[transfer]\nallow = ['cert:mirror.example']\n"),
    );
    let _daemon = s.listed();
    let axfr = query("bl.orbs.example", 252, true);
    let key = KeyPair::generate().unwrap();
    let shown = CertificateParams::new(["mirror.example".into()])
        .unwrap()
        .signed_by(&key, &s.ca)
        .unwrap();
    let known = |names: bool| {
        let mut roots = RootCertStore::empty();
        roots.add(s.ca.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match names {
            true => {
                let key =
                    tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der())
                        .unwrap();
                builder
                    .with_client_auth_cert(vec![shown.der().clone()], key)
                    .unwrap()
            }
            false => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec!["dot".into()];
        Arc::new(config)
    };
    s.runtime.block_on(async {
        for (names, rcode, records) in [
            (false, ResponseCode::Refused, 0),
            (true, ResponseCode::NoError, 20),
        ] {
            let stream = TcpStream::connect(s.dot).await.unwrap();
            let mut stream = TlsConnector::from(known(names))
                .connect("ns.orbs.example".try_into().unwrap(), stream)
                .await
                .unwrap();
            let m = Message::from_vec(&framed(&mut stream, &axfr).await.unwrap()).unwrap();
            assert_eq!(m.metadata.response_code, rcode);
            assert!(m.answers.len() >= records, "{}", m.answers.len());
            assert!(m.answers.first() == m.answers.last(), "from SOA to SOA");
            // The connection stays open.
            let m = Message::from_vec(
                &framed(&mut stream, &query("7.100.51.45.bl.orbs.example", 1, true))
                    .await
                    .unwrap(),
            )
            .unwrap();
            assert_eq!(m.answers.len(), 1);
        }
    });
}

#[test]
fn request_without_a_query_gets_an_error_that_says_why() {
    let s = Secure::new();
    let _daemon = s.listed();
    let good = [
        &[0, 0][..],
        &query("7.100.51.45.bl.orbs.example", 1, true)[2..],
    ]
    .concat();
    let mut reply = good.clone();
    reply[2] |= 0x80;
    s.runtime.block_on(async {
        let mut doh = s.doh().await;
        for (request, status) in [
            (get("/"), StatusCode::NOT_FOUND),
            (get("/dns-query"), StatusCode::BAD_REQUEST),
            (get("/dns-query?x=1&dns=%20"), StatusCode::BAD_REQUEST),
            (get("/dns-query?dns="), StatusCode::BAD_REQUEST),
            (asked(&reply), StatusCode::BAD_REQUEST),
            (
                post("text/plain", good.clone()),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ),
            (
                post("application/dns-message", vec![0; 9000]),
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
            (
                Request::put("https://ns.orbs.example/dns-query")
                    .body(Full::default())
                    .unwrap(),
                StatusCode::METHOD_NOT_ALLOWED,
            ),
        ] {
            let shown = format!("{request:?}");
            let (got, headers, body) = http(&mut doh, request).await;
            assert_eq!(got, status, "{shown}");
            assert!(
                headers[header::CONTENT_TYPE]
                    .as_bytes()
                    .starts_with(b"text/plain")
                    && body.len() > 10,
                "it says why: {shown}"
            );
        }
        assert_eq!(
            http(&mut doh, asked(&good)).await.0,
            StatusCode::OK,
            "the connection goes on"
        );
        // A violation of the rules of DoQ ends the connection with DOQ_PROTOCOL_ERROR.
        let mut numbered = good.clone();
        numbered[1] = 7;
        for bad in [numbered, reply.clone(), vec![0; 3], vec![0; 9000]] {
            let (_endpoint, doq) = s.doq().await.unwrap();
            match over_quic(&doq, &bad).await {
                Err(quinn::ConnectionError::ApplicationClosed(c)) => {
                    assert_eq!(c.error_code, 2u32.into(), "{}", bad.len());
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn openssl_is_answered_over_tls_1_3() {
    let s = Secure::new();
    let _daemon = s.listed();
    let openssl = |args: &[&str]| {
        let to = s.dot.to_string();
        let out = Command::new("openssl")
            .args([
                "s_client",
                "-connect",
                &to,
                "-servername",
                "ns.orbs.example",
                "-verify_return_error",
                "-CAfile",
                "ca.pem",
            ])
            .args(args)
            .current_dir(s.folder.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stdout).into_owned()
                + &String::from_utf8_lossy(&out.stderr),
        )
    };
    let (fine, said) = openssl(&["-alpn", "dot"]);
    assert!(
        fine && said.contains("ALPN protocol: dot")
            && said.contains("TLSv1.3")
            && said.contains("Verify return code: 0"),
        "{said}"
    );
    assert!(openssl(&[]).0, "without a protocol name");
    for (args, part) in [
        (["-alpn", "h2"], "no application protocol"),
        (["-tls1_2", "-showcerts"], "protocol version"),
    ] {
        let (fine, said) = openssl(&args);
        assert!(!fine && said.contains(part), "{args:?}: {said}");
    }
}

#[test]
#[ignore = "needs the programs of `make peers`; run `make test`"]
fn kdig_is_answered_on_every_encrypted_transport() {
    let s = Secure::new();
    let _daemon = s.listed();
    let root = crate::peers::peers().join("root");
    let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"].map(|l| root.join(l));
    let ca = format!("+tls-ca={}", s.folder.path().join("ca.pem").display());
    for (port, flags) in [
        (s.dot.port(), &["+tls"][..]),
        (s.doh.port(), &["+https"]),
        (s.doh.port(), &["+https", "+https-get"]),
        (s.doq.port(), &["+quic"]),
    ] {
        let out = Command::new(root.join("usr/bin/kdig"))
            .args([
                "@127.0.0.1",
                "-p",
                &port.to_string(),
                &ca,
                "+tls-hostname=ns.orbs.example",
                "+timeout=5",
                "+retry=0",
            ])
            .args(flags)
            .args([
                "7.100.51.45.bl.orbs.example",
                "A",
                "7.100.51.45.bl.orbs.example",
                "TXT",
                "8.100.51.45.bl.orbs.example",
                "A",
            ])
            .env("LD_LIBRARY_PATH", std::env::join_paths(&libraries).unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        for part in [
            "127.0.0.2",
            "\"Open relay, see https://orbs.example/45.51.100.7\"",
            "NXDOMAIN",
            "TLS1.3",
        ] {
            assert!(said.contains(part), "{flags:?}: {part}\n{said}");
        }
    }
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

#[test]
fn stalled_clients_and_those_above_their_share_are_closed_and_others_served() {
    let s = Secure::new();
    let _daemon = s.listed();
    let q = query("7.100.51.45.bl.orbs.example", 1, true);
    s.runtime.block_on(async {
        // One client sends nothing, one stalls within a message, one completes the handshake and
        // sends no query.
        let begun = Instant::now();
        let mut silent = TcpStream::connect(s.dot).await.unwrap();
        let mut half = TcpStream::connect(s.doh).await.unwrap();
        half.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])
            .await
            .unwrap();
        let mut slow = s.dot().await;
        slow.write_all(&[0]).await.unwrap();
        slow.flush().await.unwrap();
        for stream in [&mut silent, &mut half] {
            let mut rest = Vec::new();
            let _ = timeout(CLIENT_TIMEOUT, stream.read_to_end(&mut rest))
                .await
                .expect("cut off");
        }
        // A clean end is marked by close_notify; without it, the client's library reports an error.
        assert_eq!(
            timeout(CLIENT_TIMEOUT, slow.read(&mut [0; 9]))
                .await
                .unwrap()
                .unwrap(),
            0
        );
        let took = begun.elapsed();
        assert!(
            took > Duration::from_secs(4) && took < Duration::from_secs(9),
            "{took:?}"
        );
        // All transports share the connection limit of a client.
        let mut held = Vec::new();
        for i in 0..80 {
            let (to, alpn) = if i % 2 == 0 {
                (s.dot, "dot")
            } else {
                (s.doh, "h2")
            };
            if let Some(stream) = s.tls(to, alpn, Ipv4Addr::LOCALHOST).await {
                held.push(stream);
            }
        }
        assert_eq!(held.len(), 80, "a new one is served");
        assert!(s.doq().await.is_ok());
        // For each connection above a client's limit, the longest idle one was closed.
        let mut closed = 0;
        for stream in &mut held {
            closed += usize::from(
                timeout(
                    Duration::from_millis(10),
                    stream.read_to_end(&mut Vec::new()),
                )
                .await
                .is_ok(),
            );
        }
        assert_eq!(closed, 80 + 1 - 64);
        let mut other = s
            .tls(s.dot, "dot", Ipv4Addr::new(127, 0, 0, 9))
            .await
            .unwrap();
        assert!(framed(&mut other, &q).await.is_some());
        drop(held);
        tokio::time::sleep(Duration::from_millis(300)).await;
        // With many connections, a client has to validate its address first (Retry).
        let mut many = Vec::new();
        for _ in 0..24 {
            many.push(s.doq().await.unwrap());
        }
        let id0 = [&[0, 0][..], &q[2..]].concat();
        for (_, doq) in &many {
            assert!(over_quic(doq, &id0).await.is_ok());
        }
    });
}

/// The API over TLS uses the certificate of the other transports; tested from the command line.
#[test]
fn api_is_served_over_tls() {
    use std::io::{Read, Write};
    let s = Secure::new();
    let admin = crate::lab::free_port();
    let config = fs::read_to_string(s.folder.path().join("config.toml")).unwrap();
    let listeners = format!("[admin]\nlisten = '127.0.0.1:{admin}'\ntls = true");
    s.folder.write(
        "config.toml",
        &config.replace("[admin]\nlisten = \"\"", &listeners),
    );
    let daemon = Daemon::start(&s.folder);
    let token = s
        .folder
        .ok(&["token", "create", "--owner", "anna", "--role", "editor"]);
    s.folder.write("token", &token);
    let server = format!("https://127.0.0.1:{admin}");
    let remote = |more: &[&str]| {
        s.folder
            .orbsd(&[more, &["--server", &server, "--token", "token"]].concat())
    };
    let refused = remote(&["list", "45.1.1.1", "--reason", "relay"]);
    assert!(
        refused.status.code() == Some(1)
            && String::from_utf8_lossy(&refused.stderr).contains("TLS"),
        "{refused:?}"
    );
    let done = remote(&["list", "45.1.1.1", "--reason", "relay", "--ca", "ca.pem"]);
    assert!(done.status.success(), "{done:?}");
    // A new certificate is used without a restart.
    s.renew();
    s.folder.ok(&["reload"]);
    assert!(
        remote(&["lookup", "45.1.1.1", "--ca", "ca.pem"])
            .status
            .success()
    );
    // Plain HTTP is refused on that listener.
    let plain = |port: u16, bytes: &[u8]| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream.write_all(bytes).unwrap();
        let mut out = Vec::new();
        let _ = stream.read_to_end(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    assert!(
        !plain(
            admin,
            b"GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .contains("200 OK")
    );
    assert!(daemon.stop().success());
}
