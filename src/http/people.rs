//! People, tokens and the audit log.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    access::Caller,
    error::Problem,
    input::{Body as Asked, Params, Part},
    secrets,
    shapes::Page,
};
use crate::{
    ledger::AccountChange,
    model::{
        Role, Subject, Token, TokenRestrictions, User,
        access::check_name,
        time::{since, until},
    },
};

/// Lines of the audit log that one request looks at, at most.
const LOOKED_AT: u64 = 100_000;

/// A person.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonShape {
    name: String,
    /// reader, reporter, editor, operator or owner.
    role: String,
    since: String,
    /// Since when the person may do nothing.
    disabled: Option<String>,
    /// Recovery codes that were not used yet.
    recovery_codes: usize,
}

/// What is shown once.
#[derive(Debug, Serialize, ToSchema)]
pub struct Shown {
    #[serde(flatten)]
    person: PersonShape,
    /// The password, where it was made here.
    password: Option<String>,
    /// For an authenticator application.
    totp_uri: Option<String>,
    /// Each of them logs in once without the authenticator.
    recovery: Vec<String>,
}

/// A new person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    name: String,
    /// reader, reporter, editor, operator or owner.
    role: String,
    /// At least twelve characters; one is made where it is left out.
    password: Option<String>,
}

/// What changes about a person.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PersonChange {
    role: Option<String>,
    /// New password, authenticator secret and recovery codes.
    reset: bool,
    password: Option<String>,
    /// True: the person and all their tokens may do nothing; false: they may again.
    disabled: Option<bool>,
}

fn shape(p: &User) -> PersonShape {
    PersonShape {
        name: p.name.clone(),
        role: p.role.name().into(),
        since: p.since.to_string(),
        disabled: p.disabled.map(|t| t.to_string()),
        recovery_codes: p.recovery.len(),
    }
}

fn role(text: &str) -> Result<Role, Problem> {
    text.parse()
        .map_err(|e| Problem::invalid(format!("role: {e}")))
}

/// New secrets, made beside the other requests, since a good hash takes its time.
async fn fresh(password: Option<String>) -> Result<(secrets::Fresh, bool), Problem> {
    if password
        .as_ref()
        .is_some_and(|p| !(12..=1024).contains(&p.chars().count()))
    {
        return Err(Problem::invalid(
            "password: at least 12 characters, at most 1024",
        ));
    }
    let given = password.is_some();
    let made = tokio::task::spawn_blocking(move || secrets::Fresh::new(password))
        .await
        .map_err(Problem::failed)?;
    Ok((made.map_err(Problem::failed)?, given))
}

fn shown(p: &User, fresh: Option<(secrets::Fresh, bool)>) -> Shown {
    let (password, totp_uri, recovery) = match fresh {
        None => (None, None, Vec::new()),
        Some((f, given)) => (
            (!given).then(|| f.password.clone()),
            Some(f.uri(&p.name)),
            f.codes,
        ),
    };
    Shown {
        person: shape(p),
        password,
        totp_uri,
        recovery,
    }
}

/// Everybody who can log in.
#[utoipa::path(get, path = "/v1/people", tag = "people", responses((status = 200, body = Page<PersonShape>), Problem))]
pub(super) async fn people(State(app): State<App>) -> Json<Page<PersonShape>> {
    Json(Page::all(
        app.ledger.accounts().users.values().map(shape).collect(),
    ))
}

/// Makes a person. The secrets in the answer are shown once.
#[utoipa::path(post, path = "/v1/people", tag = "people", request_body = NewPerson, responses((status = 201, body = Shown), Problem))]
pub(super) async fn add(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Asked(new): Asked<NewPerson>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    check_name(&new.name).map_err(|e| Problem::invalid(format!("name: {e}")))?;
    let role = role(&new.role)?;
    if app.ledger.accounts().users.contains_key(&new.name) {
        return Err(Problem::refused(format!(
            "there is a person `{}`; PATCH /v1/people/{} changes it",
            new.name, new.name
        )));
    }
    let (fresh, given) = fresh(new.password).await?;
    let person = User {
        name: new.name,
        role,
        password: fresh.hashed.clone(),
        totp: fresh.totp.clone(),
        recovery: fresh
            .codes
            .iter()
            .map(|c| secrets::hash(c.as_bytes()))
            .collect(),
        since: app.ledger.now(),
        disabled: None,
    };
    let line = caller.line("person.add", &person.name, role.name(), None);
    keep(&app, AccountChange::User(None, person.clone()), line).await?;
    Ok((
        StatusCode::CREATED,
        Json(shown(&person, Some((fresh, given)))),
    ))
}

