//! The pages for operators.

use std::collections::BTreeMap;

use askama::Template;
use axum::{http::StatusCode, response::Response};

use crate::{
    api::{
        AloneEntryResponse, ComparisonResponse, CoverageResponse, OverlapResponse,
        PairOverlapResponse, PairSideResponse, ProblemDetails, SourceOverlapResponse,
    },
    site::{context::PageContext, errors::keys, markup::Markup},
};

/// The page with all comparisons.
#[derive(Template)]
#[template(path = "operators_comparisons.html")]
pub(super) struct OperatorComparisonsPage<'a> {
    pub page: &'a PageContext,
    pub comparisons: &'a [ComparisonResponse],
}

/// The page of one comparison.
#[derive(Template)]
#[template(path = "operators_comparison.html")]
pub(super) struct ComparisonPage<'a> {
    pub page: &'a PageContext,
    pub c: &'a ComparisonResponse,
}

impl ComparisonPage<'_> {
    fn has_left_out(&self) -> bool {
        self.c.left_out > 0
    }

    fn has_errors(&self) -> bool {
        self.c.errors > 0
    }

    /// The numbers of addresses of each family that a list covers.
    fn coverage(&self) -> Vec<(&'static str, &CoverageResponse)> {
        let all = [
            ("compare-ipv4", &self.c.ipv4_addresses),
            ("compare-ipv6", &self.c.ipv6_addresses),
        ];
        let is_used = |n: &CoverageResponse| n.theirs != "0" || n.ours != "0";
        all.into_iter().filter(|(_, n)| is_used(n)).collect()
    }

    /// The command that makes the comparison again. A text that a shell could read as something else
    /// than a word is left out, because the command is there to be copied.
    pub(super) fn command(&self) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
        let with = self.c.with.as_deref().unwrap_or_default();
        let is_word = !with.is_empty() && !with.starts_with('-') && with.chars().all(is_plain);
        let with = if is_word { with } else { "FILE" };
        format!(
            "orbsd compare --with {with} --zone {} --name {}",
            self.c.zone, self.c.name
        )
    }
}

/// The page of the overlap of the own sources.
#[derive(Template)]
#[template(path = "operators_overlap.html")]
pub(super) struct OverlapPage<'a> {
    pub page: &'a PageContext,
    pub overlap: &'a OverlapResponse,
}

/// A row of the matrix of common entries.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MatrixRow<'a> {
    /// The source.
    pub source: &'a str,
    /// What it has in common with each source, in the order of the rows.
    pub cells: Vec<String>,
}

impl OverlapPage<'_> {
    /// The common entries of each pair of sources, with their share of the entries of the source of
    /// the row.
    pub(super) fn matrix(&self) -> Vec<MatrixRow<'_>> {
        let sides = self.overlap.pairs.iter().flat_map(|pair| {
            let [a, b] = pair.sides.each_ref().map(|side| side.source.as_str());
            [((a, b), pair.both), ((b, a), pair.both)]
        });
        let both: BTreeMap<(&str, &str), u64> = sides.collect();
        let sources = &self.overlap.sources;
        let row = |row: &SourceOverlapResponse| -> Vec<String> {
            let cell = |column: &SourceOverlapResponse| {
                let common = match row.source == column.source {
                    true => Some(&row.entries),
                    false => both.get(&(row.source.as_str(), column.source.as_str())),
                };
                common.map_or_else(String::new, |n| self.cell(*n, row.entries))
            };
            sources.iter().map(cell).collect()
        };
        let rows = sources.iter().map(|source| MatrixRow {
            source: &source.source,
            cells: row(source),
        });
        rows.collect()
    }

    fn cell(&self, entries: u64, of: u64) -> String {
        let percent = 100.0 * entries as f64 / of.max(1) as f64;
        format!("{} ({percent:.1} %)", self.page.number(entries))
    }

    fn entry(&self, entry: &AloneEntryResponse) -> Markup {
        let (page, subject) = (self.page, self.page.code(&entry.subject));
        let since = page.day(&entry.since);
        match &entry.dropped_by {
            None => page.t2("operators-since", "subject", subject, "when", since),
            Some(source) => page.t3(
                "operators-dropped",
                "subject",
                subject,
                "when",
                since,
                "source",
                source.as_str(),
            ),
        }
    }

    fn pair(&self, pair: &PairOverlapResponse) -> Markup {
        let [first, second] = pair.sides.each_ref().map(|side| side.source.as_str());
        self.page
            .t2("operators-pair", "first", first, "second", second)
    }

    fn first(&self, side: &PairSideResponse) -> Markup {
        let (page, source) = (self.page, side.source.as_str());
        let count = page.number(side.first);
        match side.median_lead {
            None => page.t2("operators-was-first", "source", source, "count", count),
            Some(lead) => {
                let lead = page.duration(&u32::try_from(lead).unwrap_or(u32::MAX));
                page.t3(
                    "operators-was-first-by",
                    "source",
                    source,
                    "count",
                    count,
                    "duration",
                    lead,
                )
            }
        }
    }
}

/// The page of an error.
#[derive(Template)]
#[template(path = "operators_error.html")]
struct OperatorErrorPage<'a> {
    page: &'a PageContext,
    title: &'static str,
    detail: &'a str,
    /// After how many seconds the request can be repeated.
    retry_after: Option<u32>,
}

/// Responds with a problem as a page.
pub(super) fn error_page(page: &PageContext, problem: &ProblemDetails) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let retry_after = problem.retry_after;
    let retry_after = retry_after.map(|s| u32::try_from(s).unwrap_or(u32::MAX));
    let template = OperatorErrorPage {
        page,
        title: keys(problem.code).0,
        detail: &problem.detail,
        retry_after,
    };
    page.render_with_status(status, &template)
}
