//! The pages of proofs and removals: evidence, codes from mail, the address that a listed server
//! requests, and the public page of a removal.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{context::PageContext, lookup::path_of, markup::Markup, state::SiteState};
use crate::{
    advice::Library,
    api::{
        ConfirmationKind, ConfirmationResponse, ProblemDetails, ProofResponse, ReleasedResponse,
    },
    http::{self, ClientAddress, PathPart, tickets, tickets_control},
    tickets::{TicketKind, control::commands_for_code},
};

/// The page of a proof.
#[derive(Template)]
#[template(path = "evidence.html")]
pub(super) struct EvidencePage<'a> {
    pub page: &'a PageContext,
    pub r: &'a ProofResponse,
}

impl EvidencePage<'_> {
    fn path(&self, subject: &str) -> String {
        self.page.href(&path_of(subject))
    }
}

/// `GET /evidence/{id}`.
pub(super) async fn get_evidence(
    page: PageContext,
    State(state): State<SiteState>,
    Path(id): Path<String>,
) -> Result<Response, ProblemDetails> {
    let client = ClientAddress(page.client);
    let axum::Json(proof) = http::get_proof(State(state.app), client, PathPart(id)).await?;
    Ok(page.respond(&proof, || EvidencePage {
        page: &page,
        r: &proof,
    }))
}

/// The public page of a removal.
#[derive(Template)]
#[template(path = "released.html")]
pub(super) struct ReleasedPage<'a> {
    pub page: &'a PageContext,
    pub r: &'a ReleasedResponse,
}

impl ReleasedPage<'_> {
    fn path(&self) -> String {
        self.page.href(&path_of(&self.r.subject))
    }
}

/// `GET /released/{id}`.
pub(super) async fn get_released(
    page: PageContext,
    State(state): State<SiteState>,
    Path(id): Path<String>,
) -> Result<Response, ProblemDetails> {
    let released = tickets::view_release(&state.app, &id).await?;
    Ok(page.respond(&released, || ReleasedPage {
        page: &page,
        r: &released,
    }))
}

/// The page of a code from a mail: before the button, and after it.
#[derive(Template)]
#[template(path = "confirm.html")]
pub(super) struct ConfirmPage<'a> {
    pub page: &'a PageContext,
    pub r: &'a ConfirmationResponse,
    /// The path of this page.
    pub path: &'a str,
}

impl ConfirmPage<'_> {
    fn heading_key(&self) -> &'static str {
        match self.r.kind {
            ConfirmationKind::Control => "confirm-button",
            ConfirmationKind::Contact => "confirm-contact",
        }
    }

    fn heading(&self) -> Markup {
        match self.r.kind {
            ConfirmationKind::Control => self.text_of("confirm-control"),
            ConfirmationKind::Contact => self.page.t("confirm-contact"),
        }
    }

    fn text(&self) -> Markup {
        match self.r.kind {
            ConfirmationKind::Control => self.text_of("confirm-control-text"),
            ConfirmationKind::Contact => match self.r.ticket_kind {
                TicketKind::Removal => self.text_of("confirm-contact-text"),
                TicketKind::Test => self.text_of("test-confirm-text"),
                TicketKind::Correction => {
                    self.page
                        .t1("correction-confirm-text", "product", self.product())
                }
            },
        }
    }

    /// The title of the page of the ticket.
    fn ticket_title(&self) -> Markup {
        match self.r.ticket_kind {
            TicketKind::Removal => self.page.t1("ticket-title", "subject", &self.r.subject),
            TicketKind::Test => self
                .page
                .t1("ticket-test-title", "subject", &self.r.subject),
            TicketKind::Correction => self.page.t1("correction-title", "product", self.product()),
        }
    }

    /// The name of the product or guide that a correction is about.
    fn product(&self) -> &str {
        let title = Library::get().page_title(&self.r.subject);
        title.unwrap_or(&self.r.subject)
    }

    fn text_of(&self, key: &str) -> Markup {
        let subject = self.page.code(&self.r.subject);
        self.page.t1(key, "subject", subject)
    }
}

/// `GET /confirm/{code}`: shows a button. Programs that open the links of mail change nothing.
pub(super) async fn get_confirmation(
    page: PageContext,
    State(state): State<SiteState>,
    Path(code): Path<String>,
) -> Result<Response, ProblemDetails> {
    let found = tickets_control::view_confirmation(&state.app, &code, page.client).await?;
    Ok(confirmation(&page, &found, &code))
}

/// `POST /confirm/{code}`.
pub(super) async fn post_confirmation(
    page: PageContext,
    State(state): State<SiteState>,
    Path(code): Path<String>,
) -> Result<Response, ProblemDetails> {
    let confirmed = tickets_control::confirm_code(&state.app, &code, page.client).await?;
    Ok(confirmation(&page, &confirmed, &code))
}

fn confirmation(page: &PageContext, found: &ConfirmationResponse, code: &str) -> Response {
    let path = format!("/confirm/{code}");
    page.respond(found, || ConfirmPage {
        page,
        r: found,
        path: &path,
    })
}

/// The page of the address that a listed server requests, for a browser.
#[derive(Template)]
#[template(path = "prove.html")]
pub(super) struct ProvePage<'a> {
    pub page: &'a PageContext,
    /// The commands to run on the server.
    pub commands: &'a [String],
}

/// `GET /prove/{code}`.
pub(super) async fn get_prove(
    page: PageContext,
    State(state): State<SiteState>,
    Path(code): Path<String>,
) -> Response {
    let settings = state.app.tickets.settings();
    page.render(&ProvePage {
        page: &page,
        commands: &commands_for_code(&code, &settings.control),
    })
}
