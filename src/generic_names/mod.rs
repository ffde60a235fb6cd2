//! Generic reverse names: whether the name of an address is one that a provider has made for it, or
//! one that its user has chosen. No I/O: a name is matched by forms of providers, by words for kinds
//! of access, and by the address that it contains.
//!
//! This is the only place that decides what is generic. Listings by reverse names, proofs of control
//! by mail, and exceptions for single addresses use it.

mod address_form;
mod allow_list;
mod assess;
mod catalogue;
mod form;
mod words;

pub use allow_list::AllowList;
pub use assess::{GenericMatch, NameAssessment, NameSign, assess, is_generic_name};
pub use catalogue::{FormSource, GenericNameCatalogue, NameConfidence, Provider, ProviderForm};

#[cfg(test)]
mod tests;
