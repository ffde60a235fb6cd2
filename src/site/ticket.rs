//! The page of a ticket: the state of a request, and what its requester can do.

use askama::Template;
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    context::PageContext, form_problem::FormProblem, input::FormOrJson, lookup::path_of,
    markup::Markup, state::SiteState,
};
use crate::{
    advice::Library,
    api::{
        AdviceResponse, BlockedClaimResponse, ControlOptionResponse, MessageAuthor, OutcomeKind,
        ProblemCode, ProblemDetails, RemovalResponse, TestOutcomeResponse, TicketCodeRequest,
        TicketContactRequest, TicketMessageRequest, TicketRequest, TicketResponse,
        TicketTestResponse,
    },
    http::{tickets, tickets_control},
    relay::advice::RepairAdvice,
    tickets::{ControlMethod, RemovalPolicy, TicketKind, TicketService, TicketState},
};

/// How often an open page asks for changes while something happens at once, in milliseconds.
const QUICK_MILLISECONDS: u32 = 2000;
/// How often it asks while a person or a period has to be waited for.
const SLOW_MILLISECONDS: u32 = 15_000;

/// The periods of repeated tests that forms offer, in days.
pub(super) const REPEAT_CHOICES: [u16; 3] = [7, 30, 90];

/// The most outcomes of a test that are shown at once.
const MAX_MAIN_OUTCOMES: usize = 4;

/// What the body of a mail program's request contains, in either encoding of forms.
const ONE_CLICK: &[u8] = b"One-Click";

/// The page of a ticket.
#[derive(Template)]
#[template(path = "ticket.html")]
pub(super) struct TicketPage<'a> {
    pub page: &'a PageContext,
    pub t: &'a TicketResponse,
    /// Why a form was refused.
    pub problem: Option<FormProblem>,
}

/// How much an outcome matters to the owner: a delivered message most, then what may still be
/// delivered, then the forms that had passed.
fn weight(outcome: &TestOutcomeResponse) -> u8 {
    match outcome.outcome {
        OutcomeKind::Delivered => 3,
        OutcomeKind::Accepted => 2,
        _ => u8::from(outcome.had_passed),
    }
}

