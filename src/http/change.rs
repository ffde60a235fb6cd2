//! Single changes: list, renew, delist. What a request says becomes a [`Change`] here, for bulk
//! streams too.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use ring::digest;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    access::Caller,
    error::Problem,
    input::{Params, Part, json},
    shapes::{Listing, ReceiptShape, listing, listing_id, listing_of},
    subject,
};
use crate::{
    ledger::{AccountChange, PROPOSE, Pending, Proposal},
    model::{
        Change, Evidence, Preconditions, ReasonId, Role, SourceId, Subject,
        history::{Command, HoldFor, IdempotencyKey, OpenEnd},
        subject::HostBits,
        time::until,
    },
};

/// The end of a listing that has none.
const NEVER: &str = "never";
/// The longest Idempotency-Key, in bytes.
const MAX_KEY: usize = 255;

/// What a request says: a listing, or a line of a stream.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ordered {
    /// `list` (also where it is left out), `delist`, `exempt`, `unexempt`, `hold`, `unhold`.
    #[serde(default)]
    pub op: Option<String>,
    /// An address, a prefix, a domain, or a digest where a hash zone publishes the reason.
    pub subject: String,
    /// Why; `list` needs it.
    pub reason: Option<String>,
    /// Who says so; `operator` where it is left out.
    pub source: Option<String>,
    /// A duration (`30d`), a time (RFC 3339), or, of `list`, `never`: when it ends by itself. Where
    /// it is left out, a listing that is there keeps its end, and a new one ends after the reason's
    /// lifetime.
    pub until: Option<String>,
    /// Its own text, `$` standing for the subject.
    pub text: Option<String>,
    /// What was seen, for the history.
    pub note: Option<String>,
    /// It lies in a special-purpose range, and is meant all the same.
    #[serde(default)]
    pub special: bool,
    /// Clear host bits in a prefix instead of refusing it.
    #[serde(default)]
    pub host_bits: bool,
    /// Of `delist`: it was a mistake, and may come back at any time.
    #[serde(default)]
    pub no_hold: bool,
    /// Of `list`: a granted removal is no reason not to. Takes the role operator.
    #[serde(default)]
    pub break_hold: bool,
    /// Of `list`: list the subject although no zone publishes such a subject for the reason.
    #[serde(default)]
    pub unpublished: bool,
    /// Of `list` and `exempt`: public suffixes that may be named, such as `tk`.
    #[serde(default)]
    pub allow_suffix: Vec<String>,
}

/// What a request's headers say of a write.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// From `If-Match`.
    pub expect: Option<u64>,
    /// From `Idempotency-Key`.
    pub key: Option<String>,
}

impl Conditions {
    /// Reads the headers.
    pub fn of(headers: &HeaderMap) -> Result<Conditions, Problem> {
        let text = |name: &str| {
            headers
                .get(name)
                .map(|v| v.to_str().map(str::trim).unwrap_or("\u{0}"))
        };
        let expect = match text("if-match") {
            None | Some("*") => None,
            Some(r) => {
                let r = r.trim_matches('"');
                let read = Some(r)
                    .filter(|r| r.len() == 16)
                    .and_then(|r| u64::from_str_radix(r, 16).ok());
                Some(read.ok_or_else(|| {
                    Problem::invalid("If-Match takes one revision, as it stands in a listing")
                })?)
            }
        };
        let fine =
            |k: &str| (1..=MAX_KEY).contains(&k.len()) && k.bytes().all(|b| (32..127).contains(&b));
        let key = match text("idempotency-key") {
            None => None,
            Some(k) if fine(k) => Some(k.to_string()),
            Some(_) => {
                return Err(Problem::invalid(format!(
                    "Idempotency-Key takes 1 to {MAX_KEY} printable characters"
                )));
            }
        };
        Ok(Conditions { expect, key })
    }

