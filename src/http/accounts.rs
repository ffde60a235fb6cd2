//! Users, tokens, the caller, and the audit log.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    App,
    handler::{Call, JsonResult, StatusResult, blocking},
    input::{JsonBody, Part, QueryParams, after, limit, time},
    secrets,
};
use crate::{
    api::{
        AuditQuery, AuditRecordResponse, BoundsBody, MeResponse, MeTokenResponse, Page,
        ProblemDetails, TokenRequest, TokenResponse, TokenSecretResponse, UserChangeRequest,
        UserRequest, UserResponse, UserSecretsResponse,
    },
    ledger::AccountChange,
    model::{
        Role, Subject, Token, TokenRestrictions, User,
        access::check_name,
        time::{parse_end, parse_start},
    },
};

/// The most records of the audit log that one request reads.
const MAX_SCANNED: u64 = 100_000;

/// New secrets of a user, and whether the password was chosen by the caller.
struct NewSecrets {
    secrets: secrets::UserSecrets,
    chosen: bool,
}

/// Generates secrets on a thread that may block, since hashing a password is slow.
async fn new_secrets(password: Option<String>) -> Result<NewSecrets, ProblemDetails> {
    if password
        .as_ref()
        .is_some_and(|p| !(12..=1024).contains(&p.chars().count()))
    {
        return Err(ProblemDetails::invalid(
            "password: at least 12 characters, at most 1024",
        ));
    }
    let chosen = password.is_some();
    blocking(move || {
        let secrets = secrets::UserSecrets::new(password).map_err(ProblemDetails::internal)?;
        Ok(NewSecrets { secrets, chosen })
    })
    .await
}

fn user_response(user: &User) -> UserResponse {
    UserResponse {
        name: user.name.clone(),
        role: user.role,
        since: user.since.into(),
        disabled: user.disabled.map(Into::into),
        recovery_codes_left: user.recovery.len(),
    }
}

fn user_with_secrets(user: &User, new: Option<NewSecrets>) -> UserSecretsResponse {
    let totp_uri = new.as_ref().map(|new| new.secrets.uri(&user.name));
    let (password, recovery_codes) = new.map_or((None, Vec::new()), |new| {
        let password = (!new.chosen).then_some(new.secrets.password);
        (password, new.secrets.codes)
    });
    UserSecretsResponse {
        user: user_response(user),
        password,
        totp_uri,
        recovery_codes,
    }
}

/// Lists all users.
#[utoipa::path(get, path = "/v1/users", tag = "users",
    responses((status = 200, body = Page<UserResponse>, description = "All users")))]
pub async fn list_users(State(app): State<App>) -> Json<Page<UserResponse>> {
    Json(Page::all(
        app.ledger.accounts().users.values().map(user_response),
    ))
}

/// Adds a user. The secrets are displayed once, in the response.
#[utoipa::path(post, path = "/v1/users", tag = "users", request_body = UserRequest,
    responses((status = 201, body = UserSecretsResponse, description = "The user with new secrets")))]
pub async fn add_user(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<UserRequest>,
) -> StatusResult<UserSecretsResponse> {
    check_name(&request.name).map_err(|e| ProblemDetails::invalid(format!("name: {e}")))?;
    if app.ledger.accounts().users.contains_key(&request.name) {
        return Err(ProblemDetails::conflict(format!(
            "there is a user `{name}`; PATCH /v1/users/{name} changes them",
            name = request.name
        )));
    }
    let new = new_secrets(request.password).await?;
    let person = User {
        name: request.name,
        role: request.role,
        password: new.secrets.hashed.clone(),
        totp: new.secrets.totp.clone(),
        recovery: new.secrets.hashed_codes(),
        since: app.ledger.now(),
        disabled: None,
    };
    let record = caller.audit_record("person.add", &person.name, person.role.name(), None);
    app.change_accounts(AccountChange::User(None, person.clone()), record)
        .await?;
    let response = user_with_secrets(&person, Some(new));
    Ok((StatusCode::CREATED, Json(response)))
}

/// Changes the role or the secrets of a user, or disables the user and all of their tokens.
#[utoipa::path(patch, path = "/v1/users/{name}", tag = "users", request_body = UserChangeRequest,
    params(("name" = String, Path, description = "The name of the user")),
    responses((status = 200, body = UserSecretsResponse, description = "The user, with new secrets if they were reset")))]
