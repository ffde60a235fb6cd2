//! The outcome of a message that is sent to a host, and the meaning of reply texts.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Time;

/// A step of an SMTP session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpStage {
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
    /// The message and the dot after it.
    Body,
}

impl SmtpStage {
    /// The name of the step in texts for people.
    pub fn name(self) -> &'static str {
        match self {
            SmtpStage::Connect => "connection",
            SmtpStage::Hello => "EHLO",
            SmtpStage::Mail => "MAIL",
            SmtpStage::Rcpt => "RCPT",
            SmtpStage::Data => "DATA",
            SmtpStage::Body => "message",
        }
    }
}

/// Why a message is sent later, or once more. The texts are stored, so they must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
pub enum Interruption {
    /// The daemon was stopped.
    #[strum(serialize = "the daemon was stopped while it ran")]
    Stopped,
    /// The tester was switched off.
    #[strum(serialize = "the tester was switched off while it ran")]
    SwitchedOff,
    /// The test ran for a day without a result.
    #[strum(serialize = "it ran for a day without a result")]
    NoResult,
    /// A message of an earlier test proved the form while the test of a claim ran.
    #[strum(serialize = "its form was proved while the test ran")]
    ProvedSince,
}

impl Interruption {
    /// The text for people.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The outcome of a message that a test sends to a host.
///
/// [`MessageOutcome::NotSent`] and [`MessageOutcome::Interrupted`] are stored, and sent to
/// reporters, in the form that earlier versions gave them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(remote = "Self", tag = "outcome", rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum MessageOutcome {
    /// The message has not been sent yet.
    #[serde(skip)]
    #[strum(serialize = "inconclusive")]
    NotSent,
    /// The tester stopped before it sent the message, or has to send it once more. The message is
    /// sent later.
    #[serde(skip)]
    #[strum(serialize = "later")]
    Interrupted {
        /// The reason.
        why: Interruption,
    },
    /// The message was delivered to the collector: the host relays.
    Delivered {
        /// The host that delivered the message.
        output: IpAddr,
        /// The time.
        at: Time,
    },
    /// The message, or a report about it, was returned to its sender.
    Bounced {
        /// The time.
        at: Time,
    },
    /// The host accepted the message, which proves nothing.
    Accepted {
        /// The text of the reply.
        text: String,
    },
    /// The host refused the message permanently (5xx).
    Refused {
        /// The step of the session.
        stage: SmtpStage,
        /// The code of the reply.
        code: u16,
        /// The text of the reply.
        text: String,
    },
    /// The host refused the message temporarily (4xx).
    #[serde(rename = "later")]
    #[strum(serialize = "later")]
    TempFail {
        /// The step of the session.
        stage: SmtpStage,
        /// The code of the reply.
        code: u16,
        /// The text of the reply.
        text: String,
    },
    /// There is no result.
    Inconclusive {
        /// The reason.
        why: String,
        /// The step of the last temporary refusal, if the host refused every try so.
        #[serde(rename = "put_off", default, skip_serializing_if = "Option::is_none")]
        deferred_at: Option<SmtpStage>,
        /// Whether the text of such a reply mentions a blocklist.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        blocklist: bool,
    },
    /// The message was not sent and will not be.
    Skipped {
        /// The reason.
        why: String,
    },
}

/// The stored text of a message that has not been sent yet.
const NOT_SENT: &str = "not sent yet";
/// The stored step and code of a test that was interrupted.
const INTERRUPTED: (SmtpStage, u16) = (SmtpStage::Connect, 421);

impl Serialize for MessageOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let earlier_form = match self {
            MessageOutcome::NotSent => Some(MessageOutcome::inconclusive(NOT_SENT)),
            MessageOutcome::Interrupted { why } => Some(MessageOutcome::TempFail {
                stage: INTERRUPTED.0,
                code: INTERRUPTED.1,
                text: why.as_str().into(),
            }),
            _ => None,
        };
        MessageOutcome::serialize(earlier_form.as_ref().unwrap_or(self), serializer)
    }
}

