//! The subject of a request: read by the intake rule for a listing or an exemption; other requests
//! also accept the names that the store has.

use super::App;
use crate::{
    api::ProblemDetails,
    index::ZoneSet,
    lists::entry::{self, PublicSuffix, Rules},
    model::{Domain, ReasonId, Subject, subject::HostBits},
};

/// Reads the subject of a listing for a reason, or of an exemption (no reason), by the intake rule.
/// `allow_suffix` are the public suffixes that may be listed.
///
/// # Errors
///
/// A problem that says what is wrong with the text. A range of several prefixes is an error that
/// names them.
pub fn intake(
    zones: &ZoneSet,
    text: &str,
    host_bits: HostBits,
    reason: Option<ReasonId>,
    allow_suffix: &[String],
) -> Result<Subject, ProblemDetails> {
    let text = text.trim();
    let rules = Rules {
        host_bits,
        digest: None,
    };
    let digests = zones.digests(reason);
    if let Some(digest) = digests.iter().find_map(|d| d.read(text).ok()) {
        return Ok(Subject::Domain(digest));
    }
    let subject = match (entry::parse(text, &rules), digests.first()) {
        (Ok(subjects), _) => one(text, subjects)?,
        (Err(e), Some(digest)) if !text.contains('.') && !entry::is_address_form(text) => {
            let why = digest.check(text).err().unwrap_or(e.text);
            return Err(ProblemDetails::invalid(format!("subject: {why}")));
        }
        (Err(e), _) => return Err(ProblemDetails::invalid(format!("subject: {e}"))),
    };
    if entry::public_suffix(&subject, allow_suffix) == Some(PublicSuffix::Icann) {
        let name = match &subject {
            Subject::Domain(d) => d.name(),
            _ => text,
        };
        return Err(ProblemDetails::invalid(format!(
            "subject: `{name}` is a public suffix, or above one: the names below it belong to many owners; to list it anyway, use --allow-suffix {name} (in the API: \"allow_suffix\": [\"{name}\"])"
        )));
    }
    Ok(subject)
}

/// Reads the subject of a request about what is in the store, such as a removal: everything that
/// [`Subject::parse`] reads, a name that the store has although it is not accepted any more, and
/// the spellings of one prefix that lists have.
///
/// # Errors
///
/// As [`intake`].
pub fn stored(app: &App, text: &str, host_bits: HostBits) -> Result<Subject, ProblemDetails> {
    let text = text.trim();
    let read = Subject::parse(text, host_bits);
    if let Ok(subject) = &read
        && (subject.is_address() || !entry::is_address_form(text))
    {
        return Ok(subject.clone());
    }
    // A store from before the intake rule may have such a name; then the request means it.
    if let Ok(name) = Domain::parse_any(text).map(Subject::Domain)
        && !app.ledger.store.verdict(&name)?.is_empty()
    {
        return Ok(name);
    }
    let rules = Rules {
        host_bits,
        digest: None,
    };
    match entry::parse_address(text, &rules) {
        Some(Ok(subjects)) => one(text, subjects),
        Some(Err(e)) => Err(ProblemDetails::invalid(format!("subject: {e}"))),
        None => read.map_err(|e| ProblemDetails::invalid(format!("subject: {e}"))),
    }
}

/// Returns the only subject. A range of several prefixes is refused with the list of them, since
/// one request changes one subject.
fn one(text: &str, mut subjects: Vec<Subject>) -> Result<Subject, ProblemDetails> {
    match (subjects.pop(), subjects.is_empty()) {
        (Some(subject), true) => Ok(subject),
        (last, _) => {
            let all: Vec<String> = subjects
                .iter()
                .chain(&last)
                .map(Subject::to_string)
                .collect();
            Err(ProblemDetails::invalid(format!(
                "subject: `{text}` is a range of {} prefixes, but a request has one subject; send one request for each of {}",
                all.len(),
                all.join(", ")
            )))
        }
    }
}
