//! The envelope of one message, as the client sends it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The longest command line in bytes, with its CRLF (RFC 5321 section 4.5.3.1.4).
pub const MAX_COMMAND: usize = 512;

/// The port that a test connects to.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum SmtpPort {
    /// Port 25, or the port that the job names.
    #[default]
    Smtp,
    /// Port 587, with STARTTLS if it is offered (RFC 6409).
    Submission,
    /// Port 465, under TLS from the first byte (RFC 8314).
    Submissions,
}

/// The envelope of one test message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The name of the test.
    pub test: String,
    /// The whole line of the greeting; `None` if no greeting is sent.
    pub hello: Option<String>,
    /// The text after `MAIL FROM:`.
    pub from: String,
    /// The text after each `RCPT TO:`, in order. The message is sent only if all are accepted.
    pub to: Vec<String>,
    /// The index of the probe's recipient in `to`.
    pub probe: usize,
    /// Whether the envelope needs the extension SMTPUTF8.
    pub utf8: bool,
    /// The port.
    pub port: SmtpPort,
}

/// Formats an address for an address literal (RFC 5321 section 4.1.3), without brackets.
pub fn literal(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(a) => a.to_string(),
        IpAddr::V6(a) => format!("IPv6:{a}"),
    }
}
