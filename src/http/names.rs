//! Names in the store that would be rejected today, which earlier versions accepted from lists.

use std::collections::BTreeMap;

use axum::{Json, extract::State};

use super::{
    App,
    handler::{JsonResult, blocking},
    input::QueryParams,
};
use crate::{
    api::{NameClassResponse, RejectedNamesQuery, RejectedNamesResponse},
    index::Snapshot,
    ledger::names::collisions,
    lists::entry::{self, PublicSuffix, Rules},
    model::{Domain, Subject, ZoneAddresses},
};

/// How many names of each class are returned.
const MAX_EXAMPLES: usize = 5;

/// Lists the names that are listed or exempt and would be rejected today.
#[utoipa::path(get, path = "/v1/names/rejected", tag = "state", params(RejectedNamesQuery),
    responses((status = 200, body = RejectedNamesResponse, description = "The names by cause")))]
pub async fn list_rejected_names(
    State(app): State<App>,
    QueryParams(query): QueryParams<RejectedNamesQuery>,
) -> JsonResult<RejectedNamesResponse> {
    let snapshot = app.ledger.published.snapshot();
    let feeds = query.feeds.split(',').filter(|f| !f.is_empty());
    let feeds: Vec<String> = feeds.map(String::from).collect();
    let (accounts, dictionary) = (app.ledger.accounts(), app.ledger.store.dictionary());
    let collisions = collisions(&accounts, &dictionary, &feeds);
    let found = blocking(move || Ok(find(&snapshot))).await?;
    Ok(Json(RejectedNamesResponse {
        collisions,
        ..found
    }))
}

fn find(snapshot: &Snapshot) -> RejectedNamesResponse {
    let digests = snapshot.zones.digests(None);
    let (mut checked, mut classes) = (0, BTreeMap::<&str, NameClassResponse>::new());
    snapshot.tables.domains(&mut |domain| {
        checked += 1;
        if digests.iter().any(|d| d.publishes(&domain)) {
            return;
        }
        let Some(class) = class(&domain) else { return };
        let found = classes.entry(class).or_default();
        found.class = class.into();
        found.count += 1;
        if found.first.len() < MAX_EXAMPLES {
            found.first.push(domain.to_string());
        }
    });
    RejectedNamesResponse {
        checked,
        classes: classes.into_values().collect(),
        collisions: Vec::new(),
    }
}

/// The cause for which the intake rule rejects a name; `None` if it accepts it.
fn class(domain: &Domain) -> Option<&'static str> {
    if ZoneAddresses::Both.asked_subject(domain).is_some() {
        return Some(NameClassResponse::OF_ADDRESS);
    }
    match entry::parse(&domain.to_string(), &Rules::default()) {
        Err(e) => Some(e.class),
        Ok(subjects) => match &subjects[..] {
            [s @ Subject::Domain(_)] => (entry::public_suffix(s, &[]) == Some(PublicSuffix::Icann))
                .then_some("a public suffix"),
            _ => Some("an address or a range"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        index::{Builder, HASH, RawFact, RawFacts, ZoneSet, apply, test_zone},
        model::{ReasonId, SourceId},
    };

    #[test]
    fn rejected_names_are_counted_by_class() {
        let digest = "d41d8cd98f00b204e9800998ecf8427e";
        let names = [
            "too",
            "forbidden",
            "bad.example",
            "7.100.51.45.in-addr.arpa",
            "arpa",
            "45.51.100.x",
            "co.uk",
            "45.51.100.7",
            digest,
        ];
        let listed = RawFacts {
            exempt: false,
            facts: vec![RawFact {
                aged: Default::default(),
                reason: ReasonId(0),
                source: SourceId(0),
                exclusion: false,
                text: Default::default(),
            }],
        };
        let mut builder = Builder::default();
        apply(
            &mut builder,
            &names.map(|n| {
                (
                    Subject::Domain(Domain::parse_any(n).unwrap()),
                    listed.clone(),
                )
            }),
        );
        let zones = Arc::new(ZoneSet::new(vec![test_zone("hash", &[0], HASH)]).unwrap());
        let found = find(&Snapshot {
            tables: builder.tables().clone(),
            zones,
            ..Snapshot::default()
        });
        assert_eq!(found.checked, 9);
        let count = |class: &str| {
            found
                .classes
                .iter()
                .find(|c| c.class == class)
                .map_or((0, vec![]), |c| (c.count, c.first.clone()))
        };
        assert_eq!(
            count("a single label"),
            (2, vec!["forbidden".into(), "too".into()])
        );
        assert_eq!(count("a reverse name").0, 2);
        assert_eq!(count("a public suffix"), (1, vec!["co.uk".into()]));
        assert_eq!(
            found.classes.iter().map(|c| c.count).sum::<u64>(),
            7,
            "{:?}",
            found.classes
        );
    }
}