impl<'a> TicketPage<'a> {
    /// How serious the state is: a class of the style sheet.
    fn tone(&self) -> &'static str {
        match self.t.state {
            TicketState::Granted | TicketState::Ended | TicketState::Tested => "good",
            TicketState::Blocked | TicketState::Failed | TicketState::Refused => "bad",
            _ => "wait",
        }
    }

    /// The name of the state, for tests.
    fn state(&self) -> &'static str {
        self.t.state.into()
    }

    /// The problem of a form, by the name of its field.
    fn problem_of(&self, field: &str) -> Option<&FormProblem> {
        self.problem.as_ref().filter(|p| p.field == field)
    }

    /// The name of a way to prove control, for tests.
    fn method_name(&self, option: &ControlOptionResponse) -> &'static str {
        match option {
            ControlOptionResponse::Server { .. } => "server",
            ControlOptionResponse::Dns { .. } => "dns",
            ControlOptionResponse::Mail { .. } => "mail",
        }
    }

    fn subject(&self) -> Markup {
        self.page.code(&self.t.subject)
    }

    /// Whether the ticket is about a test that the holder of the address asked for.
    fn is_test(&self) -> bool {
        self.t.kind == TicketKind::Test
    }

    /// The periods of repetition to choose from, in days.
    fn repeat_choices(&self) -> [u16; 3] {
        REPEAT_CHOICES
    }

    /// The key of what happens at the next time.
    fn next_key(&self) -> &'static str {
        match self.t.kind {
            TicketKind::Removal | TicketKind::Correction => "ticket-removal-at",
            TicketKind::Test => "ticket-test-begins",
        }
    }

    /// The key of when the test can be repeated.
    fn retry_at_key(&self) -> &'static str {
        match self.t.kind {
            TicketKind::Removal | TicketKind::Correction => "ticket-retry-at",
            TicketKind::Test => "test-again-at",
        }
    }

    /// The keys of the heading and of the text about the state of a test.
    fn test_state_keys(&self) -> (&'static str, &'static str) {
        match self.t.state {
            TicketState::NeedsProof => ("test-state-needs-proof", "test-state-needs-proof-text"),
            TicketState::Delayed => ("test-state-delayed", "test-state-delayed-text"),
            TicketState::Testing => ("test-state-testing", "test-state-testing-text"),
            TicketState::Blocked => ("test-state-blocked", "test-state-blocked-text"),
            TicketState::Failed => ("test-state-failed", "test-state-failed-text"),
            TicketState::Tested => ("test-state-tested", "test-state-tested-text"),
            // A test has no other states.
            _ => ("test-state-withdrawn", "test-state-withdrawn-text"),
        }
    }

    /// The id and the name of the product or guide that a correction is about; `None` for other
    /// tickets.
    fn product(&self) -> Option<(&'a str, &'a str)> {
        match self.t.kind {
            TicketKind::Removal | TicketKind::Test => None,
            TicketKind::Correction => {
                let id = self.t.subject.as_str();
                Some((id, Library::get().page_title(id).unwrap_or(id)))
            }
        }
    }

    fn title(&self) -> Markup {
        match self.product() {
            Some((_, name)) => self.page.t1("correction-title", "product", name),
            None if self.is_test() => self
                .page
                .t1("ticket-test-title", "subject", &self.t.subject),
            None => self.page.t1("ticket-title", "subject", &self.t.subject),
        }
    }

    /// The keys of the heading and of the text about the state.
    fn state_keys(&self) -> (&'static str, &'static str) {
        match self.t.kind {
            TicketKind::Removal => self.removal_keys(),
            TicketKind::Test => self.test_state_keys(),
            TicketKind::Correction => match self.t.state {
                TicketState::Granted => ("correction-granted", "correction-granted-text"),
                TicketState::Refused => ("correction-refused", "correction-refused-text"),
                TicketState::Withdrawn | TicketState::Ended => {
                    ("correction-withdrawn", "correction-withdrawn-text")
                }
                _ => ("correction-review", "correction-review-text"),
            },
        }
    }

    fn removal_keys(&self) -> (&'static str, &'static str) {
        match self.t.state {
            TicketState::NeedsProof => ("state-needs-proof", "state-needs-proof-text"),
            TicketState::Delayed => ("state-delayed", "state-delayed-text"),
            TicketState::Testing => ("state-testing", "state-testing-text"),
            TicketState::Waiting => ("state-waiting", "state-waiting-text"),
            TicketState::Blocked => ("state-blocked", "state-blocked-text"),
            TicketState::Failed => ("state-failed", "state-failed-text"),
            TicketState::Tested => ("test-state-tested", "test-state-tested-text"),
            TicketState::Review => ("state-review", "state-review-text"),
            TicketState::Suspended => ("state-suspended", "state-suspended-text"),
            TicketState::Granted => ("state-granted", "state-granted-text"),
            TicketState::Refused => ("state-refused", "state-refused-text"),
            TicketState::Withdrawn => ("state-withdrawn", "state-withdrawn-text"),
            TicketState::Ended => ("state-ended", "state-ended-text"),
        }
    }

    fn heading(&self) -> Markup {
        let key = self.state_keys().0;
        match self.product() {
            Some((_, name)) => self.page.t1(key, "product", name),
            None => self.page.t1(key, "subject", self.subject()),
        }
    }

    fn text(&self) -> &'static str {
        self.state_keys().1
    }

    /// The key of a step.
    fn step(&self, state: &TicketState) -> &'static str {
        match state {
            TicketState::Failed if self.is_test() => "step-test-failed",
            TicketState::Withdrawn if self.is_test() => "step-test-withdrawn",
            TicketState::Granted if self.product().is_some() => "correction-step-granted",
            TicketState::Refused if self.product().is_some() => "correction-step-refused",
            TicketState::NeedsProof => "step-needs-proof",
            TicketState::Delayed => "step-delayed",
            TicketState::Testing => "step-testing",
            TicketState::Waiting => "step-waiting",
            TicketState::Blocked => "step-blocked",
            TicketState::Failed => "step-failed",
            TicketState::Tested => "step-tested",
            TicketState::Review => "step-review",
            TicketState::Suspended => "step-suspended",
            TicketState::Granted => "step-granted",
            TicketState::Refused => "step-refused",
            TicketState::Withdrawn => "step-withdrawn",
            TicketState::Ended => "step-ended",
        }
    }

    /// Whether nothing can happen any more.
    fn is_closed(&self) -> bool {
        matches!(
            self.t.state,
            TicketState::Granted
                | TicketState::Refused
                | TicketState::Withdrawn
                | TicketState::Ended
        )
    }

    /// Whether a removal comes at a known time.
    fn awaits_removal(&self) -> bool {
        matches!(self.t.state, TicketState::Delayed | TicketState::Waiting)
    }

    /// Whether the script can stop asking for changes.
    fn is_final(&self) -> bool {
        let everywhere = |r: &RemovalResponse| r.everywhere_at.is_some();
        self.is_closed() && self.t.removal.as_ref().is_none_or(everywhere)
    }

    /// How long the script waits before it asks for changes.
    fn wait(&self) -> u32 {
        match self.t.state {
            TicketState::NeedsProof | TicketState::Testing | TicketState::Granted => {
                QUICK_MILLISECONDS
            }
            // A proof may come at any time.
            _ if !self.t.control_options.is_empty() => QUICK_MILLISECONDS,
            _ => SLOW_MILLISECONDS,
        }
    }

    /// A short text that changes whenever the ticket does.
    fn version(&self) -> String {
        let json = serde_json::to_vec(self.t).unwrap_or_default();
        format!("{:08x}", crc32fast::hash(&json))
    }

    /// The path of an action of the ticket.
    fn action(&self, name: &str) -> String {
        self.page.href(&format!("{}/{name}", self.t.path))
    }

    /// The full address of this page.
    fn url(&self) -> String {
        self.page.url(&self.t.path)
    }

    fn retry_key(&self) -> &'static str {
        match self.t.policy {
            _ if self.is_test() => "test-again",
            RemovalPolicy::AfterRetest => "ticket-retry-test",
            _ => "ticket-retry-request",
        }
    }

    /// The test, unless the page is about its end.
    fn test(&self) -> Option<&'a TicketTestResponse> {
        self.t.test.as_ref()
    }

    /// The key of what the test found.
    fn row(&self) -> Option<&'static str> {
        let shown = matches!(
            self.t.state,
            TicketState::Waiting
                | TicketState::Blocked
                | TicketState::Testing
                | TicketState::Review
        );
        let row = self.test().filter(|_| shown)?.row.as_deref()?;
        Some(match row {
            "delivered" => "row-delivered",
            "accepted" => "row-accepted",
            "refused-control-accepted" => "row-refused-control-accepted",
            "refused-control-differs" => "row-refused-control-differs",
            "refused-control-same" => "row-refused-control-same",
            "deferred-control-accepted" => "row-deferred-control-accepted",
            "deferred-control-failed" => "row-deferred-control-failed",
            "login-required" => "row-login-required",
            "shut-out" => "row-shut-out",
            "incomplete-control-accepted" => "row-incomplete-control-accepted",
            "incomplete-control-failed" => "row-incomplete-control-failed",
            _ => return None,
        })
    }

    /// The key of the advice about the setting to change.
    fn advice(&self, advice: &RepairAdvice) -> &'static str {
        match advice {
            RepairAdvice::PostfixDefers => "advice-postfix-defers",
            RepairAdvice::Defers => "advice-defers",
        }
    }

    /// How to close the host, if its last test failed. Without a recognised product, only a
    /// message that was delivered leaves something to look for.
    fn product_advice(&self) -> Option<&'a AdviceResponse> {
        let test = self.test()?;
        let is_delivered = |o: &TestOutcomeResponse| o.outcome == OutcomeKind::Delivered;
        let helps =
            !test.product_advice.recognised.is_empty() || test.outcomes.iter().any(is_delivered);
        (self.t.state == TicketState::Failed && helps).then_some(&test.product_advice)
    }

    /// The claims that the host blocked, for a requester who has proved control.
    fn blocked(&self) -> &'a [BlockedClaimResponse] {
        self.test().map_or(&[], |t| t.blocked.as_slice())
    }

    /// The outcomes that are shown at once: the first of those that matter most.
    fn main_outcomes(&self) -> Vec<&'a TestOutcomeResponse> {
        let mut main = self.outcomes();
        main.truncate(self.main_count());
        main
    }

    /// All other outcomes.
    fn other_outcomes(&self) -> Vec<&'a TestOutcomeResponse> {
        self.outcomes().split_off(self.main_count())
    }

    fn main_count(&self) -> usize {
        let all = self.test().map_or(&[][..], |t| &t.outcomes).iter();
        all.filter(|o| weight(o) > 0)
            .take(MAX_MAIN_OUTCOMES)
            .count()
    }

    /// All outcomes, those that matter most first, else in their order.
    fn outcomes(&self) -> Vec<&'a TestOutcomeResponse> {
        let all = self.test().map_or(&[][..], |t| &t.outcomes).iter();
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|o| std::cmp::Reverse(weight(o)));
        all
    }

    /// The sign and its class, and the key of an outcome.
    fn outcome(&self, outcome: &OutcomeKind) -> (&'static str, &'static str, &'static str) {
        match outcome {
            OutcomeKind::Delivered => ("×", "bad", "outcome-delivered"),
            OutcomeKind::Bounced => ("!", "wait", "outcome-bounced"),
            OutcomeKind::Accepted => ("!", "wait", "outcome-accepted"),
            OutcomeKind::Refused => ("✓", "good", "outcome-refused"),
            OutcomeKind::Deferred => ("…", "wait", "outcome-deferred"),
            OutcomeKind::Inconclusive => ("?", "wait", "outcome-inconclusive"),
            OutcomeKind::Skipped => ("–", "wait", "outcome-skipped"),
        }
    }

    /// The key of how control was proved.
    fn method(&self, method: &ControlMethod) -> &'static str {
        match method {
            ControlMethod::Server => "control-by-server",
            ControlMethod::Dns => "control-by-dns",
            ControlMethod::Mail => "control-by-mail",
        }
    }

    fn is_operator(&self, author: &MessageAuthor) -> bool {
        *author == MessageAuthor::Operator
    }

    /// Whether the requester can write.
    fn may_write(&self) -> bool {
        self.t.messages_left > 0
    }

    /// Whether the requester can be notified by mail.
    fn may_set_contact(&self) -> bool {
        self.page.settings.sends_mail
    }

    /// The key of what is written to the mail address.
    fn contact_text(&self) -> &'static str {
        match self.t.kind {
            TicketKind::Removal => "contact-text",
            TicketKind::Test => "test-contact-text",
            TicketKind::Correction => "correction-contact-text",
        }
    }

    /// The page of the subject.
    fn subject_path(&self) -> String {
        self.page.href(&path_of(&self.t.subject))
    }
}

