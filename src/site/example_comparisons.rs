//! Examples of comparisons: the audit of the founding document, and a list that may be published.

use crate::api::{
    ComparisonCounts, ComparisonFileResponse, ComparisonResponse, EntryGroupName, ShareResponse,
    Timestamp,
};

fn share(
    (part, part_entries): (EntryGroupName, u64),
    (whole, whole_entries): (EntryGroupName, u64),
) -> ShareResponse {
    ShareResponse {
        part,
        whole,
        part_entries,
        whole_entries,
        percent: (1000.0 * part_entries as f64 / whole_entries as f64).round() / 10.0,
    }
}

fn file(name: &str, entries: u64) -> ComparisonFileResponse {
    ComparisonFileResponse {
        file: name.into(),
        entries,
    }
}

/// The comparisons.
pub(super) fn all(compared_at: Timestamp) -> Vec<ComparisonResponse> {
    let counts = ComparisonCounts {
        theirs: 31_193,
        ours: 218_768,
        both: 18_768,
        only_theirs: 12_425,
        only_ours: 200_000,
        tested_open: 828,
        tested_closed: 11_597,
        ..ComparisonCounts::default()
    };
    let theirs = (EntryGroupName::Theirs, counts.theirs);
    let tested = (EntryGroupName::Tested, counts.only_theirs);
    let closed = (EntryGroupName::TestedClosed, counts.tested_closed);
    let rss = ComparisonResponse {
        name: "rss".into(),
        title: "A list of abused relays".into(),
        url: Some("https://rss.example/".into()),
        zone: "relays.orbs.example".into(),
        compared_at,
        read_at: compared_at,
        total: counts,
        ipv4: counts,
        shares: vec![
            share((EntryGroupName::OnlyTheirs, counts.only_theirs), theirs),
            share(closed, tested),
            share(closed, theirs),
        ],
        files: vec![file("rss-vs-relays-ok.txt", 11_597)],
        ..ComparisonResponse::default()
    };
    let few = ComparisonCounts {
        theirs: 7,
        ours: 9,
        both: 5,
        only_theirs: 2,
        only_ours: 4,
        untested: 2,
        ..ComparisonCounts::default()
    };
    let free = ComparisonResponse {
        name: "free".into(),
        title: "A list that everybody may publish".into(),
        zone: "domains.orbs.example".into(),
        compared_at,
        republish: true,
        total: few,
        names: few,
        shares: vec![share(
            (EntryGroupName::Both, 5),
            (EntryGroupName::Theirs, 7),
        )],
        files: vec![
            file("freelist.txt", 7),
            file("free-vs-domains.txt", 2),
            file("free-vs-domains-ok.txt", 0),
        ],
        ..ComparisonResponse::default()
    };
    vec![free, rss]
}