    /// What a change depends on. `what` tells requests of one key apart, such as lines; `body` is
    /// what is asked for.
    pub fn preconditions(&self, caller: &Caller, what: &str, body: &[u8]) -> Preconditions {
        let short = |parts: &[&[u8]]| {
            let mut all = digest::Context::new(&digest::SHA256);
            for p in parts {
                all.update(&(p.len() as u64).to_be_bytes());
                all.update(p);
            }
            all.finish()
        };
        let once = self.key.as_ref().map(|key| {
            let who = caller.token.as_ref().unwrap_or(&caller.name);
            let (k, b) = (
                short(&[who.as_bytes(), key.as_bytes(), what.as_bytes()]),
                short(&[body]),
            );
            let of = |d: &digest::Digest, out: &mut [u8]| {
                out.iter_mut().zip(d.as_ref()).for_each(|(o, d)| *o = *d);
            };
            let (mut key, mut body) = ([0; 16], [0; 8]);
            of(&k, &mut key);
            of(&b, &mut body);
            IdempotencyKey {
                key,
                body: u64::from_be_bytes(body),
            }
        });
        Preconditions {
            from: caller.from.clone(),
            expect: self.expect,
            idempotency: once,
            ..Preconditions::default()
        }
    }
}

/// Makes a change of what was ordered, where the caller may order it.
pub(super) fn change(
    app: &App,
    ordered: &Ordered,
    caller: &Caller,
    preconditions: Preconditions,
) -> Result<Change, Problem> {
    let bits = if ordered.host_bits {
        HostBits::Clear
    } else {
        HostBits::Refuse
    };
    let subject = match ordered.op.as_deref().unwrap_or("list") {
        op @ ("list" | "exempt") => {
            let reason = ordered.reason.as_deref().filter(|_| op == "list");
            let reason = reason.and_then(|r| app.ledger.store.dictionary().reasons.get(r));
            let snapshot = app.ledger.published.snapshot();
            subject::intake(
                &snapshot.zones,
                &ordered.subject,
                bits,
                reason,
                &ordered.allow_suffix,
            )?
        }
        _ => subject::stored(app, &ordered.subject, bits)?,
    };
    let mut change = change_of(app, subject, ordered, caller, preconditions)?;
    if change.preconditions.open_end == OpenEnd::Lifetime {
        change.preconditions.open_end = OpenEnd::Keep; // of a listing that is there; a new one gets the lifetime
    }
    if let Command::List { reason, source, .. } = &change.command
        && !ordered.unpublished
    {
        check_published(app, &change.subject, *reason, *source)?;
    }
    Ok(change)
}

/// The same for a subject that is known, such as that of a listing that is renewed.
fn change_of(
    app: &App,
    subject: Subject,
    ordered: &Ordered,
    caller: &Caller,
    mut preconditions: Preconditions,
) -> Result<Change, Problem> {
    let dictionary = app.ledger.store.dictionary();
    let known = || dictionary.reasons.0.all().join(", ");
    let reason = |name: &String| {
        let found = dictionary.reasons.get(name);
        found.ok_or_else(|| {
            Problem::invalid(format!(
                "reason: `{name}` is not in config.toml; there are {}",
                known()
            ))
        })
    };
    let source = |name: &String| {
        dictionary
            .sources
            .get(name)
            .ok_or_else(|| Problem::invalid(format!("source: there is no `{name}`")))
    };
    if ordered.until.as_deref() == Some(NEVER) && ordered.op.as_deref().unwrap_or("list") == "list"
    {
        preconditions.open_end = OpenEnd::Never;
    }
    let until = ordered
        .until
        .as_ref()
        .filter(|_| preconditions.open_end != OpenEnd::Never)
        .map(|u| until(u, app.ledger.now()).map_err(|e| Problem::invalid(format!("until: {e}"))))
        .transpose()?;
    for (field, text) in [("text", &ordered.text), ("note", &ordered.note)] {
        if text.as_ref().is_some_and(|t| t.len() > Evidence::MAX_TEXT) {
            return Err(Problem::invalid(format!(
                "{field}: at most {} bytes",
                Evidence::MAX_TEXT
            )));
        }
        text.as_ref()
            .map_or(Ok(()), |t| super::input::line(field, t))?;
    }
    let some_reason = ordered.reason.as_ref().map(reason).transpose()?;
    let one_reason =
        || some_reason.ok_or_else(|| Problem::invalid(format!("reason: say one of {}", known())));
    let some_source = ordered.source.as_ref().map(source).transpose()?;
    let op = ordered.op.as_deref().unwrap_or("list");
    let command = match op {
        "list" => Command::List {
            reason: one_reason()?,
            source: some_source.unwrap_or(SourceId::OPERATOR),
            until,
            text: ordered.text.clone().map(Into::into),
        },
        "delist" => Command::Delist {
            reason: some_reason,
            source: some_source,
            hold: match (until, ordered.no_hold) {
                (_, true) => HoldFor::Nothing,
                (Some(t), _) => HoldFor::Until(t),
                (None, _) => HoldFor::Usual,
            },
        },
        "exempt" => Command::Exempt { until },
        "unexempt" => Command::Unexempt,
        "hold" => Command::Hold {
            reason: one_reason()?,
            until,
        },
        "unhold" => Command::Unhold {
            reason: some_reason,
        },
        op => {
            return Err(Problem::invalid(format!(
                "op: `{op}` is not list, delist, exempt, unexempt, hold or unhold"
            )));
        }
    };
    let least = match op {
        "exempt" | "unexempt" | "unhold" => Role::Operator,
        _ if ordered.break_hold || ordered.special => Role::Operator,
        "list" => Role::Reporter,
        _ => Role::Editor,
    };
    if caller.role < least {
        return Err(Problem::forbidden(format!(
            "this takes the role {}; yours is {}",
            least.name(),
            caller.role.name()
        )));
    }
    let said = if op == "list" {
        Some(ordered.source.as_deref().unwrap_or(SourceId::DECIDING[0]))
    } else {
        ordered.source.as_deref()
    };
    // What an order does not take binds nothing: an exemption is for every reason, a hold for every
    // source.
    let (of, said) = match op {
        "exempt" | "unexempt" => (None, None),
        "hold" | "unhold" => (ordered.reason.as_deref(), None),
        _ => (ordered.reason.as_deref(), said),
    };
    caller.allow(Some(&subject), of, said)?;
    (preconditions.special, preconditions.breaks_hold) = (ordered.special, ordered.break_hold);
    Ok(Change {
        subject,
        author: caller.name.clone(),
        evidence: ordered.note.clone().map(Evidence::word),
        command,
        preconditions,
    })
}

