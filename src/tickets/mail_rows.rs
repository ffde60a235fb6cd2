//! The rows of mail about tickets, with their tables.

use serde::{Deserialize, Serialize};

use super::{mail_text::MailKind, secret, state::TicketState, tables::TicketTable, ticket::Ticket};
use crate::model::Time;

/// Queued mail, by a random number.
pub const OUTBOX: &TicketTable<u64, QueuedMail> = &TicketTable::new(b'm');
/// What the contact of a ticket was told, by the number of the ticket.
pub const NOTIFIED: &TicketTable<u64, Notified> = &TicketTable::new(b'w');
/// When mail was sent lately, by the hash of the address or domain that it is counted for.
pub const SENT: &TicketTable<[u8; 32], Vec<Time>> = &TicketTable::new(b'l');

/// The most mails in the queue.
pub const MAX_QUEUED: usize = 10_000;

/// A mail that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedMail {
    /// The number of the ticket.
    pub ticket: u64,
    /// What the mail is about.
    pub kind: MailKind,
    /// The recipient.
    pub to: String,
    /// The `Message-ID` of the message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
    /// How often it was tried.
    #[serde(default)]
    pub tries: usize,
    /// When it is sent.
    pub next_at: Time,
    /// When it was queued.
    #[serde(default)]
    pub queued_at: Time,
}

/// What the contact of a ticket was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// The number of steps of the ticket.
    pub steps: usize,
    /// The number of messages of the ticket.
    pub messages: usize,
    /// The time of the new listing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_again: Option<Time>,
}

impl Notified {
    /// The state of a ticket whose contact knows everything.
    pub fn of(ticket: &Ticket) -> Notified {
        Notified {
            steps: ticket.steps.len(),
            messages: ticket.messages.len(),
            listed_again: ticket.removal.as_ref().and_then(|r| r.listed_again),
        }
    }

    /// Returns what the contact of a ticket has to be told now. Of several new states only the last one
    /// matters.
    pub fn news(&self, ticket: &Ticket) -> Vec<MailKind> {
        let now = Notified::of(ticket);
        let mut out = Vec::new();
        let replies = ticket.messages.iter().skip(self.messages);
        if replies.clone().any(|m| m.operator.is_some()) {
            out.push(MailKind::Reply);
        }
        if now.steps != self.steps && is_news(ticket.state) {
            out.push(MailKind::State(ticket.state));
        }
        if now.listed_again.is_some() && now.listed_again != self.listed_again {
            out.push(MailKind::ListedAgain);
        }
        out
    }
}

/// Whether the contact does not know a state before: the others are what the requester has just
/// done.
fn is_news(state: TicketState) -> bool {
    !matches!(
        state,
        TicketState::Testing | TicketState::NeedsProof | TicketState::Withdrawn
    )
}

/// The kinds of limits that [`limit_key`] is called with for a subject, a domain or a mail address.
pub const LIMIT_KINDS: [&str; 5] = ["answer", "code", "code-domain", "confirmation", "self-test"];

/// What a limit is about, as the key of its row. The row does not show the name.
pub fn limit_key(kind: &str, name: &str) -> [u8; 32] {
    let text = format!("{kind}\0{}", name.to_ascii_lowercase());
    secret::hash(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tickets::tables;

    #[test]
    fn tables_of_mail_have_letters_of_their_own() {
        let mut letters = vec![
            OUTBOX.all().prefix,
            NOTIFIED.all().prefix,
            SENT.all().prefix,
            tables::TICKETS.all().prefix,
            tables::SECRETS.all().prefix,
            tables::RELEASES.all().prefix,
            tables::OPEN.all().prefix,
            tables::REMOVED.all().prefix,
            tables::CLOSED.all().prefix,
            tables::SUSPENSIONS.all().prefix,
            tables::SUBJECTS.all().prefix,
            tables::LAST_ERASURE.all().prefix,
            tables::LAST_NUMBER.all().prefix,
        ];
        let all = letters.len();
        letters.sort();
        letters.dedup();
        assert_eq!(letters.len(), all);
    }

    #[test]
    fn limit_keys_do_not_show_the_address() {
        let key = limit_key("answer", "anna@example.org");
        assert_eq!(key, limit_key("answer", "Anna@Example.org"));
        assert_ne!(key, limit_key("confirmation", "anna@example.org"));
    }
}
