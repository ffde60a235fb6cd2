//! `orbsd zone quality` and `orbsd source quality`.

use super::{
    CliError, Common,
    client::{Client, with_query},
};
use crate::{
    api::{QualityDayResponse, QualityQuery, QualityResponse},
    model::time::Seconds,
    quality::{Percentiles, QualityFigures},
};

/// Shows the figures of zones.
pub(super) fn of_zones(common: &Common, zone: Option<String>, days: u64) -> Result<(), CliError> {
    let query = QualityQuery {
        zone,
        days: Some(days),
        ..QualityQuery::default()
    };
    let found = find(common, &query)?;
    common.print(&found.zones, |zones| {
        zones.iter().for_each(|z| print(&z.zone, &z.days));
        print_if_none(zones.is_empty());
    })
}

/// Shows the figures of sources.
pub(super) fn of_sources(
    common: &Common,
    source: Option<String>,
    days: u64,
) -> Result<(), CliError> {
    let query = QualityQuery {
        source,
        days: Some(days),
        ..QualityQuery::default()
    };
    let found = find(common, &query)?;
    common.print(&found.sources, |sources| {
        sources.iter().for_each(|s| print(&s.source, &s.days));
        print_if_none(sources.is_empty());
    })
}

fn find(common: &Common, query: &QualityQuery) -> Result<QualityResponse, CliError> {
    Client::open(common)?.get(&with_query("/v1/quality", query))
}

fn print_if_none(is_none: bool) {
    if is_none {
        println!("no figures yet; the daemon counts them once a day");
    }
}

fn print(name: &str, days: &[QualityDayResponse]) {
    for day in days {
        println!("{name}, counted {}", day.counted);
        lines(&day.figures).iter().for_each(|l| println!("  {l}"));
    }
}

/// The figures in words, one line for each kind.
fn lines(f: &QualityFigures) -> [String; 4] {
    let (proofs, claims, removals, requests) = (&f.proofs, &f.claims, &f.removals, &f.requests);
    let age = match (proofs.entries, proofs.age_days) {
        (0, _) => String::new(),
        (_, None) => "; none has a proof".into(),
        (_, Some(p)) => format!(
            "; last proof: median {} days ago, 90th percentile {}, oldest {}",
            p.median, p.p90, p.largest
        ),
    };
    let spreading = match removals.spreading {
        0 => String::new(),
        n => format!("; {n} not on every server yet"),
    };
    [
        format!(
            "entries: {}, proved {}, in the last 30 days {}{age}",
            proofs.entries, proofs.proved, proofs.proved_recently
        ),
        format!(
            "claims: {} closed, {} still open, {} refused the tester, {} undecided{}",
            claims.closed,
            claims.open,
            claims.blocked,
            claims.undecided,
            times("released after", claims.release_seconds)
        ),
        format!(
            "removals: {}, listed in error {}{}{spreading}",
            removals.removals,
            removals.listed_in_error,
            times("on the last server after", removals.spread_seconds)
        ),
        format!(
            "requests: {}; answered within 2 days {} of {}, within 7 days {} of {}",
            requests.requests,
            requests.answered_2_days,
            requests.due_2_days,
            requests.answered_7_days,
            requests.due_7_days
        ),
    ]
}

fn times(what: &str, seconds: Option<Percentiles>) -> String {
    seconds.map_or(String::new(), |p| {
        let [median, p90, largest] = [p.median, p.p90, p.largest].map(rounded);
        format!("; {what} {median} (median), {p90} (90th percentile), {largest} (longest)")
    })
}

/// A duration in the largest unit of which it has at least two.
fn rounded(seconds: u64) -> Seconds {
    let units = [86_400, 3600, 60];
    let unit = units.into_iter().find(|unit| seconds >= 2 * unit);
    Seconds(unit.map_or(seconds, |unit| seconds / unit * unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::ProofFigures;

    #[test]
    fn entries_without_a_proof_have_no_age() {
        let mut figures = QualityFigures::default();
        figures.proofs.entries = 7;
        assert_eq!(
            lines(&figures)[0],
            "entries: 7, proved 0, in the last 30 days 0; none has a proof"
        );
        figures.proofs = ProofFigures {
            entries: 7,
            proved: 2,
            proved_recently: 1,
            age_days: Some(Percentiles {
                median: 3,
                p90: 50,
                largest: 50,
            }),
        };
        assert!(lines(&figures)[0].ends_with("median 3 days ago, 90th percentile 50, oldest 50"));
    }

    #[test]
    fn duration_is_shown_in_a_unit_of_which_it_has_two() {
        let shown = [5, 119, 125, 7300, 172_900].map(|s| rounded(s).to_string());
        assert_eq!(shown, ["5s", "119s", "2m", "2h", "2d"]);
    }
}
