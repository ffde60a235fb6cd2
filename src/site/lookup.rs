//! The look-up page: whether a subject is listed, why, and what each visitor can do.

use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

use super::{
    context::PageContext,
    input::FormOrJson,
    markup::{IntoTextArgument, Markup},
    reasons,
    state::SiteState,
};
use crate::{
    api::{
        AdviceResponse, HopStanding, LookupAnswer, LookupReasonResponse, LookupResponse,
        LookupZoneResponse, ProblemCode, ProblemDetails, PublicProofResponse, PublicSourceResponse,
        RemovalOptionResponse, TimelineEventResponse, TimelineKind,
    },
    http::{self, LookupInput},
    tickets::RemovalPolicy,
};

/// The most zones that the first sentence names.
const MAX_NAMED_ZONES: usize = 3;

/// The look-up page.
#[derive(Template)]
#[template(path = "lookup.html")]
pub(super) struct LookupPage<'a> {
    pub page: &'a PageContext,
    pub r: &'a LookupResponse,
    /// Whether the pasted text was not understood.
    pub error: bool,
    /// What was pasted, to be shown in the field again.
    pub pasted: &'a str,
}

impl<'a> LookupPage<'a> {
    /// How serious the answer is: a class of the style sheet.
    fn tone(&self) -> &'static str {
        match self.r.answer {
            LookupAnswer::Listed | LookupAnswer::ListedBySource => "bad",
            LookupAnswer::WasListed | LookupAnswer::NeverListed => "good",
            LookupAnswer::OtherList => "wait",
        }
    }

    /// The name of the answer, for tests.
    fn answer(&self) -> &'static str {
        self.r.answer.into()
    }

    /// The subject as HTML.
    fn subject(&self) -> Markup {
        self.page.code(&self.r.subject)
    }

    /// The zone and the reason that the first sentence names: the first reason of our own, or
    /// else the first one.
    fn main_reason(&self) -> Option<(&'a LookupZoneResponse, &'a LookupReasonResponse)> {
        let all = || {
            let zones = self.r.zones.iter();
            zones.flat_map(|z| z.reasons.iter().map(move |reason| (z, reason)))
        };
        all()
            .find(|(_, r)| r.source.is_none())
            .or_else(|| all().next())
    }

    /// The zones that list the subject, as part of a sentence.
    fn zones(&self) -> Markup {
        let names = self.r.zones.iter().map(|z| z.zone.as_str());
        match self.r.zones.len() {
            n if n > MAX_NAMED_ZONES => self.page.t1("lookup-zones", "count", n),
            _ => self.page.list(names),
        }
    }

    /// The first sentence.
    fn verdict(&self) -> Markup {
        let (page, subject) = (self.page, self.subject());
        match self.r.answer {
            LookupAnswer::Listed | LookupAnswer::ListedBySource => self.verdict_listed(),
            LookupAnswer::WasListed => match &self.r.past {
                Some(past) => {
                    let ended = page.when(&past.ended);
                    page.t2("lookup-was-listed", "subject", subject, "ended", ended)
                }
                None => page.t1("lookup-not-listed", "subject", subject),
            },
            LookupAnswer::OtherList => {
                let lists = self.r.other_lists.iter().map(|l| l.name.as_str());
                let lists = page.list(lists);
                page.t2("lookup-other-list", "subject", subject, "lists", lists)
            }
            LookupAnswer::NeverListed => page.t1("lookup-never-listed", "subject", subject),
        }
    }

    fn verdict_listed(&self) -> Markup {
        let page = self.page;
        let Some((_, reason)) = self.main_reason() else {
            let (subject, zones) = (self.subject(), self.zones());
            return page.t2("lookup-listed-plainly", "subject", subject, "zones", zones);
        };
        let (key, name, value) = match &reason.source {
            Some(source) => ("lookup-listed-by-source", "source", source.title.argument()),
            None => (
                "lookup-listed",
                "cause",
                self.cause(&reason.reason).argument(),
            ),
        };
        let args = [
            ("subject", self.subject().argument()),
            ("zones", self.zones().argument()),
            ("since", page.when(&reason.since).argument()),
            (name, value),
        ];
        page.text(key, &args)
    }

    /// Why a subject is listed, as a clause.
    fn cause(&self, reason: &str) -> Markup {
        self.page.t1(reasons::cause(reason), "reason", reason)
    }

    /// The wider listing that covers the subject, if the first sentence is about one.
    fn cover(&self) -> Option<&'a str> {
        let (_, reason) = self.main_reason()?;
        let is_cover = reason.listed != self.r.subject && reason.network.is_none();
        is_cover.then_some(reason.listed.as_str())
    }

    /// The listed address in whose place a list has its network, and the network, if the first
    /// sentence is about one.
    fn widened(&self) -> Option<(&'a str, &'a str)> {
        let (_, reason) = self.main_reason()?;
        Some((reason.listed.as_str(), reason.network.as_deref()?))
    }

    /// Whether a listed address is not the subject.
    fn is_neighbour(&self, listed: &str) -> bool {
        listed != self.r.subject
    }

    /// The page about the listed network, and the network, if two persons have listed it.
    fn netblock(&self) -> Option<(&'a str, &'a str)> {
        let mut reasons = self.r.zones.iter().flat_map(|z| &z.reasons);
        reasons.find_map(|r| Some((r.netblock.as_deref()?, r.listed.as_str())))
    }

    /// The age of what the first sentence says.
    fn age(&self) -> Option<Markup> {
        let at = match self.r.answer {
            LookupAnswer::WasListed => self.r.past.as_ref().map(|p| p.ended),
            _ => self.main_reason().map(|(_, r)| r.since),
        };
        at.map(|at| self.page.age(&at))
    }

    /// The text of the reason about repairs, if it is one of those that the site explains.
    fn repair(&self) -> Option<reasons::Repair> {
        let (_, reason) = self.main_reason().filter(|(_, r)| r.source.is_none())?;
        reasons::repair(&reason.reason)
    }

    /// How to close the host, if its own settings are the reason of its listing.
    fn product_advice(&self) -> Option<&'a AdviceResponse> {
        let (_, reason) = self.main_reason().filter(|(_, r)| r.source.is_none())?;
        let is_relay = ["relay", "input", "unconfirmed"].contains(&reason.reason.as_str());
        let findings = self.r.relay_tests.as_ref().filter(|_| is_relay)?;
        Some(&findings.product_advice)
    }

    /// The key of what is sure about a hop.
    fn standing(&self, standing: &HopStanding) -> &'static str {
        match standing {
            HopStanding::Own => "trace-own",
            HopStanding::HandedOver => "trace-handed",
            HopStanding::Unproved => "trace-unproved",
        }
    }

    /// The servers that the reader marked as their own, as text.
    fn own_servers(&self) -> String {
        self.r
            .trace
            .as_ref()
            .map_or_else(String::new, |t| t.own.join(" "))
    }

    /// The proofs of which the subject is the input or the output: the plain one first.
    fn first_proof(&self) -> Option<&'a PublicProofResponse> {
        let proofs = &self.r.relay_tests.as_ref()?.proofs;
        let plain = proofs.iter().find(|p| p.test == "plain");
        plain.or_else(|| proofs.first())
    }

    /// The other proofs.
    fn other_proofs(&self) -> Vec<&'a PublicProofResponse> {
        let first = self.first_proof().map(|p| p.id);
        let all = self.r.relay_tests.iter().flat_map(|t| &t.proofs);
        all.filter(|p| Some(p.id) != first).collect()
    }

    /// The hosts whose messages the subject delivers.
    fn inputs(&self) -> Vec<(String, &'a str)> {
        let all = self.r.relay_tests.iter().flat_map(|t| &t.inputs);
        all.map(|i| (self.path(i), i.as_str())).collect()
    }

    /// The lists of other publishers that list the subject, each once.
    fn sources(&self) -> Vec<&'a PublicSourceResponse> {
        let reasons = self.r.zones.iter().flat_map(|z| &z.reasons);
        let mut out: Vec<&PublicSourceResponse> = Vec::new();
        for source in reasons.filter_map(|r| r.source.as_ref()) {
            if !out.contains(&source) {
                out.push(source);
            }
        }
        out
    }

    /// The addresses to write to about the zones, each once.
    fn contacts(&self) -> Vec<&'a str> {
        let mut out: Vec<&str> = self.r.zones.iter().map(|z| z.contact.as_str()).collect();
        out.sort_unstable();
        out.dedup();
        out
    }

    /// The name of the policy of a removal.
    fn policy(&self, option: &RemovalOptionResponse) -> &'static str {
        option.policy.into()
    }

    /// The page of a proof.
    fn proof_path(&self, proof: &PublicProofResponse) -> String {
        self.page.href(&format!("/evidence/{}", proof.id))
    }

    /// The part of the page of a zone that says how one address is let through.
    fn zone_path(&self, zone: &LookupZoneResponse) -> String {
        self.page.href(&format!("/zones/{}#settings", zone.zone))
    }

    /// The key of the button of a removal.
    fn button(&self, option: &RemovalOptionResponse) -> &'static str {
        match option.policy {
            RemovalPolicy::AfterRetest => "removal-button-after-retest",
            RemovalPolicy::OnRequest => "removal-button-on-request",
            RemovalPolicy::OwnerOfRange => "removal-button-owner-of-range",
            RemovalPolicy::Reviewed => "removal-button-reviewed",
            RemovalPolicy::WithLastInput => "removal-button-with-last-input",
            RemovalPolicy::ByOwner => "removal-button-by-owner",
            RemovalPolicy::None => "removal-button-none",
        }
    }

    /// The key of what happens after the button of a removal.
    fn explanation(&self, option: &RemovalOptionResponse) -> &'static str {
        match option.policy {
            RemovalPolicy::AfterRetest => "removal-after-retest",
            RemovalPolicy::OnRequest => "removal-on-request",
            RemovalPolicy::OwnerOfRange => "removal-owner-of-range",
            RemovalPolicy::Reviewed => "removal-reviewed",
            RemovalPolicy::WithLastInput => "removal-with-last-input",
            RemovalPolicy::ByOwner => "removal-by-owner",
            RemovalPolicy::None => "removal-none",
        }
    }

    /// Whether a removal makes no sense before the cause is gone.
    fn asks_for_repair(&self, option: &RemovalOptionResponse) -> bool {
        let policy = option.policy;
        policy == RemovalPolicy::AfterRetest || policy == RemovalPolicy::OnRequest
    }

    /// The key of what somebody does who has taken the address over.
    fn previous_owner(&self) -> &'static str {
        let tested = |o: &RemovalOptionResponse| o.policy == RemovalPolicy::AfterRetest;
        match self.r.removal.iter().any(tested) {
            true => "visitor-previous-text",
            false => "visitor-previous-other",
        }
    }

    /// The text for the person who runs the mail server.
    fn text_to_forward(&self) -> Markup {
        let url = self.page.url(&path_of(&self.r.subject));
        let args = [
            ("subject", self.r.subject.argument()),
            ("zones", self.zones().argument()),
            ("url", url.argument()),
        ];
        self.page.text("visitor-sender-forward", &args)
    }

    /// What happened, as a sentence.
    fn event(&self, event: &TimelineEventResponse) -> Markup {
        let reason = event.reason.as_deref().unwrap_or_default();
        let key = match event.kind {
            TimelineKind::Listed => "event-listed",
            TimelineKind::Renewed => "event-renewed",
            TimelineKind::Removed => "event-removed",
            TimelineKind::Expired => "event-expired",
            TimelineKind::Held => "event-held",
            TimelineKind::Exempted => "event-exempted",
            TimelineKind::HoldEnded => "event-hold-ended",
        };
        self.page.t1(key, "reason", reason)
    }

    /// The page of a subject.
    fn path(&self, subject: &str) -> String {
        self.page.href(&path_of(subject))
    }
}

