//! The pages about networks that two persons have listed.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{context::PageContext, lookup::path_of, markup::Markup, state::SiteState};
use crate::{
    api::{Page, ProblemDetails, PublicNetblockContactResponse, PublicNetblockResponse},
    http,
    netblocks::{ContactAnswer, ContactRequest, NetblockEnd, NetblockState, NetblockText},
};

/// The page with all networks.
#[derive(Template)]
#[template(path = "netblocks.html")]
pub(super) struct NetblocksPage<'a> {
    pub page: &'a PageContext,
    pub networks: &'a [PublicNetblockResponse],
}

impl NetblocksPage<'_> {
    fn href(&self, network: &PublicNetblockResponse) -> String {
        self.page.href(&network.path)
    }

    fn reason(&self, network: &PublicNetblockResponse) -> Markup {
        reason(self.page, &network.reason)
    }

    fn state(&self, network: &PublicNetblockResponse) -> Markup {
        state(self.page, network)
    }
}

/// The page of one network.
#[derive(Template)]
#[template(path = "netblock.html")]
pub(super) struct NetblockPage<'a> {
    pub page: &'a PageContext,
    pub r: &'a PublicNetblockResponse,
}

impl NetblockPage<'_> {
    fn reason(&self) -> Markup {
        reason(self.page, &self.r.reason)
    }

    fn state(&self) -> Markup {
        state(self.page, self.r)
    }

    fn is_listed(&self) -> bool {
        self.r.state == NetblockState::Listed
    }

    /// The link to the look-up, where a removal is requested.
    fn lookup(&self) -> String {
        self.page.href(&path_of(&self.r.prefix))
    }

    /// What the owner was asked, as a sentence.
    fn request(&self, contact: &PublicNetblockContactResponse) -> Markup {
        let key = match contact.request {
            ContactRequest::Complaint => "netblock-asked-complaint",
            ContactRequest::Stop => "netblock-asked-stop",
            ContactRequest::Notice => "netblock-asked-notice",
        };
        self.page.t1(key, "day", self.page.day(&contact.asked_at))
    }

    /// What came back, as a sentence.
    fn answer(&self, contact: &PublicNetblockContactResponse) -> Markup {
        let key = match contact.answer {
            ContactAnswer::None => "netblock-answer-none",
            ContactAnswer::Undeliverable => "netblock-answer-undeliverable",
            ContactAnswer::Promised => "netblock-answer-promised",
            ContactAnswer::Refused => "netblock-answer-refused",
            ContactAnswer::Other => "netblock-answer-other",
        };
        match &contact.answered_at {
            Some(at) => self.page.t1(key, "day", self.page.day(at)),
            None => self.page.t(key),
        }
    }
}

/// Why a network is listed, as a sentence.
fn reason(page: &PageContext, text: &NetblockText) -> Markup {
    match text {
        NetblockText::SpamFromMany { addresses } => {
            page.t1("netblock-spam-from-many", "count", page.number(*addresses))
        }
        NetblockText::SpamSupport {} => page.t("netblock-spam-support"),
        NetblockText::IgnoresComplaints { complaints, days } => page.t2(
            "netblock-ignores-complaints",
            "count",
            page.number(*complaints),
            "days",
            page.number(*days),
        ),
        NetblockText::OpenRelays { hosts } => {
            page.t1("netblock-open-relays", "count", page.number(*hosts))
        }
        NetblockText::Hijacked {} => page.t("netblock-hijacked"),
        NetblockText::HolderRequest {} => page.t("netblock-holder-request"),
    }
}

/// Since when a network is listed and until when, or how its entry ended.
fn state(page: &PageContext, network: &PublicNetblockResponse) -> Markup {
    match (network.end, &network.ended_at) {
        (Some(end), Some(at)) => {
            let key = match end {
                NetblockEnd::Delisted => "netblock-delisted",
                NetblockEnd::Expired | NetblockEnd::Refused | NetblockEnd::NotApproved => {
                    "netblock-expired"
                }
            };
            page.t1(key, "day", page.day(at))
        }
        _ => page.t2(
            "netblock-listed",
            "day",
            page.day(&network.listed_at),
            "until",
            page.day(&network.until),
        ),
    }
}

/// `GET /netblocks`.
pub(super) async fn get_netblocks(
    page: PageContext,
    State(state): State<SiteState>,
) -> Result<Response, ProblemDetails> {
    let networks = http::netblocks::public_netblocks(&state.app).await?;
    Ok(
        page.respond_indexed(&Page::all(networks.iter().cloned()), || NetblocksPage {
            page: &page,
            networks: &networks,
        }),
    )
}

/// `GET /netblocks/{address}/{length}`.
pub(super) async fn get_netblock(
    page: PageContext,
    State(state): State<SiteState>,
    Path((address, length)): Path<(String, String)>,
) -> Result<Response, ProblemDetails> {
    let text = format!("{address}/{length}");
    let network = http::netblocks::public_netblock(&state.app, &text).await?;
    Ok(page.respond_indexed(&network, || NetblockPage {
        page: &page,
        r: &network,
    }))
}