/// Refuses a listing that no zone would publish, unless it renews one. What a relay test or a trap
/// has found is listed all the same: their evidence is kept.
fn check_published(
    app: &App,
    subject: &Subject,
    reason: ReasonId,
    source: SourceId,
) -> Result<(), Problem> {
    if [SourceId::PROBER, SourceId::TRAP].contains(&source) {
        return Ok(());
    }
    let snapshot = app.ledger.published.snapshot();
    match snapshot
        .zones
        .unpublished(subject, reason, &app.ledger.store.dictionary().reasons)
    {
        Some(why)
            if app
                .ledger
                .store
                .verdict(subject)?
                .entry(reason, source)
                .is_none() =>
        {
            Err(Problem::invalid(format!("subject: {why}")))
        }
        _ => Ok(()),
    }
}

/// Where a change went.
pub(super) enum Placed {
    /// To the writer.
    Pending(Pending),
    /// It waits for a second person, under this number.
    Proposed(String),
}

/// Hands a change in, or puts it aside for a second person where it takes one.
pub(super) async fn place(app: &App, caller: &Caller, change: Change) -> Result<Placed, Problem> {
    let problem = |e| Problem::of(&e, &app.ledger.store.dictionary());
    let two = match &change.command {
        Command::List { reason, .. } => {
            let name = app
                .ledger
                .store
                .dictionary()
                .reasons
                .name(*reason)
                .to_string();
            caller.role < Role::Editor
                || app
                    .ledger
                    .settings()
                    .reasons
                    .iter()
                    .any(|r| r.name == name && r.two_persons)
        }
        _ => false,
    };
    if !two {
        return Ok(Placed::Pending(
            app.ledger.submit(change).await.map_err(problem)?,
        ));
    }
    // A repeated request is the same proposal, and so is another one of the same author for the
    // same listing.
    let waiting = app
        .ledger
        .accounts()
        .proposals
        .same(&change)
        .map(|p| p.id.clone());
    let id = match (waiting, &change.preconditions.idempotency) {
        (Some(id), _) => id,
        (None, Some(once)) => super::secrets::text(&once.key),
        (None, None) => super::secrets::token().map_err(Problem::failed)?.0,
    };
    let line = caller.line(
        PROPOSE,
        &change.subject,
        &id,
        change.evidence.as_ref().map(|e| e.text.clone()),
    );
    let proposal = Proposal {
        id: id.clone(),
        at: app.ledger.now(),
        change,
        person: caller.person.clone(),
    };
    app.ledger
        .change_accounts(AccountChange::Proposal(proposal), Some(line))
        .await
        .map_err(problem)?;
    Ok(Placed::Proposed(id))
}

