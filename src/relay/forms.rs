//! One relay test as the catalogue describes it.

use serde::{Deserialize, Serialize};

use crate::smtp::SmtpPort;

/// What part of a message's way a test is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestGroup {
    /// A form of the sender.
    Sender,
    /// A form of the recipient.
    Recipient,
    /// The greeting, or several recipients.
    Session,
    /// Another port.
    Port,
    /// IPv6 targets alone.
    Ipv6,
}

/// Where a test is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestScope {
    /// Against every target.
    #[default]
    Live,
    /// Only where the operator has enabled it: a third party may get a copy.
    OptIn,
    /// Only against hosts of one's own.
    Lab,
    /// It has stopped old servers: only where the operator has enabled it, and never after a
    /// greeting of such a server.
    Danger,
}

/// A relay test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayTest {
    /// Its number in the literature; may be empty.
    #[serde(default)]
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub group: TestGroup,
    /// The kind of hole that it finds.
    pub class: String,
    /// The year since which it is known.
    pub since: u16,
    /// Whether spammers have used it.
    #[serde(default)]
    pub seen: bool,
    /// Where it is run.
    #[serde(default)]
    pub run: TestScope,
    /// The port.
    #[serde(default)]
    pub port: SmtpPort,
    /// What it does, in a sentence.
    pub what: String,
    /// What follows `MAIL FROM:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What follows `RCPT TO:`; several are a message each.
    #[serde(default = "plain_recipient")]
    pub to: Vec<String>,
    /// A recipient before it in the same message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// A recipient after it in the same message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The greeting in place of EHLO and our name; empty for no greeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
}

fn plain_recipient() -> Vec<String> {
    vec!["<{u}@{d}>".into()]
}