async fn keep(
    app: &App,
    keep: AccountChange,
    line: crate::store::schema::AuditRecord,
) -> Result<(), Problem> {
    app.ledger
        .change_accounts(keep, Some(line))
        .await
        .map_err(|e| Problem::of(&e, &app.ledger.store.dictionary()))
}

/// Changes a person's role or secrets, or disables the person with all their tokens.
#[utoipa::path(patch, path = "/v1/people/{name}", tag = "people", params(("name" = String, Path)), request_body = PersonChange, responses((status = 200, body = Shown), Problem))]
pub(super) async fn change(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(name): Part,
    Asked(asked): Asked<PersonChange>,
) -> Result<Json<Shown>, Problem> {
    let accounts = app.ledger.accounts();
    let Some(old) = accounts.users.get(&name) else {
        return Err(Problem::not_found(format!("there is no person `{name}`")));
    };
    let mut person = old.clone();
    let mut what = Vec::new();
    if let Some(text) = &asked.role {
        person.role = role(text)?;
        what.push(format!("role {text}"));
    }
    if let Some(off) = asked.disabled {
        person.disabled = off.then(|| app.ledger.now());
        what.push(if off {
            "disabled".into()
        } else {
            "enabled".to_string()
        });
    }
    let last = old.role == Role::Owner && old.disabled.is_none() && accounts.owners() == 1;
    if last && (person.role != Role::Owner || person.disabled.is_some()) {
        return Err(Problem::refused(
            "this is the last owner; make another one first",
        ));
    }
    let mut new = None;
    if asked.reset || asked.password.is_some() {
        let (f, given) = fresh(asked.password).await?;
        (person.password, person.totp) = (f.hashed.clone(), f.totp.clone());
        person.recovery = f
            .codes
            .iter()
            .map(|c| secrets::hash(c.as_bytes()))
            .collect();
        what.push("new secrets".into());
        new = Some((f, given));
    }
    if what.is_empty() {
        return Err(Problem::invalid(
            "say what changes: role, disabled, reset or password",
        ));
    }
    let line = caller.line("person.change", &name, what.join(", "), None);
    keep(
        &app,
        AccountChange::User(Some(Box::new(old.clone())), person.clone()),
        line,
    )
    .await?;
    Ok(Json(shown(&person, new)))
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenShape {
    id: String,
    /// Whose it is.
    owner: String,
    /// Whether that is a person, whose role and end it shares.
    person: bool,
    role: String,
    bounds: BoundsShape,
    since: String,
    by: String,
    expires: Option<String>,
    per_minute: Option<u32>,
    last_used: Option<String>,
    /// Since when it may do nothing.
    revoked: Option<String>,
}

/// What a token's writes are bound to; an empty list binds to nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BoundsShape {
    reasons: Vec<String>,
    sources: Vec<String>,
    /// Addresses, prefixes or domains; what they cover is allowed.
    prefixes: Vec<String>,
}

/// A new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// A person's name, or a program's.
    #[serde(rename = "for")]
    owner: String,
    role: String,
    /// A duration (`90d`) or a time (RFC 3339).
    expires: Option<String>,
    #[serde(default)]
    bounds: BoundsShape,
    /// How many requests it may make in a minute.
    per_minute: Option<u32>,
}

/// A token with its secret, which is shown once.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownToken {
    #[serde(flatten)]
    about: TokenShape,
    /// For `Authorization: Bearer …`.
    token: String,
}

