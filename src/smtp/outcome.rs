//! What became of a message that was offered to a host, and what a host's replies say.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::Time;

/// The step of a talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The connection and its greeting.
    Connect,
    /// EHLO, HELO, STARTTLS.
    Hello,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The message and the dot behind it.
    Body,
}

impl Stage {
    /// As people know it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Connect => "connection",
            Stage::Hello => "EHLO",
            Stage::Mail => "MAIL",
            Stage::Rcpt => "RCPT",
            Stage::Data => "DATA",
            Stage::Body => "message",
        }
    }
}

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// The message came out of a host: the input relays.
    Delivered {
        /// Who handed it to the collector.
        output: IpAddr,
        /// When.
        at: Time,
    },
    /// It, or word of it, came back to the sender.
    Bounced {
        /// When.
        at: Time,
    },
    /// It was taken. That proves nothing.
    Accepted {
        /// What the server said.
        text: String,
    },
    /// It was refused for good (5xx).
    Refused {
        /// Where.
        stage: Stage,
        /// The reply's code.
        code: u16,
        /// What the server said.
        text: String,
    },
    /// It was refused for now (4xx).
    #[serde(rename = "later")]
    TempFail {
        /// Where.
        stage: Stage,
        /// The reply's code.
        code: u16,
        /// What the server said.
        text: String,
    },
    /// Nothing can be said.
    Inconclusive {
        /// Why.
        why: String,
        /// It was refused for now (4xx) each time that it was tried, last here.
        #[serde(rename = "put_off", default, skip_serializing_if = "Option::is_none")]
        deferred_at: Option<Stage>,
        /// The text of such a refusal spoke of a blocklist.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        blocklist: bool,
    },
    /// It was not run.
    Skipped {
        /// Why.
        why: String,
    },
}

impl Outcome {
    /// Nothing can be said, and why.
    pub fn inconclusive(why: impl Into<String>) -> Outcome {
        Outcome::Inconclusive {
            why: why.into(),
            deferred_at: None,
            blocklist: false,
        }
    }

    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Delivered { .. } => "delivered",
            Outcome::Bounced { .. } => "bounced",
            Outcome::Accepted { .. } => "accepted",
            Outcome::Refused { .. } => "refused",
            Outcome::TempFail { .. } => "later",
            Outcome::Inconclusive { .. } => "inconclusive",
            Outcome::Skipped { .. } => "skipped",
        }
    }

    /// The step at which the message was refused, for good (5xx) or in each try (4xx).
    pub fn refused_at(&self) -> Option<Stage> {
        match self {
            Outcome::Refused { stage, .. } | Outcome::TempFail { stage, .. } => Some(*stage),
            Outcome::Inconclusive { deferred_at, .. } => *deferred_at,
            _ => None,
        }
    }

    /// Whether the reply asks for a login (RFC 4954 section 6): 530, or the enhanced code 5.7.0 or
    /// 5.7.1.
    pub fn requires_login(&self) -> bool {
        match self {
            Outcome::Refused { code, text, .. } => {
                *code == 530 || matches!(enhanced(text), Some("5.7.0" | "5.7.1"))
            }
            _ => false,
        }
    }

    /// Whether the reply that refused it speaks of a blocklist: of the tester, and not of the
    /// message.
    pub fn names_blocklist(&self) -> bool {
        match self {
            Outcome::Refused { text, .. } | Outcome::TempFail { text, .. } => names_blocklist(text),
            Outcome::Inconclusive { blocklist, .. } => *blocklist,
            _ => false,
        }
    }

    /// Whether what came to the collector takes its place: proof stays, a delivery beats a bounce.
    pub fn superseded_by(&self, other: &Outcome) -> bool {
        let proof = matches!(self, Outcome::Delivered { .. });
        let back = matches!((self, other), (Outcome::Bounced { .. }, o) if !matches!(o, Outcome::Delivered { .. }));
        !proof && !back
    }
}

/// A reply to `RCPT TO` of a control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientReply {
    /// What followed `RCPT TO:`.
    pub recipient: String,
    /// The code of the reply.
    pub code: u16,
    /// The text of the reply, cut.
    pub text: String,
}

/// Whether a word is an enhanced status code (RFC 3463), as `5.7.1`.
pub fn is_enhanced(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    parts.len() == 3
        && parts
            .iter()
            .all(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
}

/// The enhanced code that a reply's text begins with.
pub fn enhanced(text: &str) -> Option<&str> {
    text.split_whitespace().next().filter(|w| is_enhanced(w))
}

/// Words of replies that speak of lists of senders: of us, and not of what was asked for.
const BLOCKLIST_WORDS: [&str; 19] = [
    "dnsbl",
    "rbl",
    "blocklist",
    "blocklisted",
    "block list",
    "block-list",
    "blacklist",
    "blacklisted",
    "black list",
    "denylist",
    "deny list",
    "spamhaus",
    "spamcop",
    "barracudacentral",
    "sorbs",
    "uceprotect",
    "senderscore",
    "reputation",
    "banned",
];

/// Whether the text of a reply speaks of a blocklist.
pub fn names_blocklist(text: &str) -> bool {
    let lower = text.to_lowercase();
    let is_inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    BLOCKLIST_WORDS.iter().any(|word| {
        lower.match_indices(word).any(|(at, _)| {
            !is_inside(lower[..at].chars().next_back())
                && !is_inside(lower[at + word.len()..].chars().next())
        })
    })
}