/// The page of a text that is not a subject: the field, with the error beside it.
#[derive(Template)]
#[template(path = "lookup_error.html")]
pub(super) struct LookupErrorPage<'a> {
    pub page: &'a PageContext,
    /// Whether the pasted text was not understood.
    pub error: bool,
    /// What was pasted.
    pub pasted: &'a str,
    /// What is wrong, in English.
    pub detail: &'a str,
}

/// The field of the look-up form.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct LookupForm {
    /// A subject, or a pasted message.
    text: String,
    /// The servers that the reader marks as their own.
    own: String,
}

/// `GET /lookup` and `GET /nph-lookup`.
pub(super) async fn get_lookup(
    page: PageContext,
    State(state): State<SiteState>,
) -> Result<Response, ProblemDetails> {
    let found = match http::query_input(page.query(), page.client) {
        Ok(input) => http::public_lookup(&state.app, input, page.client).await,
        Err(problem) => Err(problem),
    };
    match found {
        Ok(found) => Ok(respond(&page, &found, "")),
        Err(problem) => field_error(&page, "", problem),
    }
}

/// `GET /{subject}`.
pub(super) async fn get_subject(
    page: PageContext,
    State(state): State<SiteState>,
    Path(subject): Path<String>,
) -> Result<Response, ProblemDetails> {
    look_up_path(page, state, &subject).await
}

