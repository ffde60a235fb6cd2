//! The envelope of one message, as the client sends it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The longest line of a command, with its end (RFC 5321 section 4.5.3.1.4).
pub const MAX_COMMAND: usize = 512;

/// The port that a test goes to.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum SmtpPort {
    /// 25, or the port that the job names.
    #[default]
    Smtp,
    /// 587, with STARTTLS where it is offered (RFC 6409).
    Submission,
    /// 465, under TLS from the first byte (RFC 8314).
    Submissions,
}

/// One message of a test, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The test.
    pub test: String,
    /// The greeting's whole line; none where there is no greeting.
    pub hello: Option<String>,
    /// What follows `MAIL FROM:`.
    pub from: String,
    /// What follows each `RCPT TO:`, in order; the message is sent only if all are accepted.
    pub to: Vec<String>,
    /// Which of them is the probe's.
    pub probe: usize,
    /// It needs the extension SMTPUTF8.
    pub utf8: bool,
    /// The port.
    pub port: SmtpPort,
}

/// An address as it stands in a literal (RFC 5321 section 4.1.3), without brackets.
pub fn literal(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(a) => a.to_string(),
        IpAddr::V6(a) => format!("IPv6:{a}"),
    }
}