/// A listing that was made, or waits for a second person.
#[derive(Debug, Serialize, ToSchema)]
pub struct Created {
    /// The listing's number.
    pub id: String,
    #[serde(flatten)]
    #[schema(nullable)]
    receipt: Option<ReceiptShape>,
    /// The number of the proposal, where somebody else has to approve it.
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<String>,
}

/// Lists a subject, or renews its listing. The receipt is true in DNS when it arrives.
#[utoipa::path(post, path = "/v1/listings", tag = "listings", request_body = Ordered,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeated request one"), ("If-Match" = Option<String>, Header, description = "The subject's revision as you saw it")),
    responses((status = 201, body = Created, description = "Listed"), (status = 202, body = Created, description = "Waits for a second person"), Problem))]
pub(super) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    request: axum::extract::Request,
) -> Result<Response, Problem> {
    let body: Bytes = super::input::bytes(request, &app).await?;
    let conditions = Conditions::of(&headers)?;
    let ordered: Ordered = json(&body)?;
    if ordered.op.as_deref().is_some_and(|op| op != "list") {
        return Err(Problem::invalid(
            "op: only `list` here; POST /v1/bulk takes the others",
        ));
    }
    let change = change(
        &app,
        &ordered,
        &caller,
        conditions.preconditions(&caller, "listings", &body),
    )?;
    let id = match &change.command {
        Command::List { reason, source, .. } => listing_id(&change.subject, *reason, *source),
        _ => String::new(),
    };
    Ok(match place(&app, &caller, change).await? {
        Placed::Proposed(proposal) => (
            StatusCode::ACCEPTED,
            Json(Created {
                id,
                receipt: None,
                proposal: Some(proposal),
            }),
        )
            .into_response(),
        Placed::Pending(pending) => {
            let receipt = pending
                .receipt()
                .await
                .map_err(|e| Problem::of(&e, &app.ledger.store.dictionary()))?;
            let place = [(header::LOCATION, format!("/v1/listings/{id}"))];
            (
                StatusCode::CREATED,
                place,
                Json(Created {
                    id,
                    receipt: Some(receipt.into()),
                    proposal: None,
                }),
            )
                .into_response()
        }
    })
}

/// A listing as its number names it: what it is about, and where that stands.
fn found(
    app: &App,
    id: &str,
) -> Result<(Subject, crate::model::Verdict, crate::model::Entry), Problem> {
    let none = || Problem::not_found(format!("there is no listing `{id}` (any more)"));
    let (subject, reason, source) = listing_of(id).ok_or_else(none)?;
    let verdict = app.ledger.store.verdict(&subject)?;
    let entry = verdict.entry(reason, source).cloned().ok_or_else(none)?;
    Ok((subject, verdict, entry))
}

/// One listing.
#[utoipa::path(get, path = "/v1/listings/{id}", tag = "listings", params(("id" = String, Path)), responses((status = 200, body = Listing), Problem))]
pub(super) async fn get(State(app): State<App>, Part(id): Part) -> Result<Response, Problem> {
    let work = move || {
        let (subject, verdict, entry) = found(&app, &id)?;
        let history = app.ledger.store.history(&subject)?;
        Ok::<_, Problem>(listing(
            &app.ledger.store.dictionary(),
            &subject,
            &verdict,
            &entry,
            &history,
        ))
    };
    let out = tokio::task::spawn_blocking(work)
        .await
        .map_err(Problem::failed)??;
    Ok(([(header::ETAG, format!("\"{}\"", out.revision))], Json(out)).into_response())
}

/// What changes about a listing.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Renewal {
    /// A duration, a time, or `never`; the reason's lifetime where it is left out.
    until: Option<String>,
    /// Its own text.
    text: Option<String>,
    /// What was seen.
    note: Option<String>,
}

