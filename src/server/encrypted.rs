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
        tls: sys::bind_each("tls.listen", &settings.listen, tcp::bind)?,
        https: sys::bind_each("tls.https", &settings.https, tcp::bind)?,
        quic: sys::bind_each("tls.quic", &settings.quic, udp::bind)?,
        h3: sys::bind_each("tls.h3", &settings.h3, http3::bind)?,
    })
}

async fn log_error(transport: &str, served: impl Future<Output = io::Result<()>>) {
    if let Err(e) = served.await {
        tracing::error!(error = %e, "{transport} cannot be served");
    }
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
        let state = || (shared.clone(), limiter.clone(), certificates.clone());
        for listener in self.tls {
            let (shared, limiter, certificates) = state();
            let served = tls::run(listener, shared, limiter, certificates);
            tasks.push(tokio::spawn(served));
        }
        for listener in self.https {
            let (shared, limiter, certificates) = state();
            let served = https::run(listener, shared, limiter, certificates, path.into());
            tasks.push(tokio::spawn(served));
        }
        for socket in self.quic {
            let (shared, limiter, certificates) = state();
            let served = quic::run(socket, shared, limiter, certificates);
            tasks.push(tokio::spawn(log_error("QUIC", served)));
        }
        for sockets in self.h3 {
            let (shared, _, certificates) = state();
            let served = http3::run(sockets, shared, certificates);
            tasks.push(tokio::spawn(log_error("HTTP/3", served)));
        }
        tasks
    }
}
