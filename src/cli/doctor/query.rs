//! DNS queries that are sent to one server, without a resolver.

use std::{io::ErrorKind, net::SocketAddr};

use hickory_resolver::{
    net::{
        DnsHandle, NetError, runtime::TokioRuntimeProvider, tcp::TcpClientStream,
        udp::UdpClientStream, xfer::FirstAnswer,
    },
    proto::{
        op::{DnsRequest, DnsRequestOptions, Edns, Message, Query, ResponseCode},
        rr::{Name, RecordType},
    },
};

use super::context::TIMEOUT;

/// The payload size of queries with EDNS (RFC 9715).
const EDNS_BYTES: u16 = 1232;

/// Why a server gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It did not answer in time, or refused the connection.
    Failed(String),
    /// This machine cannot reach it, whatever the server does.
    Unreachable(String),
}

impl NoAnswer {
    /// The cause.
    pub(super) fn text(&self) -> &str {
        match self {
            NoAnswer::Failed(text) | NoAnswer::Unreachable(text) => text,
        }
    }
}

/// The transport of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

/// An RCODE as the registry of IANA writes it, in capitals.
pub(super) fn rcode(code: ResponseCode) -> String {
    format!("{code:?}").to_uppercase()
}

/// Asks a server for records, without recursion.
///
/// # Errors
///
/// The server does not answer, or cannot be reached from here.
pub(super) async fn ask(
    server: SocketAddr,
    protocol: Protocol,
    name: &str,
    kind: RecordType,
    edns: bool,
) -> Result<Message, NoAnswer> {
    let name = Name::from_ascii(format!("{}.", name.trim_end_matches('.')))
        .map_err(|e| NoAnswer::Failed(format!("{name}: {e}")))?;
    let mut message = Message::query();
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name, kind));
    if edns {
        let mut record = Edns::new();
        record.set_max_payload(EDNS_BYTES);
        message.set_edns(record);
    }
    let request = DnsRequest::new(message, DnsRequestOptions::default());
    // The tasks of a connection end with the last copy of their provider.
    let provider = TokioRuntimeProvider::default();
    let sent = async {
        let exchange = match protocol {
            Protocol::Udp => UdpClientStream::builder(server, provider.clone())
                .with_timeout(Some(TIMEOUT))
                .exchange(),
            Protocol::Tcp => {
                TcpClientStream::exchange(server, None, TIMEOUT, None, provider.clone()).await?
            }
        };
        exchange.send(request).first_answer().await
    };
    match tokio::time::timeout(TIMEOUT, sent).await {
        Ok(Ok(reply)) => Ok(reply.into_message()),
        Ok(Err(e)) => Err(no_answer(&e)),
        Err(_) => Err(timed_out()),
    }
}

fn timed_out() -> NoAnswer {
    NoAnswer::Failed(format!("no answer within {} ms", TIMEOUT.as_millis()))
}

/// The cause of an error.
fn no_answer(e: &NetError) -> NoAnswer {
    match e {
        NetError::Timeout => timed_out(),
        NetError::Io(io) if is_unreachable(io) => NoAnswer::Unreachable(io.to_string()),
        NetError::Io(io) => NoAnswer::Failed(io.to_string()),
        e => NoAnswer::Failed(e.to_string()),
    }
}

/// Whether this machine has no way to an address.
pub(super) fn is_unreachable(e: &std::io::Error) -> bool {
    [
        ErrorKind::NetworkUnreachable,
        ErrorKind::HostUnreachable,
        ErrorKind::AddrNotAvailable,
        ErrorKind::Unsupported,
    ]
    .contains(&e.kind())
        || crate::server::sys::is_missing(e)
}
