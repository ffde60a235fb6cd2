//! The page of links: pages of others, and the lists of other operators.

use askama::Template;
use axum::response::Response;

use super::{context::PageContext, markup::Markup};
use crate::{
    advice::{LinkGroup, LinkState},
    api::LinksResponse,
    http,
};

/// The page of links.
#[derive(Template)]
#[template(path = "links.html")]
pub(super) struct LinksPage<'a> {
    pub page: &'a PageContext,
    pub r: &'a LinksResponse,
}

impl LinksPage<'_> {
    /// The name of a group in the address of the page, and the key of its heading.
    fn heading(&self, group: &LinkGroup) -> (&'static str, &'static str) {
        match group {
            LinkGroup::Testers => ("testers", "links-testers"),
            LinkGroup::Standards => ("standards", "links-standards"),
            LinkGroup::History => ("history", "links-history"),
            LinkGroup::Help => ("help", "links-help"),
            LinkGroup::Software => ("software", "links-software"),
        }
    }

    /// "Closed since 2003", or nothing for a page that exists.
    fn closed(&self, state: &LinkState, since: &Option<String>) -> Option<Markup> {
        match (state, since) {
            (LinkState::Alive, _) => None,
            (LinkState::Closed, Some(date)) => {
                Some(self.page.t1("links-closed-since", "date", date))
            }
            (LinkState::Closed, None) => Some(self.page.t("links-closed")),
        }
    }
}

/// `GET /links`.
pub(super) async fn get_links(page: PageContext) -> Response {
    let links = http::public_pages::links::all_links();
    page.respond_indexed(&links, || LinksPage {
        page: &page,
        r: &links,
    })
}
