//! The TLS front: DoT (RFC 7858) and transfers over TLS (XoT, RFC 9103), the talk of the TCP front on an encrypted stream.
//!
//! The protocol name `dot` is agreed on (ALPN) with every client that offers it, and RFC 9103 section 7.1 wants it of
//! transfers; a client that offers others alone is refused in the handshake. One that offers none is served, since DoT is
//! older than its name (RFC 7858 knows none): it has the rights of a client on TCP, and no fewer.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::pki_types::CertificateDer, server::TlsStream};

use super::{Certificates, Shared, certificates::Ready, tcp};
use crate::dns::Peer;

/// How long a client may take for its handshake.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);
/// The names of a client's certificate that are looked at.
const MAX_NAMES: usize = 64;

/// Takes connections until the task is dropped.
pub async fn run(listener: TcpListener, shared: Shared, places: tcp::Places, certificates: std::sync::Arc<Certificates>) {
    let counters = shared.metrics.worker(&tcp::name("tls", listener.local_addr()));
    let serve = move |stream, addr, places: tcp::Places| {
        let (shared, counters, ready) = (shared.clone(), counters.clone(), certificates.ready());
        async move {
            let Ok((mut stream, names)) = greet(stream, &ready).await else { return };
            let peer = Peer { addr, stream: true, names: &names };
            let _ = tcp::connection(&mut stream, peer, &shared, &counters, &places).await;
            // close_notify: the client knows then that nothing was cut off (RFC 8446 section 6.1).
            let _ = timeout(HANDSHAKE, stream.shutdown()).await;
        }
    };
    tcp::accept(listener, places, serve).await;
}

/// The handshake, and the names that the client has proved to have.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(stream: S, ready: &Ready) -> io::Result<(TlsStream<S>, Vec<String>)> {
    let stream = timeout(HANDSHAKE, TlsAcceptor::from(ready.tls.clone()).accept(stream)).await??;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let names = shown.map_or_else(Vec::new, names);
    Ok((stream, names))
}

/// The DNS names of a certificate (its subjectAltName), in small letters.
fn names(certificate: &CertificateDer) -> Vec<String> {
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(c) => c.valid_dns_names().take(MAX_NAMES).map(str::to_ascii_lowercase).collect(),
        Err(_) => Vec::new(),
    }
}
