//! Example values of providers of dynamic ranges.

use super::example_lookups::{after, ago};
use crate::{
    api::{
        ProvidedEntryResponse, ProviderEditResponse, ProviderPageResponse, ProviderResponse,
        ProvidersPageResponse,
    },
    dynamic_ranges::{EditAction, ProviderState},
};

const DAY: u64 = 86_400;

/// The page with the form, if ranges are accepted or not.
pub(super) fn form(is_on: bool) -> ProvidersPageResponse {
    ProvidersPageResponse {
        reason: is_on.then(|| "dynamic".into()),
        zones: vec!["dynamic.relays.example".into()],
        max_entries: 1000,
    }
}

/// A provider in each state, with its name.
pub(super) fn all() -> Vec<(&'static str, ProviderPageResponse)> {
    vec![
        ("provider-requested", provider(ProviderState::Requested)),
        ("provider-proved", provider(ProviderState::Proved)),
        ("provider-lapsed", provider(ProviderState::Lapsed)),
        ("provider-removed", provider(ProviderState::Removed)),
    ]
}

fn provider(state: ProviderState) -> ProviderPageResponse {
    let is_new = state == ProviderState::Requested;
    let entry = |subject: &str| ProvidedEntryResponse {
        subject: subject.into(),
        at: ago(2 * DAY),
        until: after(88 * DAY),
    };
    let edit = |number, action, subject: &str, reverted_by| ProviderEditResponse {
        number,
        at: ago(3 * DAY - number * 600),
        action,
        subject: subject.into(),
        reverts: None,
        reverted_by,
    };
    let edits = vec![
        edit(4, EditAction::PutBack, "45.51.100.26", None),
        edit(3, EditAction::TakeOut, "45.51.100.26", Some(4)),
        edit(2, EditAction::TakeOut, "45.51.100.25", None),
        edit(1, EditAction::Add, "45.51.100.0/24", None),
    ];
    ProviderPageResponse {
        path: "/providers/example-secret-path".into(),
        record_text: "orbsd-proof=3-aebagbafaydqqcikbmga2dqpca".into(),
        provider: ProviderResponse {
            number: 3,
            range: "45.51.100.0/22".into(),
            state,
            opened: ago(4 * DAY),
            record_names: vec![
                "100.51.45.in-addr.arpa".into(),
                "101.51.45.in-addr.arpa".into(),
            ],
            proved_at: (!is_new).then(|| ago(600)),
            proved_until: (!is_new).then(|| after(7 * DAY - 600)),
            checked_at: Some(ago(60)),
            problem: (state != ProviderState::Proved)
                .then(|| "the record is missing at 101.51.45.in-addr.arpa".into()),
            ranges: match is_new {
                true => Vec::new(),
                false => vec![entry("45.51.100.0/24")],
            },
            hosts: match is_new {
                true => Vec::new(),
                false => vec![entry("45.51.100.25")],
            },
            edits: if is_new { Vec::new() } else { edits },
            removed_at: (state == ProviderState::Removed).then(|| ago(DAY)),
        },
    }
}