/// `POST /tickets`.
pub(super) async fn post_ticket(
    page: PageContext,
    State(state): State<SiteState>,
    FormOrJson(request): FormOrJson<TicketRequest>,
) -> Result<Response, ProblemDetails> {
    let language = page.language.tag();
    let opened = tickets::open_ticket(&state.app, request, page.client, language).await?;
    Ok(answer(&page, &opened, true))
}

/// `GET /tickets/{secret}`.
pub(super) async fn get_ticket(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
) -> Result<Response, ProblemDetails> {
    let ticket = tickets::view_ticket(&state.app, &secret).await?;
    Ok(page.respond(&ticket, || TicketPage {
        page: &page,
        t: &ticket,
        problem: None,
    }))
}

/// The actions of a ticket that have no fields.
macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident => $change:path;)*) => {$(
        $(#[$doc])*
        pub(super) async fn $name(
            page: PageContext,
            State(state): State<SiteState>,
            Path(secret): Path<String>,
        ) -> Result<Response, ProblemDetails> {
            let changed = tickets::change_ticket(&state.app, &secret, $change).await;
            changed_or_problem(&page, &state, &secret, changed, "", String::new()).await
        }
    )*};
}

actions! {
    /// `POST /tickets/{secret}/retry`.
    post_retry => TicketService::retry;
    /// `POST /tickets/{secret}/review`.
    post_review => TicketService::ask_review;
    /// `POST /tickets/{secret}/withdraw`.
    post_withdraw => TicketService::withdraw;
    /// `POST /tickets/{secret}/new-code`.
    post_new_code => TicketService::renew_control_code;
}

