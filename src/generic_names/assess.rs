//! The assessment of a name.

use std::{fmt, net::IpAddr};

use super::{
    address_form,
    catalogue::{FormSource, GenericNameCatalogue, NameConfidence},
    words::{access_word, never_generic_part},
};
use crate::model::domain::registered_domain;

/// The pattern that makes a name generic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenericMatch {
    /// The pattern: the form of a provider, or a description such as `address in decimal`.
    pub pattern: String,
    /// The provider, if it is the form of one.
    pub provider: Option<&'static str>,
    /// How sure it is.
    pub confidence: NameConfidence,
    /// Where the form is known from, if it is the form of a provider.
    pub source: Option<FormSource>,
    /// A name that the form matches, if it is the form of a provider.
    pub example: Option<&'static str>,
}

/// Why a name is never generic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameSign {
    /// A part of a label is a word for a mail server or a static address.
    Word(String),
    /// The name is a mail exchange (MX) of this domain, and has the address.
    Exchange(String),
    /// An entry of the operator's allow list.
    Allowed(String),
}

impl fmt::Display for NameSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameSign::Word(part) => {
                write!(
                    f,
                    "the part `{part}` is of a mail server or a static address"
                )
            }
            NameSign::Exchange(domain) => {
                write!(f, "it is a mail exchange of {domain}, and has the address")
            }
            NameSign::Allowed(entry) => write!(f, "the allow list has {entry}"),
        }
    }
}

/// What a name shows about its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameAssessment {
    /// A provider has made the name.
    Generic(GenericMatch),
    /// The name is never generic, whatever else it contains.
    NeverGeneric(NameSign),
    /// No pattern matches the name.
    Ordinary,
}

/// Assesses the name of an address, or a name alone. The letter case and a dot at the end do not
/// count.
pub fn assess(name: &str, addr: Option<IpAddr>) -> NameAssessment {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let own = registered_domain(&name);
    let host = &name[..name.len() - own.len()];
    if let Some(part) = never_generic_part(host) {
        return NameAssessment::NeverGeneric(NameSign::Word(part.into()));
    }
    let by_provider = GenericNameCatalogue::get().find(&name);
    let by_provider = by_provider.map(|(provider, form)| GenericMatch {
        pattern: form.form.clone(),
        provider: Some(&provider.name),
        confidence: provider.confidence,
        source: Some(provider.source),
        example: Some(&form.example),
    });
    match by_provider.or_else(|| by_structure(host, addr)) {
        Some(found) => NameAssessment::Generic(found),
        None => NameAssessment::Ordinary,
    }
}

/// Matches a host name by a word for a kind of access and by the address in it.
fn by_structure(host: &str, addr: Option<IpAddr>) -> Option<GenericMatch> {
    let form = address_form::find(host, addr);
    let word = access_word(host);
    let (pattern, confidence) = match (form, word) {
        (Some(form), Some((word, _))) => (
            format!("{} with `{}`", form.as_str(), word.word),
            match form.is_whole() || word.is_dynamic {
                true => NameConfidence::High,
                false => NameConfidence::Medium,
            },
        ),
        (Some(form), None) => (
            form.as_str().to_string(),
            match form.is_whole() {
                true => NameConfidence::Medium,
                false => NameConfidence::Low,
            },
        ),
        (None, Some((word, is_numbered))) => (
            format!("access word `{}`", word.word),
            match word.is_dynamic && is_numbered {
                true => NameConfidence::Medium,
                false => NameConfidence::Low,
            },
        ),
        (None, None) => return None,
    };
    Some(GenericMatch {
        pattern,
        provider: None,
        confidence,
        source: None,
        example: None,
    })
}

/// Whether a provider has made the name of an address, so that it belongs to the provider's
/// customers in turn.
pub fn is_generic_name(name: &str, addr: IpAddr) -> bool {
    matches!(assess(name, Some(addr)), NameAssessment::Generic(_))
}
