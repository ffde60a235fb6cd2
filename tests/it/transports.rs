//! The encrypted transports: each answers like UDP, to our clients, to those of hickory and to
//! other programs. Certificates are renewed, and no client gets more than its share.

mod answers;
mod certificates;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};

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
    lab::{CONFIG, DOMAINS, Daemon, Folder, ZONE, free_port, query},
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

fn h3(s: &Secure) -> quinn::crypto::rustls::QuicClientConfig {
    s.client("h3").try_into().unwrap()
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