/// Renews a listing: a new end, and a new text where one is given.
#[utoipa::path(patch, path = "/v1/listings/{id}", tag = "listings", request_body = Renewal,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = ReceiptShape), (status = 202, body = Created, description = "Waits for a second person"), Problem))]
pub(super) async fn renew(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
    headers: HeaderMap,
    request: axum::extract::Request,
) -> Result<Response, Problem> {
    let body = super::input::bytes(request, &app).await?;
    let renewal: Renewal = json(&body)?;
    let preconditions = Conditions::of(&headers)?.preconditions(&caller, &id, &body);
    // What was done under the same key is told again, also when the listing is gone.
    if let Some(made) = preconditions
        .idempotency
        .map(|o| {
            Ok::<_, Problem>((
                o,
                app.ledger.store.stored_receipt(app.ledger.now(), &o.key)?,
            ))
        })
        .transpose()?
        && let (once, Some(made)) = made
        && once.body == made.body
    {
        return Ok(Json(ReceiptShape::from(crate::ledger::Receipt::from(made))).into_response());
    }
    let (subject, _, entry) = found(&app, &id)?;
    let v = app.ledger.store.dictionary();
    let ordered = Ordered {
        reason: Some(v.reasons.name(entry.reason).into()),
        source: Some(v.sources.name(entry.source).into()),
        until: renewal.until,
        text: renewal.text.or(entry.text.text.map(Into::into)),
        note: renewal.note,
        ..Ordered::default()
    };
    let mut change = change_of(&app, subject, &ordered, &caller, preconditions)?;
    change.preconditions.special = true; // it is listed already
    match place(&app, &caller, change).await? {
        Placed::Proposed(proposal) => Ok((
            StatusCode::ACCEPTED,
            Json(Created {
                id,
                receipt: None,
                proposal: Some(proposal),
            }),
        )
            .into_response()),
        Placed::Pending(pending) => {
            let receipt = pending
                .receipt()
                .await
                .map_err(|e| Problem::of(&e, &app.ledger.store.dictionary()))?;
            Ok(Json(ReceiptShape::from(receipt)).into_response())
        }
    }
}

/// Hands a change in and waits for its receipt.
pub(super) async fn done(app: &App, change: Change) -> Result<ReceiptShape, Problem> {
    let problem = |e| Problem::of(&e, &app.ledger.store.dictionary());
    let pending = app.ledger.submit(change).await.map_err(problem)?;
    pending.receipt().await.map(Into::into).map_err(problem)
}

/// How a listing is taken off.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Removal {
    /// How long no source may list it again: a duration, a time, or `none` where it was a mistake.
    /// 30 days where it is left out.
    hold: Option<String>,
    /// Only this source's word ends; other sources may go on.
    only: bool,
    /// Why, for the history.
    note: Option<String>,
}

/// Grants a removal: every source's listing for the reason ends, and a hold keeps it from coming
/// back.
#[utoipa::path(delete, path = "/v1/listings/{id}", tag = "listings",
    params(("id" = String, Path), Removal, ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = ReceiptShape), Problem))]
pub(super) async fn remove(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Part(id): Part,
    Params(removal): Params<Removal>,
    headers: HeaderMap,
) -> Result<Json<ReceiptShape>, Problem> {
    let conditions = Conditions::of(&headers)?;
    let body = format!("{removal:?}");
    let preconditions = conditions.preconditions(&caller, &id, body.as_bytes());
    let Some((subject, reason, source)) = listing_of(&id) else {
        return Err(Problem::not_found(format!("there is no listing `{id}`")));
    };
    // What was done under the same key is told again, also when nothing is left to take off.
    let again = preconditions
        .idempotency
        .map(|o| app.ledger.store.stored_receipt(app.ledger.now(), &o.key))
        .transpose()?
        .flatten();
    if again.is_none() {
        found(&app, &id)?;
    }
    let v = app.ledger.store.dictionary();
    let no_hold = removal.hold.as_deref() == Some("none");
    let ordered = Ordered {
        op: Some("delist".into()),
        reason: Some(v.reasons.name(reason).into()),
        source: removal.only.then(|| v.sources.name(source).into()),
        until: removal.hold.filter(|_| !no_hold),
        note: removal.note,
        no_hold,
        ..Ordered::default()
    };
    let change = change_of(&app, subject, &ordered, &caller, preconditions)?;
    done(&app, change).await.map(Json)
}