fn token_shape(app: &App, t: &Token) -> TokenShape {
    let used = app
        .access
        .last(&t.id)
        .max(app.ledger.accounts().used.get(&t.id).copied());
    TokenShape {
        id: t.id.clone(),
        owner: t.owner.clone(),
        person: t.person,
        role: t.role.name().into(),
        bounds: BoundsShape {
            reasons: t.bounds.reasons.clone(),
            sources: t.bounds.sources.clone(),
            prefixes: t.bounds.prefixes.iter().map(Subject::to_string).collect(),
        },
        since: t.since.to_string(),
        by: t.by.clone(),
        expires: t.expires.map(|t| t.to_string()),
        per_minute: t.per_minute,
        last_used: used.map(|t| t.to_string()),
        revoked: t.revoked.map(|t| t.to_string()),
    }
}

/// All tokens, without their secrets.
#[utoipa::path(get, path = "/v1/tokens", tag = "people", responses((status = 200, body = Page<TokenShape>), Problem))]
pub(super) async fn tokens(State(app): State<App>) -> Json<Page<TokenShape>> {
    Json(Page::all(
        app.ledger
            .accounts()
            .tokens
            .values()
            .map(|t| token_shape(&app, t))
            .collect(),
    ))
}

fn bounds(app: &App, asked: BoundsShape) -> Result<TokenRestrictions, Problem> {
    let v = app.ledger.store.dictionary();
    if let Some(r) = asked.reasons.iter().find(|r| v.reasons.get(r).is_none()) {
        return Err(Problem::invalid(format!(
            "bounds: there is no reason `{r}`; there are {}",
            v.reasons.0.all().join(", ")
        )));
    }
    let parse = |s: &String| {
        s.parse::<Subject>()
            .map_err(|e| Problem::invalid(format!("bounds: {e}")))
    };
    let prefixes = asked.prefixes.iter().map(parse).collect::<Result<_, _>>()?;
    Ok(TokenRestrictions {
        reasons: asked.reasons,
        sources: asked.sources,
        prefixes,
    })
}

/// Makes a token. Its secret is in the answer and nowhere else.
#[utoipa::path(post, path = "/v1/tokens", tag = "people", request_body = NewToken, responses((status = 201, body = ShownToken), Problem))]
pub(super) async fn make(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Asked(new): Asked<NewToken>,
) -> Result<(StatusCode, Json<ShownToken>), Problem> {
    check_name(&new.owner).map_err(|e| Problem::invalid(format!("for: {e}")))?;
    let role = role(&new.role)?;
    let accounts = app.ledger.accounts();
    let person = accounts.users.get(&new.owner);
    if let Some(p) = person.filter(|p| p.role < role || p.disabled.is_some()) {
        return Err(Problem::refused(format!(
            "{} has the role {}{}; a token of theirs cannot have more",
            p.name,
            p.role.name(),
            if p.disabled.is_some() {
                " and is disabled"
            } else {
                ""
            }
        )));
    }
    let expires = new
        .expires
        .as_ref()
        .map(|e| until(e, app.ledger.now()).map_err(|e| Problem::invalid(format!("expires: {e}"))))
        .transpose()?;
    if expires.is_some_and(|t| t <= app.ledger.now()) {
        return Err(Problem::invalid("expires: that time is over already"));
    }
    if new.per_minute == Some(0) {
        return Err(Problem::invalid("per_minute: take 1 or more"));
    }
    let (id, shown, hash) = secrets::token().map_err(Problem::failed)?;
    let token = Token {
        id,
        owner: new.owner,
        person: person.is_some(),
        role,
        bounds: bounds(&app, new.bounds)?,
        hash,
        since: app.ledger.now(),
        by: caller.name.clone(),
        expires,
        per_minute: new.per_minute,
        revoked: None,
    };
    let line = caller.line(
        "token.create",
        &token.id,
        format!("{} for {}", role.name(), token.owner),
        None,
    );
    keep(&app, AccountChange::Token(token.clone()), line).await?;
    Ok((
        StatusCode::CREATED,
        Json(ShownToken {
            about: token_shape(&app, &token),
            token: shown,
        }),
    ))
}

