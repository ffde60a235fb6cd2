//! The entries of the catalogue of relay tests.

use serde::{Deserialize, Serialize};

use crate::smtp::SmtpPort;

/// The part of an SMTP session that a test varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestGroup {
    /// The form of the sender.
    Sender,
    /// The form of the recipient.
    Recipient,
    /// The greeting, or several recipients.
    Session,
    /// The port.
    Port,
    /// The address family: for IPv6 targets only.
    Ipv6,
}

/// The hosts against which a test is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestScope {
    /// All targets.
    #[default]
    Live,
    /// All targets, if the operator has enabled the test: a third party may get a copy.
    OptIn,
    /// The operator's own hosts only.
    Lab,
    /// All targets, if the operator has enabled the test: it has stopped old servers. Servers with
    /// such a greeting are skipped.
    Danger,
}

/// A relay test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayTest {
    /// The number of the test in the literature; may be empty.
    #[serde(default)]
    pub id: String,
    /// The name of the test.
    pub name: String,
    /// The part of a session that the test varies.
    pub group: TestGroup,
    /// The class of forms that use the same trick.
    pub class: String,
    /// The year since which the test is known.
    pub since: u16,
    /// Whether spammers have used it.
    #[serde(default)]
    pub seen: bool,
    /// The hosts against which the test is run.
    #[serde(default)]
    pub run: TestScope,
    /// The port that the test connects to.
    #[serde(default)]
    pub port: SmtpPort,
    /// A description of the test, in a sentence.
    pub description: String,
    /// The text after `MAIL FROM:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The text after `RCPT TO:`. Each entry is a message of its own.
    #[serde(default = "plain_recipient")]
    pub to: Vec<String>,
    /// A recipient before the probe's in the same message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// A recipient after the probe's in the same message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The greeting instead of EHLO and our name; empty for no greeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
}

fn plain_recipient() -> Vec<String> {
    vec!["<{u}@{d}>".into()]
}
