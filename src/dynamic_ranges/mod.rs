//! Dynamic ranges by providers: a provider that has proved a range by a TXT record at the apex of
//! its reverse zone lists what is dynamic in it, and takes single hosts out.
//! `docs/dynamic-ranges.md` describes the rules.
//!
//! | file | content |
//! | --- | --- |
//! | `provider` | a provider with its states and times: no I/O and no clock |
//! | `edit` | the edits of a provider, and what they make: no I/O and no clock |
//! | `tables`, `service` | the stored rows; edits are committed with their changes of listings |
//! | `proof` | the look-ups in DNS: the record of a proof, and the zone cuts below it |

mod edit;
mod proof;
mod provider;
mod service;
mod tables;
#[cfg(test)]
mod tests;

pub use edit::{EditAction, ProvidedEntry, ProviderEdit};
pub use proof::CHECK_INTERVAL;
pub use provider::{ProviderEnd, ProviderState, RangeProvider};
pub use service::{DynamicRangeService, MAX_ENTRIES, ProviderDetail};
