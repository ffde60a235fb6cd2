//! DNS over TLS: DoT (RFC 7858) and transfers over TLS (XoT, RFC 9103). A connection is served as
//! one of TCP on an encrypted stream.
//!
//! The ALPN protocol name `dot` is selected with every client that offers it; RFC 9103 section 7.1
//! requires it for transfers. A client that offers only other names is refused in the handshake. A
//! client that offers none is served, since RFC 7858 does not define a name; it has the rights of a
//! client on TCP.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::pki_types::CertificateDer, server::TlsStream};

use super::{Certificates, ServerContext, certificates::TlsConfigs, tcp};
use crate::{
    dns::Peer,
    net::{ConnectionLimiter, ConnectionPermit},
};

/// How long a client may take for its handshake.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The most names of a client's certificate that are used.
const MAX_NAMES: usize = 64;

/// Accepts connections until the task is dropped.
pub async fn run(
    listener: TcpListener,
    shared: ServerContext,
    limiter: ConnectionLimiter,
    certificates: Arc<Certificates>,
) {
    let counters = shared
        .metrics
        .worker(&tcp::worker_name("tls", listener.local_addr()));
    let serve = move |stream, addr, permit: Arc<ConnectionPermit>| {
        let (shared, counters, configs) =
            (shared.clone(), counters.clone(), certificates.current());
        async move {
            let Ok((stream, names)) = handshake(stream, &configs).await else {
                return;
            };
            let peer = Peer {
                certificate_names: &names,
                ..Peer::tcp(addr)
            };
            let mut stream = Some(stream);
            let _ = tcp::connection(&mut stream, peer, &shared, &counters, &permit).await;
            // This sends close_notify, by which the client knows that nothing was cut off (RFC 8446
            // section 6.1). A transfer that was cut off has kept the stream.
            if let Some(mut stream) = stream {
                let _ = timeout(HANDSHAKE_TIMEOUT, stream.shutdown()).await;
            }
        }
    };
    tcp::accept(listener, limiter, serve).await;
}

/// Performs the handshake. Returns the stream, and the names in the client's verified certificate.
async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    configs: &TlsConfigs,
) -> io::Result<(TlsStream<S>, Vec<String>)> {
    let stream = timeout(
        HANDSHAKE_TIMEOUT,
        TlsAcceptor::from(configs.tls.clone()).accept(stream),
    )
    .await??;
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first());
    let names = certificate.map_or_else(Vec::new, names);
    Ok((stream, names))
}

/// The DNS names of a certificate (its subjectAltName), in lower case.
fn names(certificate: &CertificateDer) -> Vec<String> {
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(c) => c
            .valid_dns_names()
            .take(MAX_NAMES)
            .map(str::to_ascii_lowercase)
            .collect(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::{
        TlsConnector,
        rustls::{
            ClientConfig, RootCertStore,
            pki_types::{PrivateKeyDer, pem::PemObject},
            version::TLS13,
        },
    };

    use super::*;
    use crate::server::certificates::tests::{Authority, authority, files, issue};

    /// The configuration of a client with a certificate and key in PEM, and protocol names.
    fn client(
        ca: &Authority,
        certificate: Option<&(String, String)>,
        alpn: &[&str],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
                    .map(|c| c.unwrap())
                    .collect();
                builder
                    .with_client_auth_cert(
                        chain,
                        PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                    )
                    .unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
        config
    }

    /// Performs the handshake of both sides. Returns the names that the server sees and the
    /// protocol name of the client, or the server's error.
    async fn connect(
        configs: &TlsConfigs,
        config: ClientConfig,
    ) -> Result<(Vec<String>, Option<Vec<u8>>), String> {
        let (server, client_side) = tokio::io::duplex(64 * 1024);
        let connector = TlsConnector::from(Arc::new(config));
        let (server, client_side) = tokio::join!(
            handshake(server, configs),
            connector.connect("ns.example".try_into().unwrap(), client_side)
        );
        let names = server.map_err(|e| e.to_string())?.1;
        Ok((
            names,
            client_side
                .map_err(|e| e.to_string())?
                .get_ref()
                .1
                .alpn_protocol()
                .map(<[u8]>::to_vec),
        ))
    }

    #[tokio::test]
    async fn client_names_come_from_a_certificate_of_our_authority() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, stranger) = (authority(), authority());
        let configs = files(dir.path(), &ca).read().unwrap();
        let names = |certificate: Option<(String, String)>| {
            let config = client(&ca, certificate.as_ref(), &["dot"]);
            let configs = &configs;
            async move { connect(configs, config).await.map(|t| t.0) }
        };
        assert_eq!(
            names(Some(issue(
                &ca,
                &["Mirror.example", "m2.example", "192.0.2.1"]
            )))
            .await
            .unwrap(),
            ["mirror.example", "m2.example"]
        );
        assert_eq!(
            names(None).await.unwrap(),
            Vec::<String>::new(),
            "a certificate is optional"
        );
        let e = names(Some(issue(&stranger, &["mirror.example"])))
            .await
            .unwrap_err();
        assert!(e.contains("certificate"), "{e}");
    }

    #[tokio::test]
    async fn protocol_name_is_dot_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let ca = authority();
        let configs = files(dir.path(), &ca).read().unwrap();
        let alpn = |offers: &'static [&'static str]| {
            let config = client(&ca, None, offers);
            let configs = &configs;
            async move { connect(configs, config).await.map(|t| t.1) }
        };
        assert_eq!(alpn(&["dot"]).await, Ok(Some(b"dot".to_vec())));
        assert_eq!(alpn(&["h2", "dot"]).await, Ok(Some(b"dot".to_vec())));
        assert_eq!(alpn(&[]).await, Ok(None));
        assert!(alpn(&["h2"]).await.unwrap_err().contains("known protocol"));
    }
}
