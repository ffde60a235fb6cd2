//! The page of comparisons with other lists.

use askama::Template;
use axum::{extract::State, response::Response};

use super::{context::PageContext, lists::list_path, markup::Markup, state::SiteState};
use crate::{
    api::{
        ComparisonCounts, ComparisonResponse, EntryGroupName, Page, ProblemDetails, ShareResponse,
    },
    http::comparisons::public::public_comparisons,
};

/// The page.
#[derive(Template)]
#[template(path = "comparisons.html")]
pub(super) struct ComparisonsPage<'a> {
    pub page: &'a PageContext,
    pub comparisons: &'a [ComparisonResponse],
}

impl ComparisonsPage<'_> {
    fn zone(&self, c: &ComparisonResponse) -> Markup {
        let href = self.page.href(&list_path(&c.zone));
        let href = super::markup::escape(&href);
        let zone = super::markup::escape(&c.zone);
        Markup::trusted(format!("<a href=\"{href}\">{zone}</a>"))
    }
}

/// The kinds of entries that a comparison has, with their numbers.
pub(super) fn rows(c: &ComparisonResponse) -> Vec<(&'static str, &ComparisonCounts)> {
    let kinds = [
        ("compare-ipv4", &c.ipv4),
        ("compare-ipv6", &c.ipv6),
        ("compare-names", &c.names),
    ];
    let is_used = |n: &ComparisonCounts| n.theirs + n.ours > 0;
    let mut rows: Vec<_> = kinds.into_iter().filter(|(_, n)| is_used(n)).collect();
    if rows.len() > 1 {
        rows.push(("compare-total", &c.total));
    }
    rows
}

/// "93.3 %: 11,597 … of 12,425 …"
pub(super) fn share_text(page: &PageContext, share: &ShareResponse) -> Markup {
    let percent = page.decimal(&format!("{:.1}", share.percent));
    let part = group(page, share.part, share.part_entries);
    let whole = group(page, share.whole, share.whole_entries);
    page.t3(
        "compare-share",
        "percent",
        percent,
        "part",
        part,
        "whole",
        whole,
    )
}

/// A number of entries with the group that they are.
fn group(page: &PageContext, group: EntryGroupName, entries: u64) -> Markup {
    let key = match group {
        EntryGroupName::Theirs => "compare-group-theirs",
        EntryGroupName::Ours => "compare-group-ours",
        EntryGroupName::Both => "compare-group-both",
        EntryGroupName::OnlyTheirs => "compare-group-only-theirs",
        EntryGroupName::OnlyOurs => "compare-group-only-ours",
        EntryGroupName::Tested => "compare-group-tested",
        EntryGroupName::TestedOpen => "compare-group-tested-open",
        EntryGroupName::TestedClosed => "compare-group-tested-closed",
    };
    page.t1(key, "entries", page.number(entries))
}

/// `GET /compare`.
pub(super) async fn get_comparisons(
    page: PageContext,
    State(state): State<SiteState>,
) -> Result<Response, ProblemDetails> {
    let comparisons = public_comparisons(&state.app).await?;
    let all = Page::all(comparisons.iter().cloned());
    Ok(page.respond_indexed(&all, || ComparisonsPage {
        page: &page,
        comparisons: &comparisons,
    }))
}