pub async fn change_user(
    Call { app, caller }: Call,
    Part(name): Part,
    JsonBody(request): JsonBody<UserChangeRequest>,
) -> JsonResult<UserSecretsResponse> {
    let accounts = app.ledger.accounts();
    let missing = || ProblemDetails::not_found(format!("there is no user `{name}`"));
    let old = accounts.users.get(&name).ok_or_else(missing)?;
    let mut person = old.clone();
    let mut changes = Vec::new();
    if let Some(role) = request.role {
        person.role = role;
        changes.push(format!("role {}", role.name()));
    }
    if let Some(off) = request.disabled {
        person.disabled = off.then(|| app.ledger.now());
        changes.push(if off { "disabled" } else { "enabled" }.into());
    }
    let last = old.role == Role::Owner && old.disabled.is_none() && accounts.owners() == 1;
    if last && (person.role != Role::Owner || person.disabled.is_some()) {
        return Err(ProblemDetails::conflict(
            "this is the last owner; make another user an owner first",
        ));
    }
    let mut new = None;
    if request.reset || request.password.is_some() {
        let generated = new_secrets(request.password).await?;
        let secrets = &generated.secrets;
        (person.password, person.totp) = (secrets.hashed.clone(), secrets.totp.clone());
        person.recovery = secrets.hashed_codes();
        changes.push("new secrets".into());
        new = Some(generated);
    }
    if changes.is_empty() {
        return Err(ProblemDetails::invalid(
            "at least one of role, disabled, reset or password is required",
        ));
    }
    let record = caller.audit_record("person.change", &name, changes.join(", "), None);
    let change = AccountChange::User(Some(Box::new(old.clone())), person.clone());
    app.change_accounts(change, record).await?;
    Ok(Json(user_with_secrets(&person, new)))
}

fn bounds_body(bounds: &TokenRestrictions) -> BoundsBody {
    BoundsBody {
        reasons: bounds.reasons.clone(),
        sources: bounds.sources.clone(),
        prefixes: bounds.prefixes.iter().map(Subject::to_string).collect(),
    }
}

fn token_response(app: &App, t: &Token) -> TokenResponse {
    let stored = app.ledger.accounts().used.get(&t.id).copied();
    let used = app.access.last_use(&t.id).max(stored);
    TokenResponse {
        id: t.id.clone(),
        owner: t.owner.clone(),
        person: t.person,
        role: t.role,
        bounds: bounds_body(&t.bounds),
        since: t.since.into(),
        author: t.by.clone(),
        expires: t.expires.map(Into::into),
        per_minute: t.per_minute,
        last_used: used.map(Into::into),
        revoked: t.revoked.map(Into::into),
    }
}

/// Returns the caller and their permissions.
#[utoipa::path(get, path = "/v1/me", tag = "users",
    responses((status = 200, body = MeResponse, description = "The caller")))]
pub async fn get_me(Call { app, caller }: Call) -> Json<MeResponse> {
    let accounts = app.ledger.accounts();
    let token = caller.token.as_ref().and_then(|id| accounts.tokens.get(id));
    Json(MeResponse {
        token: token.map(|t| MeTokenResponse {
            id: t.id.clone(),
            expires: t.expires.map(Into::into),
            per_minute: t.per_minute,
        }),
        bounds: bounds_body(&caller.bounds),
        name: caller.name,
        person: caller.person,
        role: caller.role,
        from: caller.from.into(),
    })
}

/// Lists all tokens, without their secrets.
#[utoipa::path(get, path = "/v1/tokens", tag = "users",
    responses((status = 200, body = Page<TokenResponse>, description = "All tokens")))]
pub async fn list_tokens(State(app): State<App>) -> Json<Page<TokenResponse>> {
    let accounts = app.ledger.accounts();
    let all = accounts.tokens.values().map(|t| token_response(&app, t));
    Json(Page::all(all))
}

/// Reads the bounds of a token to create.
fn read_bounds(app: &App, body: BoundsBody) -> Result<TokenRestrictions, ProblemDetails> {
    let dictionary = app.ledger.store.dictionary();
    let mut reasons = body.reasons.iter();
    if let Some(r) = reasons.find(|r| dictionary.reasons.get(r).is_none()) {
        return Err(ProblemDetails::invalid(format!(
            "bounds.reasons: unknown reason `{r}`; the reasons are {}",
            dictionary.reasons.0.all().join(", ")
        )));
    }
    let parse = |s: &String| {
        s.parse::<Subject>()
            .map_err(|e| ProblemDetails::invalid(format!("bounds.prefixes: {e}")))
    };
    let prefixes = body.prefixes.iter().map(parse).collect::<Result<_, _>>()?;
    Ok(TokenRestrictions {
        reasons: body.reasons,
        sources: body.sources,
        prefixes,
    })
}

/// Creates a token. Its secret is displayed once, in the response.
#[utoipa::path(post, path = "/v1/tokens", tag = "users", request_body = TokenRequest,
    responses((status = 201, body = TokenSecretResponse, description = "The token with its secret")))]
