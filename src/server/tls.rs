//! DNS over TLS: DoT (RFC 7858) and transfers over TLS (XoT, RFC 9103). A connection is that of TCP on
//! an encrypted stream.
//!
//! The protocol name `dot` is agreed on (ALPN) with every client that offers it, and RFC 9103
//! section 7.1 wants it of transfers; a client that offers others alone is refused in the
//! handshake. One that offers none is served, since DoT is older than its name (RFC 7858 knows
//! none): it has the rights of a client on TCP, and no fewer.

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
            let Ok((mut stream, names)) = handshake(stream, &configs).await else {
                return;
            };
            let peer = Peer {
                certificate_names: &names,
                ..Peer::tcp(addr)
            };
            let _ = tcp::connection(&mut stream, peer, &shared, &counters, &permit).await;
            // close_notify: the client knows then that nothing was cut off (RFC 8446 section 6.1).
            let _ = timeout(HANDSHAKE_TIMEOUT, stream.shutdown()).await;
        }
    };
    tcp::accept(listener, limiter, serve).await;
}

/// The handshake, and the names that the client has proved to have.
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

/// The DNS names of a certificate (its subjectAltName), in small letters.
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

    /// A client with the certificate and key of that PEM, and these protocol names.
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

    /// The handshake of both sides: the names we see and the protocol name the client got, or our
    /// error.
    async fn talk(
        configs: &TlsConfigs,
        config: ClientConfig,
    ) -> Result<(Vec<String>, Option<Vec<u8>>), String> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let connector = TlsConnector::from(Arc::new(config));
        let (ours, theirs) = tokio::join!(
            handshake(ours, configs),
            connector.connect("ns.example".try_into().unwrap(), theirs)
        );
        let names = ours.map_err(|e| e.to_string())?.1;
        Ok((
            names,
            theirs
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
            async move { talk(configs, config).await.map(|t| t.0) }
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
            "asked for, not demanded"
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
            async move { talk(configs, config).await.map(|t| t.1) }
        };
        assert_eq!(alpn(&["dot"]).await, Ok(Some(b"dot".to_vec())));
        assert_eq!(alpn(&["h2", "dot"]).await, Ok(Some(b"dot".to_vec())));
        assert_eq!(alpn(&[]).await, Ok(None));
        assert!(alpn(&["h2"]).await.unwrap_err().contains("known protocol"));
    }
}
