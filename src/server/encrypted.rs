//! The encrypted transports: their settings, their sockets, and their start.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    CertificateFiles, Certificates, ServerContext, http3, https, quic, sys, tcp, tls, udp,
};
use crate::net::ConnectionLimiter;

/// The settings of the encrypted transports: `[tls]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The addresses of DoT and XoT.
    pub listen: Vec<SocketAddr>,
    /// The addresses of DoH.
    pub https: Vec<SocketAddr>,
    /// The addresses of DoQ.
    pub quic: Vec<SocketAddr>,
    /// The addresses of DNS over HTTP/3.
    pub h3: Vec<SocketAddr>,
    /// The path of DoH's URL.
    pub path: String,
    /// Whether the HTTP API or the public look-up is encrypted too.
    pub web: bool,
    /// The certificate, its key, and the authorities of client certificates.
    pub files: CertificateFiles,
}

impl TlsSettings {
    /// Whether any listener is encrypted.
    pub fn is_used(&self) -> bool {
        let all = [&self.listen, &self.https, &self.quic, &self.h3];
        self.web || all.iter().any(|addrs| !addrs.is_empty())
    }

    /// Reads the certificate files if a listener is encrypted.
    pub fn open(&self) -> Result<Option<Arc<Certificates>>, String> {
        if !self.is_used() {
            return Ok(None);
        }
        Certificates::open(self.files.clone())
            .map(|c| Some(Arc::new(c)))
            .map_err(|e| format!("[tls]: {e}"))
    }
}

/// The open sockets of the encrypted transports, before they are served.
#[derive(Debug, Default)]
pub struct EncryptedSockets {
    tls: Vec<TcpListener>,
    https: Vec<TcpListener>,
    quic: Vec<std::net::UdpSocket>,
    /// The sockets of each address.
    h3: Vec<Vec<std::net::UdpSocket>>,
}

/// Opens all sockets. The error names the configuration key and the address.
pub fn bind(settings: &TlsSettings) -> Result<EncryptedSockets, String> {
    Ok(EncryptedSockets {
        tls: each("tls.listen", &settings.listen, tcp::bind)?,
        https: each("tls.https", &settings.https, tcp::bind)?,
        quic: each("tls.quic", &settings.quic, udp::bind)?,
        h3: each("tls.h3", &settings.h3, http3::bind)?,
    })
}

fn each<S>(
    key: &str,
    addrs: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<Vec<S>, String> {
    let mut out = Vec::new();
    for addr in addrs {
        match bind(*addr) {
            Ok(socket) => out.push(socket),
            Err(e) if addr.is_ipv6() && sys::is_missing(&e) => {
                tracing::warn!(%addr, key, "this machine does not have the address; not listening there");
            }
            Err(e) => return Err(format!("{key}: {addr}: {e}")),
        }
    }
    Ok(out)
}

impl EncryptedSockets {
    /// Serves all sockets, and reads renewed certificates, until the tasks are aborted.
    pub fn serve(
        self,
        path: &str,
        certificates: &Arc<Certificates>,
        shared: &ServerContext,
        limiter: &ConnectionLimiter,
    ) -> Vec<JoinHandle<()>> {
        let mut tasks = vec![tokio::spawn(certificates.clone().watch())];
        for l in self.tls {
            tasks.push(tokio::spawn(tls::run(
                l,
                shared.clone(),
                limiter.clone(),
                certificates.clone(),
            )));
        }
        for l in self.https {
            tasks.push(tokio::spawn(https::run(
                l,
                shared.clone(),
                limiter.clone(),
                certificates.clone(),
                path.into(),
            )));
        }
        for socket in self.quic {
            let (shared, limiter, certificates) =
                (shared.clone(), limiter.clone(), certificates.clone());
            tasks.push(tokio::spawn(async move {
                if let Err(e) = quic::run(socket, shared, limiter, certificates).await {
                    tracing::error!(error = %e, "QUIC cannot be served");
                }
            }));
        }
        for sockets in self.h3 {
            let (shared, certificates) = (shared.clone(), certificates.clone());
            tasks.push(tokio::spawn(async move {
                if let Err(e) = http3::run(sockets, shared, certificates).await {
                    tracing::error!(error = %e, "HTTP/3 cannot be served");
                }
            }));
        }
        tasks
    }
}
