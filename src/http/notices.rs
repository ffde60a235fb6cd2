//! Notices: what operators announce on the public site.

use axum::{Json, extract::State, http::StatusCode};

use super::{
    App,
    caller::Caller,
    handler::{Call, JsonResult, StatusResult},
    import::find_zone,
    input::{self, JsonBody, Part},
    jobs::number,
};
use crate::{
    api::{
        NoticeRequest, NoticeResponse, NoticeState, Page, ProblemDetails, PublicNoticeResponse,
        PublicNoticesResponse,
    },
    ledger::{
        AccountChange,
        notices::{Notice, notice_key},
    },
    model::{Time, text::needs_escape, time::parse_end},
};

/// The longest title, in characters.
const MAX_TITLE_CHARS: usize = 120;
/// The longest text, in characters.
const MAX_TEXT_CHARS: usize = 4000;
/// How long a notice that is over stays public, in seconds.
const PUBLIC_SECONDS: u64 = 90 * 86_400;

/// A notice as the public sees it.
fn public_view(n: &Notice, now: Time) -> PublicNoticeResponse {
    let state = match () {
        () if n.is_cancelled() => NoticeState::Cancelled,
        () if n.is_over(now) => NoticeState::Over,
        () if n.from > now => NoticeState::Planned,
        () => NoticeState::Current,
    };
    PublicNoticeResponse {
        number: n.number,
        title: n.title.clone(),
        text: n.text.clone(),
        zones: n.zones.clone(),
        state,
        from: n.from.into(),
        until: n.end().map(Into::into),
        added: n.added.into(),
        updated: n.updated(now).into(),
    }
}

fn response(n: &Notice, now: Time) -> NoticeResponse {
    NoticeResponse {
        public: public_view(n, now),
        author: n.author.clone(),
    }
}

/// Returns the notices that the public sees: those that are current or planned, and those that were
/// over in the last 90 days.
pub fn public(app: &App) -> PublicNoticesResponse {
    let now = app.ledger.now();
    let accounts = app.ledger.accounts();
    let is_recent = |n: &Notice| n.end().is_none_or(|end| end.0 + PUBLIC_SECONDS > now.0);
    let shown = accounts.notices.values();
    let shown = shown.filter(|n| is_recent(n) && !n.is_cancelled());
    let mut items: Vec<_> = shown.map(|n| public_view(n, now)).collect();
    items.reverse();
    PublicNoticesResponse {
        updated: items.iter().map(|n| n.updated).max(),
        items,
    }
}

/// Lists all notices, the last added one first.
#[utoipa::path(get, path = "/v1/notices", tag = "notices",
    responses((status = 200, body = Page<NoticeResponse>, description = "All notices")))]
pub async fn list_notices(State(app): State<App>) -> Json<Page<NoticeResponse>> {
    let (accounts, now) = (app.ledger.accounts(), app.ledger.now());
    let mut all: Vec<_> = accounts
        .notices
        .values()
        .map(|n| response(n, now))
        .collect();
    all.reverse();
    Json(Page::all(all))
}

/// Reads a notice of a request.
fn read(app: &App, caller: &Caller, request: &NoticeRequest) -> Result<Notice, ProblemDetails> {
    let now = app.ledger.now();
    let text = request.text.replace("\r\n", "\n").trim().to_string();
    if text.is_empty() {
        return Err(ProblemDetails::invalid("text: required"));
    }
    let is_rejected = |c: char| c != '\n' && needs_escape(c);
    if let Some(c) = text.chars().find(|c| is_rejected(*c)) {
        return Err(ProblemDetails::invalid(format!(
            "text: it contains the control character U+{:04X}; remove it",
            u32::from(c)
        )));
    }
    let chars = text.chars().count();
    if chars > MAX_TEXT_CHARS {
        return Err(ProblemDetails::invalid(format!(
            "text: it has {chars} characters; at most {MAX_TEXT_CHARS} are allowed"
        )));
    }
    input::line("title", &request.title)?;
    let title = match request.title.trim() {
        "" => first_line(&text),
        title => title.to_string(),
    };
    if title.chars().count() > MAX_TITLE_CHARS {
        return Err(ProblemDetails::invalid(format!(
            "title: at most {MAX_TITLE_CHARS} characters are allowed"
        )));
    }
    let snapshot = app.ledger.published.snapshot();
    let mut zones = Vec::new();
    for zone in &request.zones {
        let origin = find_zone(&snapshot, zone)?.name.to_string();
        if !zones.contains(&origin) {
            zones.push(origin);
        }
    }
    let from = input::time("from", request.from.as_ref(), now, parse_end)?.unwrap_or(now);
    let until = input::time("until", request.until.as_ref(), now, parse_end)?;
    if until.is_some_and(|until| until <= from) {
        return Err(ProblemDetails::invalid(
            "until: the notice would be over before it is current; use a later time",
        ));
    }
    let last = app
        .ledger
        .accounts()
        .notices
        .values()
        .map(|n| n.number)
        .max();
    Ok(Notice {
        number: last.unwrap_or(0) + 1,
        title,
        text,
        zones,
        added: now,
        author: caller.name.clone(),
        from,
        until,
        ended: None,
    })
}

/// The first line of a text as a title.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(MAX_TITLE_CHARS) {
        None => line.into(),
        Some(_) => {
            let kept: String = line.chars().take(MAX_TITLE_CHARS - 1).collect();
            format!("{}…", kept.trim_end())
        }
    }
}

/// Adds a notice, which the public site shows at once, or from a later time on.
#[utoipa::path(post, path = "/v1/notices", tag = "notices", request_body = NoticeRequest,
    responses((status = 201, body = NoticeResponse, description = "The notice")))]
pub async fn add_notice(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<NoticeRequest>,
) -> StatusResult<NoticeResponse> {
    let notice = read(&app, &caller, &request)?;
    let response = response(&notice, app.ledger.now());
    let detail = notice.zones.join(", ");
    let record = caller.audit_record("notice.add", notice.number, detail, None);
    app.change_accounts(AccountChange::AddNotice(Box::new(notice)), record)
        .await?;
    Ok((StatusCode::CREATED, Json(response)))
}

/// Ends a notice. It stays on the page of notices for 90 days, unless it was still planned.
#[utoipa::path(delete, path = "/v1/notices/{id}", tag = "notices",
    params(("id" = u64, Path, description = "The number of the notice")),
    responses((status = 200, body = NoticeResponse, description = "The notice, which is over")))]
pub async fn end_notice(Call { app, caller }: Call, Part(id): Part) -> JsonResult<NoticeResponse> {
    let (id, now) = (number(&id, "notice")?, app.ledger.now());
    let record = caller.audit_record("notice.end", id, "", None);
    app.change_accounts(AccountChange::EndNotice(id, now), record)
        .await?;
    let accounts = app.ledger.accounts();
    let ended = accounts.notices.get(&notice_key(id));
    let gone = || ProblemDetails::not_found(format!("there is no notice {id}"));
    ended.map(|n| Json(response(n, now))).ok_or_else(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_first_line_is_shortened_to_a_title() {
        assert_eq!(first_line("A mirror is down\nmore"), "A mirror is down");
        let title = first_line(&"ü".repeat(500));
        assert_eq!(title.chars().count(), MAX_TITLE_CHARS);
        assert!(title.ends_with('…'));
    }
}