/// `POST /tickets/{secret}/check-dns`.
pub(super) async fn post_check_dns(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
) -> Result<Response, ProblemDetails> {
    let changed = tickets_control::check_ticket_dns(&state.app, &secret).await;
    changed_or_problem(&page, &state, &secret, changed, "", String::new()).await
}

/// `POST /tickets/{secret}/messages`.
pub(super) async fn post_message(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
    FormOrJson(request): FormOrJson<TicketMessageRequest>,
) -> Result<Response, ProblemDetails> {
    let value = request.text.clone();
    let changed = tickets::add_ticket_message(&state.app, &secret, request).await;
    changed_or_problem(&page, &state, &secret, changed, "message", value).await
}

/// `POST /tickets/{secret}/send-code`.
pub(super) async fn post_send_code(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
    FormOrJson(request): FormOrJson<TicketCodeRequest>,
) -> Result<Response, ProblemDetails> {
    let value = String::new();
    let changed = tickets_control::send_ticket_code(&state.app, &secret, request).await;
    changed_or_problem(&page, &state, &secret, changed, "", value).await
}

/// `POST /tickets/{secret}/contact`.
pub(super) async fn post_contact(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
    FormOrJson(request): FormOrJson<TicketContactRequest>,
) -> Result<Response, ProblemDetails> {
    let value = request.contact.clone();
    let changed = tickets_control::set_ticket_contact(&state.app, &secret, request).await;
    changed_or_problem(&page, &state, &secret, changed, "contact", value).await
}

