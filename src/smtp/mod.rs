//! SMTP without sockets: the client that relay tests use and the server that the collector uses.
//! Bytes in, values out.

pub mod client;
pub mod envelope;
pub mod mail;
pub mod outcome;
pub mod reply;
pub mod session;

pub use envelope::{Envelope, SmtpPort};
pub use outcome::{Interruption, MessageOutcome, SmtpStage};