pub async fn create_token(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<TokenRequest>,
) -> StatusResult<TokenSecretResponse> {
    check_name(&request.owner).map_err(|e| ProblemDetails::invalid(format!("owner: {e}")))?;
    let accounts = app.ledger.accounts();
    let person = accounts.users.get(&request.owner);
    if let Some(p) = person.filter(|p| p.role < request.role || p.disabled.is_some()) {
        return Err(ProblemDetails::conflict(format!(
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
    let now = app.ledger.now();
    let expires = time("expires", request.expires.as_ref(), now, parse_end)?;
    if expires.is_some_and(|t| t <= now) {
        return Err(ProblemDetails::invalid("expires: the time is in the past"));
    }
    if request.per_minute == Some(0) {
        return Err(ProblemDetails::invalid("per_minute: it must be at least 1"));
    }
    let (id, secret, hash) = secrets::token().map_err(ProblemDetails::internal)?;
    let token = Token {
        id,
        owner: request.owner,
        person: person.is_some(),
        role: request.role,
        bounds: read_bounds(&app, request.bounds)?,
        hash,
        since: now,
        by: caller.name.clone(),
        expires,
        per_minute: request.per_minute,
        revoked: None,
    };
    let detail = format!("{} for {}", token.role.name(), token.owner);
    let record = caller.audit_record("token.create", &token.id, detail, None);
    app.change_accounts(AccountChange::Token(token.clone()), record)
        .await?;
    let response = TokenSecretResponse {
        about: token_response(&app, &token),
        token: secret,
    };
    Ok((StatusCode::CREATED, Json(response)))
}

/// Revokes a token at once.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "users",
    params(("id" = String, Path, description = "The ID of the token")),
    responses((status = 200, body = TokenResponse, description = "The revoked token")))]
pub async fn revoke_token(Call { app, caller }: Call, Part(id): Part) -> JsonResult<TokenResponse> {
    let accounts = app.ledger.accounts();
    let missing = || ProblemDetails::not_found(format!("there is no token `{id}`"));
    let old = accounts.tokens.get(&id).ok_or_else(missing)?;
    let token = Token {
        revoked: old.revoked.or(Some(app.ledger.now())),
        ..old.clone()
    };
    let record = caller.audit_record("token.revoke", &id, &token.owner, None);
    app.change_accounts(AccountChange::Token(token.clone()), record)
        .await?;
    Ok(Json(token_response(&app, &token)))
}

/// Lists the records of the audit log, the newest first: each write with its author, origin and
/// note.
///
/// With `Accept: application/x-ndjson`, the response has one record on each line and no `next`.
#[utoipa::path(get, path = "/v1/audit", tag = "users", params(AuditQuery),
    responses((status = 200, description = "A page of records", content((Page<AuditRecordResponse> = "application/json"), (String = "application/x-ndjson")))))]
pub async fn list_audit_records(
    State(app): State<App>,
    headers: HeaderMap,
    QueryParams(query): QueryParams<AuditQuery>,
) -> Result<Response, ProblemDetails> {
    let lines = headers
        .get(header::ACCEPT)
        .is_some_and(|a| a.as_bytes() == b"application/x-ndjson");
    let limit = limit(query.limit)?;
    let now = app.ledger.now();
    let from = time("from", query.from.as_ref(), now, parse_start)?;
    let to = time("to", query.to.as_ref(), now, parse_start)?;
    let after = after(query.after.as_ref(), |n| n.parse::<u64>().ok())?;
    let store = app.ledger.store.clone();
    let work = move || {
        let (mut out, mut next, mut scanned) = (Vec::new(), None, 0);
        let last = after.map_or(u64::MAX, |n| n.saturating_sub(1));
        store.audit(last, &mut |number, r| {
            if out.len() >= limit || scanned >= MAX_SCANNED {
                next = Some(number + 1);
                return false;
            }
            scanned += 1;
            let conditions = [
                (&query.author, &r.author),
                (&query.action, &r.action),
                (&query.target, &r.target),
            ];
            let fits = |(wanted, value): (&Option<String>, &String)| {
                wanted.as_ref().is_none_or(|wanted| wanted == value)
            };
            if conditions.into_iter().all(fits)
                && from.is_none_or(|t| r.at >= t)
                && to.is_none_or(|t| r.at <= t)
            {
                out.push(AuditRecordResponse {
                    number,
                    at: r.at.into(),
                    author: r.author,
                    from: r.from,
                    action: r.action,
                    target: r.target,
                    detail: r.detail,
                    note: r.note,
                    commit: r.commit,
                });
            }
            true
        })?;
        let next = next.map(|n| n.to_string());
        Ok(Page { items: out, next })
    };
    let page = blocking(work).await?;
    if lines {
        let lines = page.items.iter();
        let lines = lines.map(|r| serde_json::to_string(r).unwrap_or_default() + "\n");
        let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
        return Ok((kind, lines.collect::<String>()).into_response());
    }
    Ok(Json(page).into_response())
}