impl<'de> Deserialize<'de> for MessageOutcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MessageOutcome, D::Error> {
        let stored = MessageOutcome::deserialize(deserializer)?;
        if stored == MessageOutcome::inconclusive(NOT_SENT) {
            return Ok(MessageOutcome::NotSent);
        }
        let interruption = match &stored {
            MessageOutcome::TempFail { stage, code, text } if (*stage, *code) == INTERRUPTED => {
                text.parse().ok()
            }
            _ => None,
        };
        Ok(interruption.map_or(stored, |why| MessageOutcome::Interrupted { why }))
    }
}

impl MessageOutcome {
    /// Creates an inconclusive outcome with its reason.
    pub fn inconclusive(why: impl Into<String>) -> MessageOutcome {
        MessageOutcome::Inconclusive {
            why: why.into(),
            deferred_at: None,
            blocklist: false,
        }
    }

    /// The name of the outcome in the API and on disk.
    pub fn as_str(&self) -> &'static str {
        self.into()
    }

    /// Whether the message was delivered to the collector.
    pub fn is_delivered(&self) -> bool {
        matches!(self, MessageOutcome::Delivered { .. })
    }

    /// Whether the host accepted the message, or the message bounced.
    pub fn is_accepted(&self) -> bool {
        matches!(
            self,
            MessageOutcome::Accepted { .. } | MessageOutcome::Bounced { .. }
        )
    }

    /// Whether the host refused the message permanently (5xx).
    pub fn is_refused(&self) -> bool {
        matches!(self, MessageOutcome::Refused { .. })
    }

    /// Whether the message has not been sent yet.
    pub fn is_not_sent(&self) -> bool {
        matches!(self, MessageOutcome::NotSent)
    }

    /// Whether the message is sent again later: the host deferred it, or the tester stopped.
    pub fn is_deferred(&self) -> bool {
        matches!(
            self,
            MessageOutcome::TempFail { .. } | MessageOutcome::Interrupted { .. }
        )
    }

    /// Returns the step at which the message was refused, permanently (5xx) or in each try (4xx).
    pub fn refused_at(&self) -> Option<SmtpStage> {
        match self {
            MessageOutcome::Refused { stage, .. } | MessageOutcome::TempFail { stage, .. } => {
                Some(*stage)
            }
            MessageOutcome::Inconclusive { deferred_at, .. } => *deferred_at,
            _ => None,
        }
    }

    /// Whether the reply requires authentication (RFC 4954 section 6): code 530, or the enhanced
    /// code 5.7.0 or 5.7.1.
    pub fn requires_login(&self) -> bool {
        match self {
            MessageOutcome::Refused { code, text, .. } => {
                *code == 530 || matches!(enhanced(text), Some("5.7.0" | "5.7.1"))
            }
            _ => false,
        }
    }

    /// Whether the reply that refused the message mentions a blocklist, so that the refusal is
    /// about the tester and not about the message.
    pub fn names_blocklist(&self) -> bool {
        match self {
            MessageOutcome::Refused { text, .. } | MessageOutcome::TempFail { text, .. } => {
                names_blocklist(text)
            }
            MessageOutcome::Inconclusive { blocklist, .. } => *blocklist,
            _ => false,
        }
    }

    /// Whether `other` replaces this outcome. A delivery is never replaced, and a bounce is
    /// replaced only by a delivery.
    pub fn superseded_by(&self, other: &MessageOutcome) -> bool {
        match self {
            MessageOutcome::Delivered { .. } => false,
            MessageOutcome::Bounced { .. } => other.is_delivered(),
            _ => true,
        }
    }
}

/// A reply to `RCPT TO` of a control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientReply {
    /// The text after `RCPT TO:`.
    pub recipient: String,
    /// The code of the reply.
    pub code: u16,
    /// The text of the reply, shortened.
    pub text: String,
}

/// Whether a word is an enhanced status code (RFC 3463), such as `5.7.1`.
pub fn is_enhanced(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    parts.len() == 3
        && parts
            .iter()
            .all(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns the enhanced status code at the beginning of a reply's text.
pub fn enhanced(text: &str) -> Option<&str> {
    text.split_whitespace().next().filter(|w| is_enhanced(w))
}

/// Words that mark a reply about a blocklist.
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

/// Whether the text of a reply mentions a blocklist.
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