/// Revokes a token, from this moment on.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "people", params(("id" = String, Path)), responses((status = 200, body = TokenShape), Problem))]
pub(super) async fn revoke(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
) -> Result<Json<TokenShape>, Problem> {
    let accounts = app.ledger.accounts();
    let Some(old) = accounts.tokens.get(&id) else {
        return Err(Problem::not_found(format!("there is no token `{id}`")));
    };
    let token = Token {
        revoked: old.revoked.or(Some(app.ledger.now())),
        ..old.clone()
    };
    keep(
        &app,
        AccountChange::Token(token.clone()),
        caller.line("token.revoke", &id, &token.owner, None),
    )
    .await?;
    Ok(Json(token_shape(&app, &token)))
}

/// What is looked for in the audit log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// Only by this author.
    who: Option<String>,
    /// Only this kind of write, such as `delist` or `token.create`.
    what: Option<String>,
    /// Only about this, such as a subject or a name.
    about: Option<String>,
    /// Only from this time on: a date, an RFC 3339 time, or a duration before now (7d).
    from: Option<String>,
    /// Only up to this time.
    to: Option<String>,
    /// Only before this number: the `next` of the page before.
    after: Option<String>,
    /// At most so many (1 to 1000).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A line of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct Line {
    number: u64,
    at: String,
    who: String,
    from: String,
    what: String,
    about: String,
    detail: String,
    why: Option<String>,
    commit: Option<u64>,
}

/// The audit log, newest first: who wrote what, from where, and why. With `Accept:
/// application/x-ndjson` a line each.
#[utoipa::path(get, path = "/v1/audit", tag = "people", params(Search), responses((status = 200, content((Page<Line> = "application/json"), (String = "application/x-ndjson"))), Problem))]
pub(super) async fn audit(
    State(app): State<App>,
    headers: HeaderMap,
    Params(search): Params<Search>,
) -> Result<Response, Problem> {
    let lines = headers
        .get(header::ACCEPT)
        .is_some_and(|a| a.as_bytes() == b"application/x-ndjson");
    let limit = super::input::limit(search.limit)?;
    let time = |field: &str, t: &Option<String>| {
        t.as_ref()
            .map(|t| {
                since(t, app.ledger.now()).map_err(|e| Problem::invalid(format!("{field}: {e}")))
            })
            .transpose()
    };
    let (from, to) = (time("from", &search.from)?, time("to", &search.to)?);
    let after = search.after.as_ref().map(|n| n.parse::<u64>()).transpose();
    let after = after.map_err(|_| Problem::invalid("after: take the `next` of the page before"))?;
    let store = app.ledger.store.clone();
    let work = move || {
        let (mut out, mut next, mut looked) = (Vec::new(), None, 0);
        store.audit(
            after.map_or(u64::MAX, |n| n.saturating_sub(1)),
            &mut |number, l| {
                if out.len() >= limit || looked >= LOOKED_AT {
                    next = Some(number + 1);
                    return false;
                }
                looked += 1;
                let is =
                    |asked: &Option<String>, had: &String| asked.as_ref().is_none_or(|a| a == had);
                let fits = is(&search.who, &l.who)
                    && is(&search.what, &l.what)
                    && is(&search.about, &l.about);
                if fits && from.is_none_or(|t| l.at >= t) && to.is_none_or(|t| l.at <= t) {
                    out.push(Line {
                        number,
                        at: l.at.to_string(),
                        who: l.who,
                        from: l.from,
                        what: l.what,
                        about: l.about,
                        detail: l.detail,
                        why: l.why,
                        commit: l.commit,
                    });
                }
                true
            },
        )?;
        Ok::<_, Problem>((out, next))
    };
    let (items, next) = tokio::task::spawn_blocking(work)
        .await
        .map_err(Problem::failed)??;
    if lines {
        let text: String = items
            .iter()
            .map(|l| serde_json::to_string(l).unwrap_or_default() + "\n")
            .collect();
        return Ok((
            [(header::CONTENT_TYPE, "application/x-ndjson")],
            Body::from(text),
        )
            .into_response());
    }
    Ok(Json(Page {
        items,
        next: next.map(|n| n.to_string()),
    })
    .into_response())
}
