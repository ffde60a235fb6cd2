//! Reads what people paste into a look-up page: an address in any spelling, mail headers, a line of
//! a mail log, or a whole bounce. It finds the subjects that the text names, the likeliest first,
//! the server that refused the message, and the DNS blocklists.
//!
//! Pure functions of the text. The time is proportional to the length of the text.

mod clues;
mod normalise;
mod other_lists;
mod scan;
mod spelling;
#[cfg(test)]
mod tests;

pub use other_lists::{ListKind, OtherList, OtherLists, page_for};
pub use spelling::{read_name, subject_of};

use crate::model::Subject;

/// The longest text that is read, in bytes. What follows is ignored.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;
/// The most subjects that are returned.
pub const MAX_SUBJECTS: usize = 20;
/// The most zones that are returned.
pub const MAX_ZONES: usize = 20;

/// The names of this server, by which its own zones and links are recognised.
#[derive(Clone, Copy)]
pub struct OwnNames<'a> {
    /// Whether a name in lower case is a zone of this server.
    pub is_zone: &'a dyn Fn(&str) -> bool,
    /// Whether a name in lower case is a host of the public pages of this server.
    pub is_host: &'a dyn Fn(&str) -> bool,
}

/// How a text names a subject, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Clue {
    /// The subject is the whole text.
    WholeText,
    /// The text states that the subject is blocked or listed.
    Blocked,
    /// The subject is part of a link to a page of a list.
    ListPage,
    /// The subject is part of a name that was queried in a DNS blocklist.
    QueryName,
    /// The log of the refusing server names the subject as its client.
    RefusedClient,
    /// The subject is in a sentence about a refusal.
    Refusal,
    /// A header names the subject as the client of the receiving server.
    Client,
    /// A `Received` header names the subject as the client of a server.
    Received,
    /// The text has the subject, for whatever reason.
    Mentioned,
    /// The subject is the address of the server that refused the message.
    RefusingServer,
}

/// A subject that a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSubject {
    /// The subject.
    pub subject: Subject,
    /// How the text names it.
    pub clue: Clue,
    /// The line of the text, from 1.
    pub line: u32,
}

/// A name that a text has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedHost {
    /// The name, in lower case.
    pub name: String,
    /// The line of the text, from 1.
    pub line: u32,
}

/// A DNS blocklist that a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundZone {
    /// The zone; for a list that has none or whose zone the text does not name, the first zone of
    /// the list or the host of its pages.
    pub zone: String,
    /// Whether it is a zone of this server.
    pub own: bool,
    /// The list, if it is one of [`OtherLists`].
    pub list: Option<&'static OtherList>,
    /// The line of the text, from 1.
    pub line: u32,
}

/// What a pasted text names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounce {
    /// Whether the first subject is the whole text, in whatever spelling.
    pub only_subject: bool,
    /// The subjects, the likeliest first, at most [`MAX_SUBJECTS`].
    pub subjects: Vec<FoundSubject>,
    /// The server that refused the message.
    pub refusing_host: Option<NamedHost>,
    /// The DNS blocklists, in the order of the text, at most [`MAX_ZONES`].
    pub zones: Vec<FoundZone>,
    /// Whether the text shows that the receiver takes the error code of a list for a listing, as
    /// when it queries the list through a public resolver. Then no subject is listed.
    pub receiver_misconfigured: bool,
}

/// Reads a pasted text.
pub fn read(text: &str, own: OwnNames<'_>) -> Bounce {
    let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
    let plain = normalise::plain(text);
    if let Some((subject, zone)) = subject_of(&plain.text, own) {
        let zones = zone.map(|zone| scan::found_zone(&zone, own, 1));
        return Bounce {
            only_subject: true,
            subjects: vec![FoundSubject {
                subject,
                clue: Clue::WholeText,
                line: 1,
            }],
            refusing_host: None,
            zones: zones.into_iter().collect(),
            receiver_misconfigured: false,
        };
    }
    scan::scan(&plain, own)
}
