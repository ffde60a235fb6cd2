//! SMTP without sockets: the client of relay tests and the server of the collector. Both are state
//! machines that turn bytes into values.

pub mod client;
pub mod envelope;
pub mod mail;
pub mod outcome;
pub mod reply;
pub mod session;

pub use envelope::{Envelope, SmtpPort};
pub use outcome::{Interruption, MessageOutcome, SmtpStage};
