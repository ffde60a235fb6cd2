//! Corrections of the knowledge base: tickets that a person reads and answers, and that change no
//! listing.
//!
//! The subject of such a ticket is the id of a product or guide as a domain name of one label. It is a name
//! only: what is listed under it, if anything, is not looked at.

use super::{
    error::TicketError,
    removals::FROM,
    requests::checked_message,
    service::TicketService,
    state::{TicketKind, TicketState},
    ticket::{Ticket, TicketMessage},
};
use crate::model::{Subject, Time, subject::HostBits, text::replace_controls};

/// The longest text of a correction, in characters. With the other fields it fits into a message.
pub const MAX_CORRECTION_CHARS: usize = 3000;
/// The longest other field of a correction, in characters.
pub const MAX_FIELD_CHARS: usize = 200;

/// A correction of a page of the knowledge base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewCorrection {
    /// The id of the product or guide.
    pub product: String,
    /// The id of the entry; empty: the whole page.
    pub entry: String,
    /// The version that the correction is about; empty if it is not about one.
    pub version: String,
    /// What is wrong, and how it is.
    pub text: String,
    /// Where that can be read, or how it was found out; can be empty.
    pub source: String,
    /// The language of the requester, as a tag such as `de`.
    pub language: String,
}

impl NewCorrection {
    /// The first message of the ticket: a line for each field, an empty line, and the text.
    fn message(&self) -> Result<String, TicketError> {
        let text = checked_message(&self.text)?;
        if text.is_empty() {
            return Err(TicketError::Invalid(
                "text: write what is wrong, and how it is".into(),
            ));
        }
        if text.chars().count() > MAX_CORRECTION_CHARS {
            return Err(TicketError::Invalid(format!(
                "text: at most {MAX_CORRECTION_CHARS} characters"
            )));
        }
        let mut lines = Vec::new();
        for (title, name, value) in [
            ("Product", "product", &self.product),
            ("Entry", "entry", &self.entry),
            ("Version", "version", &self.version),
            ("Source", "source", &self.source),
        ] {
            let value = value.trim();
            if value.chars().count() > MAX_FIELD_CHARS {
                return Err(TicketError::Invalid(format!(
                    "{name}: at most {MAX_FIELD_CHARS} characters"
                )));
            }
            // Line breaks are control characters, so that a field stays one line.
            if !value.is_empty() {
                lines.push(format!("{title}: {}", replace_controls(value)));
            }
        }
        Ok(format!("{}\n\n{text}", lines.join("\n")))
    }
}

/// The subject of the corrections of a product or guide.
///
/// # Errors
///
/// The id is not a label of a domain name.
pub fn subject_of_product(id: &str) -> Result<Subject, TicketError> {
    match Subject::parse(id, HostBits::Refuse) {
        Ok(subject @ Subject::Domain(_)) if !id.contains('.') => Ok(subject),
        _ => Err(TicketError::Invalid(format!(
            "product: `{id}` is not the id of a product"
        ))),
    }
}

impl TicketService {
    /// Opens a ticket for a correction, about which a person decides.
    ///
    /// # Errors
    ///
    /// A field is missing or too long, or a limit is reached.
    pub fn open_correction(
        &self,
        request: &NewCorrection,
        now: Time,
    ) -> Result<Ticket, TicketError> {
        let subject = subject_of_product(&request.product)?;
        let text = request.message()?;
        self.limits.count_subject(&subject, now)?;
        let (ticket, _) = self.decide(now, |batch| {
            self.check_open_correction(batch, &subject)?;
            let mut ticket = self.empty_ticket(batch, subject.clone(), &request.language)?;
            ticket.kind = TicketKind::Correction;
            ticket.messages.push(TicketMessage {
                at: now,
                operator: None,
                text,
            });
            ticket.enter(TicketState::Review, now);
            batch.audit(&ticket.author(), FROM, "ticket-open", &ticket);
            batch.save(&ticket);
            Ok(ticket)
        })?;
        Ok(ticket)
    }
}
