//! The figures of a list on the page of the policy: how often it is wrong.

use super::{context::PageContext, markup::Markup};
use crate::quality::{Percentiles, QualityFigures};

/// The fewest cases of which a percentage is shown; of fewer cases it would mislead.
const MIN_CASES: u64 = 20;

/// A figure in words.
#[derive(Debug, Clone)]
pub(super) struct QualityRow {
    /// What the figure is about.
    pub term: Markup,
    /// The figure.
    pub text: Markup,
}

/// The figures of a list. Every share has its denominator.
pub(super) fn rows(page: &PageContext, figures: &QualityFigures) -> Vec<QualityRow> {
    let (proofs, claims) = (&figures.proofs, &figures.claims);
    let (removals, requests) = (&figures.removals, &figures.requests);
    let row = |key: &str, text: Markup| QualityRow {
        term: page.t(key),
        text,
    };
    let mut out = vec![
        row(
            "policy-quality-proved",
            share(page, proofs.proved, proofs.entries),
        ),
        row(
            "policy-quality-recent",
            share(page, proofs.proved_recently, proofs.entries),
        ),
    ];
    if proofs.entries > 0 {
        let age = match &proofs.age_days {
            Some(p) => page.t3(
                "policy-quality-age-days",
                "median",
                page.number(p.median),
                "ninth",
                page.number(p.p90),
                "oldest",
                page.number(p.largest),
            ),
            None => page.t("policy-quality-age-none"),
        };
        out.push(row("policy-quality-age", age));
    }
    let tested = claims.closed + claims.open;
    out.push(row(
        "policy-quality-open-claims",
        share(page, claims.open, tested),
    ));
    let other = claims.blocked + claims.undecided;
    if other > 0 {
        let text = page.t1(
            "policy-quality-other-claims-count",
            "count",
            page.number(other),
        );
        out.push(row("policy-quality-other-claims", text));
    }
    out.extend(
        claims
            .release_seconds
            .map(|p| row("policy-quality-release", times(page, p))),
    );
    out.push(row(
        "policy-quality-errors",
        share(page, removals.listed_in_error, removals.removals),
    ));
    out.extend(
        removals
            .spread_seconds
            .map(|p| row("policy-quality-spread", times(page, p))),
    );
    out.push(row(
        "policy-quality-answered-2",
        share(page, requests.answered_2_days, requests.due_2_days),
    ));
    out.push(row(
        "policy-quality-answered-7",
        share(page, requests.answered_7_days, requests.due_7_days),
    ));
    out
}

/// A count of so many, with the percentage if there are enough.
fn share(page: &PageContext, part: u64, all: u64) -> Markup {
    if all == 0 {
        return page.t("policy-quality-share-none");
    }
    let (part_text, all_text) = (page.number(part), page.number(all));
    match percent(part, all) {
        Some(percent) => page.t3(
            "policy-quality-share-percent",
            "part",
            part_text,
            "all",
            all_text,
            "percent",
            page.decimal(&percent),
        ),
        None => page.t2("policy-quality-share", "part", part_text, "all", all_text),
    }
}

/// A percentage with one decimal; `None` if there are too few cases. Only all are 100 %, and only
/// none are 0 %.
fn percent(part: u64, all: u64) -> Option<String> {
    let (part, all) = (u128::from(part), u128::from(all));
    let tenths = match part {
        _ if all < u128::from(MIN_CASES) => return None,
        0 => 0,
        _ if part >= all => 1000,
        _ => ((part * 1000 + all / 2) / all).clamp(1, 999),
    };
    Some(format!("{}.{}", tenths / 10, tenths % 10))
}

fn times(page: &PageContext, p: Percentiles) -> Markup {
    let [median, ninth, longest] = [p.median, p.p90, p.largest].map(|seconds| {
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        page.duration(&seconds)
    });
    page.t3(
        "policy-quality-times",
        "median",
        median,
        "ninth",
        ninth,
        "longest",
        longest,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_of_few_cases_has_no_percentage() {
        assert_eq!(percent(3, 19), None);
        assert_eq!(percent(3, 20).as_deref(), Some("15.0"));
    }

    #[test]
    fn only_all_cases_are_100_percent_and_only_none_are_0() {
        let shown = [(0, 9999), (1, 99_999), (99_998, 99_999), (50, 50)]
            .map(|(part, all)| percent(part, all).unwrap());
        assert_eq!(shown, ["0.0", "0.1", "99.9", "100.0"]);
    }
}