/// `GET /tickets/{secret}/unsubscribe`: the link of a mail. The page of the ticket has the button.
pub(super) async fn get_unsubscribe(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
) -> Result<Response, ProblemDetails> {
    let ticket = tickets::view_ticket(&state.app, &secret).await?;
    Ok(page.redirect(&format!("{}#notifications", ticket.path)))
}

/// `POST /tickets/{secret}/unsubscribe`: the button, or a mail program with one click. A mail program
/// gets no redirect (RFC 8058 section 3.1), whatever it accepts.
pub(super) async fn post_unsubscribe(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
    body: Bytes,
) -> Result<Response, ProblemDetails> {
    let changed = tickets::change_ticket(&state.app, &secret, TicketService::unsubscribe).await;
    let is_one_click = body.windows(ONE_CLICK.len()).any(|w| w == ONE_CLICK);
    match changed {
        Ok(_) if is_one_click => Ok(StatusCode::NO_CONTENT.into_response()),
        changed => changed_or_problem(&page, &state, &secret, changed, "", String::new()).await,
    }
}

/// Answers a form of a ticket's page. A browser that sent a form with a mistake gets the page of the
/// ticket again, with what is wrong beside the field.
pub(super) async fn changed_or_problem(
    page: &PageContext,
    state: &SiteState,
    secret: &str,
    changed: Result<TicketResponse, ProblemDetails>,
    field: &'static str,
    value: String,
) -> Result<Response, ProblemDetails> {
    let problem = match changed {
        Ok(ticket) => return Ok(answer(page, &ticket, false)),
        Err(problem) if !page.html || problem.code == ProblemCode::NotFound => {
            return Err(problem);
        }
        Err(problem) => problem,
    };
    let ticket = tickets::view_ticket(&state.app, secret).await?;
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
    // What was requested has no page.
    let page = page.at(&ticket.path);
    let template = TicketPage {
        page: &page,
        t: &ticket,
        problem: Some(FormProblem::of(problem, field, value)),
    };
    Ok(page.render_with_status(status, &template))
}

/// Answers a POST: a browser is sent to the page of the ticket, a program gets the ticket.
pub(super) fn answer(page: &PageContext, ticket: &TicketResponse, created: bool) -> Response {
    let status = match created {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    match page.html {
        true => page.redirect(&ticket.path),
        false => (status, Json(ticket)).into_response(),
    }
}
