//! The pages of providers of dynamic ranges: the one on which they ask for a range, and that of each
//! provider.

use askama::Template;
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    context::PageContext, form_problem::FormProblem, input::FormOrJson, lookup::path_of,
    markup::Markup, state::SiteState,
};
use crate::{
    api::{
        ProblemCode, ProblemDetails, ProvidedEntryResponse, ProviderEditRequest,
        ProviderEditResponse, ProviderPageResponse, ProviderRequest, ProviderResponse,
        ProviderUndoRequest, ProvidersPageResponse,
    },
    dynamic_ranges::{EditAction, ProviderState},
    http::providers::{self, ProviderCommand},
};

/// The page on which providers ask for a range.
#[derive(Template)]
#[template(path = "providers.html")]
pub(super) struct ProvidersPage<'a> {
    pub page: &'a PageContext,
    pub r: &'a ProvidersPageResponse,
    /// What was entered.
    pub range: &'a str,
    /// Why the form was refused, in English.
    pub problem: Option<&'a str>,
}

/// The page of a provider.
#[derive(Template)]
#[template(path = "provider.html")]
pub(super) struct ProviderPage<'a> {
    pub page: &'a PageContext,
    pub r: &'a ProviderPageResponse,
    /// Why a form was refused.
    pub problem: Option<FormProblem>,
}

