//! Attributes a message to the address that handed it to the reader's own servers, from its pasted
//! headers.
//!
//! Servers prepend their `Received` lines (RFC 5321 section 4.4), so the order of the lines is the
//! order of the chain, the last server first. Everything below the line of the reader's own border
//! server was in the message when it arrived: its sender can have written it. [`trace`] therefore
//! reads from the top and stops at the first line that took the message from outside. It is a pure
//! function of the text, and the only function that attributes a message.
//!
//! # Which lines are the reader's own
//!
//! The first line is. The next line is, if the line above it
//!
//! * took the message from a private address ([`is_private`]) or from one in `own`;
//! * or is an internal hand-over: `with LMTP` or from a Unix socket (only the reader's mail server
//!   delivers so), `with POP3` or `with IMAP` (the reader fetched the message from a mailbox), or
//!   without a client: qmail's `invoked from network` and `invoked by alias`, a `by` without a
//!   protocol (Postfix, when it expands an alias), and a `by` with a private address as its host
//!   (Gmail).
//!
//! Every other line ends the chain. A line with the address of a client gives the attribution. All
//! others give [`Unattributed`], since a guess could blame a host that has nothing to do with the
//! message: a line whose client is not certain, a line `with SMTP` that names no client, and a
//! local submission (`invoked by uid`, `from userid`, `with local`, `with HTTP`), below which a
//! local user or script can have written anything.
//!
//! # Which address counts
//!
//! The address from which the server accepted the connection, never the name in the client's EHLO
//! command, which may be an address too. In the `from` clause, the first word is the client's own
//! name, and a comment has what the server knows: `(name [address])`, `([address]:port helo=name)`,
//! `(address)` and `(user@address)`. `helo=`, `HELO`, `EHLO` and `LHLO` in a comment introduce the
//! client's name again. Two forms have the address outside of a comment: `[address] (helo=name)`
//! (Exim), where the comment shows that the first word is not the client's name, and
//! `name [address]` (IMail, fetchmail). If a clause has two different addresses, none is certain.
//! The clause ends at `by`, so that text which is appended to the line, by folding too, changes
//! nothing.
//!
//! # Which text is read
//!
//! The first block of header fields that has a `Received` field, up to the first empty line. Text
//! before it (a preamble of a mail client, a quoted message's introduction) is skipped, and the
//! block may be indented or quoted by `>`. This relies on the reader: text in front of their own
//! headers is text that they pasted. If it has a `Received` field, that one counts. Likewise a
//! pasted bounce is attributed as what it is, a message of its own; to trace the message that it
//! returns, paste the headers of that message only.
//!
//! The text is not converted as [`crate::bounce`] does: whether a text is HTML or quoted-printable
//! depends on the whole text, so that a sender could choose how the lines above are read. Soft line
//! breaks and lines that a mail client has wrapped are joined within a `Received` field.
//!
//! # What the function cannot see
//!
//! A border server behind a proxy that hides the addresses of clients (such as the port forwarding
//! of a container) writes a private address for every client. The line below is then the sender's,
//! and counts as the reader's own. The same holds for a server that names neither a client nor a
//! protocol in its line about a message from the network.

mod address;
mod block;
mod chain;
mod received;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use address::is_private;
pub use chain::trace;

/// The longest text that is read, in bytes. What follows is ignored.
pub const MAX_HEADER_BYTES: usize = 256 * 1024;
/// The most `Received` lines that are read.
pub const MAX_RECEIVED_LINES: usize = 100;

/// How far a `Received` line can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Standing {
    /// A server of the reader wrote it, about a message that it took from another one of them or
    /// from a local user.
    Own,
    /// A server of the reader wrote it, about a message that it took from outside.
    HandedOver,
    /// It is below the line of the hand-over: the sender can have written it.
    Unproved,
}

/// Why a message is not attributed to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, thiserror::Error)]
#[strum(serialize_all = "kebab-case")]
pub enum Unattributed {
    /// The line of the hand-over does not give the address of the client for certain.
    #[error("the server that took the message from outside does not name the client's address")]
    AddressUnknown,
    /// A user or a program on one of the reader's servers submitted the message.
    #[error("the message was submitted on one of your own servers")]
    LocalSubmission,
    /// Every line took the message from a private address or one of the reader's own.
    #[error("every server took the message from a private address or one of your own")]
    NoOutsideClient,
    /// The lines that were read are the reader's own, and there are more.
    #[error("the headers are too long; paste fewer of them, from the top")]
    TooLong,
}

/// A `Received` line. Names and words are as the line has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The line of the pasted text where it starts, from 1.
    pub line: u32,
    /// The name in the client's EHLO, HELO or LHLO command: a word of the client.
    pub from_name: Option<String>,
    /// The reverse name of the client, as the server found it.
    pub reverse_name: Option<String>,
    /// The address of the client; an IPv4-mapped one as IPv4. `None` if it is not certain.
    pub address: Option<IpAddr>,
    /// The name or address of the server that wrote the line.
    pub by: Option<String>,
    /// The protocol after `with`.
    pub protocol: Option<String>,
    /// The server's identifier of the message.
    pub id: Option<String>,
    /// The recipient after `for`, without angle brackets.
    pub recipient: Option<String>,
    /// The date after `;`.
    pub received_at: Option<String>,
    /// The comment about TLS.
    pub tls: Option<String>,
    /// The whole value of the field, unfolded, with single spaces.
    pub text: String,
    /// How far the line can be trusted.
    pub standing: Standing,
}

/// The chain of a message, and the address to which the message is attributed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The hops in the order of the text, the last server first, at most [`MAX_RECEIVED_LINES`].
    pub hops: Vec<Hop>,
    /// The address that handed the message to the reader's servers, or why there is none.
    pub attribution: Result<IpAddr, Unattributed>,
    /// Whether the text is longer than [`MAX_HEADER_BYTES`] or has more than
    /// [`MAX_RECEIVED_LINES`], so that some lines may be missing.
    pub truncated: bool,
}
