//! The transports of DNS: UDP, TCP, TLS, HTTPS, QUIC and HTTP/3. All of them call
//! [`crate::dns::respond`], and all but HTTP/3 send its bytes unchanged. Transfers and NOTIFY to
//! mirrors are here too.

use std::net::SocketAddr;

mod certificates;
pub mod context;
pub mod encrypted;
pub mod http3;
mod https;
pub mod mirrors;
pub mod notify;
mod quic;
mod reserved;
pub mod sys;
pub mod tcp;
mod tls;
pub mod transfer;
pub mod udp;

pub use certificates::{CertificateFiles, Certificates, PreparedCertificates};
pub use context::ServerContext;
pub use encrypted::TlsSettings;
pub use mirrors::Mirrors;
pub use reserved::ReservedClients;

/// The settings of UDP and TCP: `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSettings {
    /// The addresses of UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// UDP workers for each address; 0: one per core.
    pub workers: usize,
}