impl ProviderPage<'_> {
    fn p(&self) -> &ProviderResponse {
        &self.r.provider
    }

    /// How serious the state is: a class of the style sheet.
    fn tone(&self) -> &'static str {
        match self.p().state {
            ProviderState::Requested => "wait",
            ProviderState::Proved => "good",
            ProviderState::Lapsed | ProviderState::Removed => "bad",
        }
    }

    fn state(&self) -> &'static str {
        self.p().state.into()
    }

    fn heading(&self) -> Markup {
        let key = match self.p().state {
            ProviderState::Requested => "provider-requested",
            ProviderState::Proved => "provider-proved",
            ProviderState::Lapsed => "provider-lapsed",
            ProviderState::Removed => "provider-removed",
        };
        self.page.t1(key, "range", self.page.code(&self.p().range))
    }

    fn text(&self) -> &'static str {
        match self.p().state {
            ProviderState::Requested => "provider-requested-text",
            ProviderState::Proved => "provider-proved-text",
            ProviderState::Lapsed => "provider-lapsed-text",
            ProviderState::Removed => "provider-removed-text",
        }
    }

    fn may_edit(&self) -> bool {
        self.p().state == ProviderState::Proved
    }

    /// Whether the record can still prove the range.
    fn may_prove(&self) -> bool {
        self.p().state != ProviderState::Removed
    }

    /// The path of an action.
    fn action(&self, name: &str) -> String {
        self.page.href(&format!("{}/{name}", self.r.path))
    }

    /// The lines of a zone file with the record.
    fn zone_lines(&self) -> String {
        let names = self.p().record_names.iter();
        let lines = names.map(|name| format!("{name}. 3600 IN TXT \"{}\"", self.r.record_text));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The commands that show whether the record is there.
    fn dig_lines(&self) -> String {
        let names = self.p().record_names.iter();
        let lines = names.map(|name| format!("dig +short TXT {name}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The commands of a program that takes a host out, and lists a range.
    fn command(&self, action: EditAction) -> String {
        let subject = match action {
            EditAction::TakeOut | EditAction::PutBack => "ADDRESS",
            EditAction::Add | EditAction::Remove => "PREFIX",
        };
        let (url, name): (_, &str) = (self.url(), action.into());
        format!("curl --json '{{\"action\": \"{name}\", \"subject\": \"{subject}\"}}' {url}/edits")
    }

    fn add_command(&self) -> String {
        self.command(EditAction::Add)
    }

    fn take_out_command(&self) -> String {
        self.command(EditAction::TakeOut)
    }

    fn url(&self) -> String {
        self.page.url(&self.r.path)
    }

    fn lookup(&self, entry: &ProvidedEntryResponse) -> String {
        self.page.href(&path_of(&entry.subject))
    }

    /// What an edit did, as a sentence.
    fn edit(&self, edit: &ProviderEditResponse) -> Markup {
        let key = match edit.action {
            EditAction::Add => "provider-edit-add",
            EditAction::Remove => "provider-edit-remove",
            EditAction::TakeOut => "provider-edit-take-out",
            EditAction::PutBack => "provider-edit-put-back",
        };
        self.page.t1(key, "subject", self.page.code(&edit.subject))
    }

    /// The problem of a form, by the name of its field.
    fn problem_of(&self, field: &str) -> Option<&FormProblem> {
        self.problem.as_ref().filter(|p| p.field == field)
    }
}

/// `GET /providers`.
pub(super) async fn get_providers(page: PageContext, State(state): State<SiteState>) -> Response {
    let r = providers::providers_page(&state.app);
    page.respond_indexed(&r, || ProvidersPage {
        page: &page,
        r: &r,
        range: "",
        problem: None,
    })
}

/// `POST /providers`. A browser that sent a form with a mistake gets the page again.
pub(super) async fn post_provider(
    page: PageContext,
    State(state): State<SiteState>,
    FormOrJson(request): FormOrJson<ProviderRequest>,
) -> Result<Response, ProblemDetails> {
    let range = request.range.clone();
    let problem = match providers::open_provider(&state.app, request, page.client).await {
        Ok(opened) if page.html => return Ok(page.redirect(&opened.path)),
        Ok(opened) => return Ok((StatusCode::CREATED, Json(opened)).into_response()),
        Err(problem) if !page.html => return Err(problem),
        Err(problem) => problem,
    };
    let r = providers::providers_page(&state.app);
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
    let template = ProvidersPage {
        page: &page,
        r: &r,
        range: &range,
        problem: Some(&problem.detail),
    };
    Ok(page.render_with_status(status, &template))
}

/// `GET /providers/{secret}`.
pub(super) async fn get_provider(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
) -> Result<Response, ProblemDetails> {
    let r = providers::view_provider(&state.app, &secret).await?;
    Ok(page.respond(&r, || ProviderPage {
        page: &page,
        r: &r,
        problem: None,
    }))
}

/// `POST /providers/{secret}/check`.
pub(super) async fn post_check(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
) -> Result<Response, ProblemDetails> {
    let command = ProviderCommand::Check;
    change(&page, &state, &secret, command, "", String::new()).await
}

/// `POST /providers/{secret}/edits`.
pub(super) async fn post_edit(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
    FormOrJson(request): FormOrJson<ProviderEditRequest>,
) -> Result<Response, ProblemDetails> {
    let field = match request.action {
        EditAction::Add => "range",
        EditAction::TakeOut => "host",
        EditAction::Remove | EditAction::PutBack => "",
    };
    let value = request.subject.clone();
    let command = ProviderCommand::Edit(request);
    change(&page, &state, &secret, command, field, value).await
}

/// `POST /providers/{secret}/undo`.
pub(super) async fn post_undo(
    page: PageContext,
    State(state): State<SiteState>,
    Path(secret): Path<String>,
    FormOrJson(request): FormOrJson<ProviderUndoRequest>,
) -> Result<Response, ProblemDetails> {
    let command = ProviderCommand::Undo(request);
    change(&page, &state, &secret, command, "", String::new()).await
}

/// Carries out a command. A browser is sent to the page of the provider, or gets it with what is
/// wrong beside the field; a program gets the provider.
async fn change(
    page: &PageContext,
    state: &SiteState,
    secret: &str,
    command: ProviderCommand,
    field: &'static str,
    value: String,
) -> Result<Response, ProblemDetails> {
    let problem = match providers::change_provider(&state.app, secret, command, page.client).await {
        Ok(r) if page.html => return Ok(page.redirect(&r.path)),
        Ok(r) => return Ok(Json(r).into_response()),
        Err(problem) if !page.html || problem.code == ProblemCode::NotFound => {
            return Err(problem);
        }
        Err(problem) => problem,
    };
    let r = providers::view_provider(&state.app, secret).await?;
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
    // What was requested has no page.
    let page = page.at(&r.path);
    let template = ProviderPage {
        page: &page,
        r: &r,
        problem: Some(FormProblem::of(problem, field, value)),
    };
    Ok(page.render_with_status(status, &template))
}