/// `GET /{address}/{length}`.
pub(super) async fn get_prefix(
    page: PageContext,
    State(state): State<SiteState>,
    Path((address, length)): Path<(String, String)>,
) -> Result<Response, ProblemDetails> {
    look_up_path(page, state, &format!("{address}/{length}")).await
}

async fn look_up_path(
    page: PageContext,
    state: SiteState,
    text: &str,
) -> Result<Response, ProblemDetails> {
    let input = LookupInput::ShortForm(text.into());
    match http::public_lookup(&state.app, input, page.client).await {
        Ok(found) => Ok(respond(&page, &found, "")),
        Err(problem) => field_error(&page, text, problem),
    }
}

/// `POST /lookup`.
pub(super) async fn post_lookup(
    mut page: PageContext,
    State(state): State<SiteState>,
    FormOrJson(form): FormOrJson<LookupForm>,
) -> Result<Response, ProblemDetails> {
    if let Some(subject) = http::only_subject(&state.app, &form.text)
        && page.html
    {
        return Ok(page.redirect(&path_of(&subject.to_string())));
    }
    page.pasted = Some(form.text.clone());
    let input = LookupInput::Pasted {
        text: form.text.clone(),
        own: form.own.clone(),
    };
    match http::public_lookup(&state.app, input, page.client).await {
        Ok(found) => Ok(respond(&page, &found, &form.text)),
        Err(problem) => field_error(&page, &form.text, problem),
    }
}

fn respond(page: &PageContext, found: &LookupResponse, pasted: &str) -> Response {
    page.respond(found, || LookupPage {
        page,
        r: found,
        error: false,
        pasted,
    })
}

/// Shows an error beside the field; programs get the problem.
fn field_error(
    page: &PageContext,
    pasted: &str,
    problem: ProblemDetails,
) -> Result<Response, ProblemDetails> {
    if !page.html || problem.code != ProblemCode::Invalid {
        return Err(problem);
    }
    let template = LookupErrorPage {
        page,
        error: true,
        pasted,
        detail: &problem.detail,
    };
    Ok(page.render_with_status(StatusCode::UNPROCESSABLE_ENTITY, &template))
}

/// The path of the page of a subject: the short form, or a query where a page of the site has the
/// same path.
pub(super) fn path_of(subject: &str) -> String {
    let safe = |b: &u8| b.is_ascii_alphanumeric() || b".-_:*/".contains(b);
    if subject.bytes().all(|b| safe(&b)) && subject.contains(['.', ':']) && !subject.contains("//")
    {
        return format!("/{}", subject.trim_start_matches('/'));
    }
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("subject", subject)
        .finish();
    format!("/lookup?{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_a_subject_stays_on_this_site() {
        for (subject, path) in [
            ("192.0.2.1", "/192.0.2.1"),
            ("192.0.2.0/24", "/192.0.2.0/24"),
            ("2001:db8::/32", "/2001:db8::/32"),
            ("*.example.com", "/*.example.com"),
            ("zones", "/lookup?subject=zones"),
            ("//evil.example", "/lookup?subject=%2F%2Fevil.example"),
            ("a.b?c#d", "/lookup?subject=a.b%3Fc%23d"),
            ("a.b\\c", "/lookup?subject=a.b%5Cc"),
        ] {
            assert_eq!(path_of(subject), path);
        }
    }
}
