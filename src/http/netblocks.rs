//! Netblocks: networks that two persons list. Operators propose, approve and renew them; the public
//! sees each with its reason and its dates.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};

use super::{
    App,
    caller::Caller,
    handler::{Call, JsonResult, StatusResult, blocking},
    input::{JsonBody, Part, QueryParams, time},
};
use crate::{
    api::{
        CollateralResponse, NetblockContactRequest, NetblockContactResponse,
        NetblockRenewalRequest, NetblockRenewalResponse, NetblockRequest, NetblockResponse,
        NetblockStepResponse, NetblocksQuery, Page, ProblemDetails, PublicNetblockContactResponse,
        PublicNetblockResponse, QueriedAddressesResponse, Timestamp,
    },
    model::{
        Entry, Role, SourceId, Subject, Time,
        subject::HostBits,
        time::{parse_end, parse_start},
    },
    netblocks::{
        Collateral, ContactAnswer, Netblock, NetblockAuthor, NetblockContact, NetblockError,
        NetblockService, NetblockState, NewNetblock,
    },
    query_sample::QueriedCount,
    store::Dictionary,
};

/// The seconds of a day.
const DAY: u64 = 86_400;

impl ProblemDetails {
    /// The problem of a request that the service of netblocks refused.
    fn of_netblock_error(e: NetblockError, dictionary: &Dictionary) -> ProblemDetails {
        match e {
            NetblockError::Invalid(why) => ProblemDetails::invalid(why),
            NetblockError::Refused(why) => ProblemDetails::conflict(why),
            NetblockError::SamePerson(why) => ProblemDetails::forbidden(why),
            NetblockError::NotFound(why) => ProblemDetails::not_found(why),
            NetblockError::Ledger(e) => ProblemDetails::of_ledger_error(&e, dictionary),
        }
    }
}

/// Calls the service of netblocks on a thread that may block, since it waits for the writer.
async fn call<T: Send + 'static>(
    app: &App,
    request: impl FnOnce(&NetblockService) -> Result<T, NetblockError> + Send + 'static,
) -> Result<T, ProblemDetails> {
    let app = app.clone();
    blocking(move || {
        let dictionary = app.ledger.store.dictionary();
        request(&app.netblocks).map_err(|e| ProblemDetails::of_netblock_error(e, &dictionary))
    })
    .await
}

fn author(caller: &Caller) -> NetblockAuthor {
    NetblockAuthor {
        name: caller.name.clone(),
        person: caller.person.clone(),
        from: caller.from.to_string(),
        idempotency: caller.idempotency,
    }
}

/// Reads the prefix of a request.
fn read_prefix(text: &str) -> Result<Subject, ProblemDetails> {
    let subject = Subject::parse(text.trim(), HostBits::Refuse);
    let subject = subject.map_err(|e| ProblemDetails::invalid(format!("prefix: {e}")))?;
    match subject.is_address() {
        true => Ok(subject),
        false => Err(ProblemDetails::invalid(format!(
            "prefix: `{text}` is not a prefix such as 192.0.2.0/24"
        ))),
    }
}

/// Reads the prefix of a write, which has to be within the bounds of the caller.
fn prefix_within(app: &App, caller: &Caller, text: &str) -> Result<Subject, ProblemDetails> {
    let prefix = read_prefix(text)?;
    let reason = app.netblocks.reason_name();
    caller.allow(Some(&prefix), Some(&reason), Some(SourceId::DECIDING[0]))?;
    Ok(prefix)
}

/// Reads the end of an entry.
fn read_end(app: &App, text: &str) -> Result<Time, ProblemDetails> {
    let end = parse_end(text, app.ledger.now());
    end.map_err(|e| ProblemDetails::invalid(format!("until: {e}")))
}

fn contact_response(number: usize, c: &NetblockContact, role: Role) -> NetblockContactResponse {
    let may_read = role >= Role::Editor;
    NetblockContactResponse {
        number,
        asked_at: c.asked_at.into(),
        request: c.request,
        answer: c.answer,
        answered_at: c.answered_at.map(Into::into),
        address: may_read.then(|| c.address.clone()),
        words: may_read.then(|| c.words.clone()),
        author: c.author.clone(),
    }
}

/// An entry for operators. Addresses and words of contacts are for editors.
fn response(entry: &Netblock, role: Role) -> NetblockResponse {
    let step = |s: &crate::netblocks::NetblockStep| NetblockStepResponse {
        at: s.at.into(),
        action: s.action.clone(),
        author: Some(s.author.clone()).filter(|a| !a.is_empty()),
    };
    let contact = |(number, c)| contact_response(number, c, role);
    let renewal = entry.renewal.as_ref().map(|r| NetblockRenewalResponse {
        at: r.proposed.at.into(),
        author: r.proposed.name.clone(),
        until: r.until.into(),
    });
    NetblockResponse {
        prefix: entry.prefix.to_string(),
        state: entry.state,
        public_text: entry.text.clone(),
        text: entry.text.english(),
        note: entry.note.clone(),
        proposed_at: entry.proposed.at.into(),
        proposed_by: entry.proposed.name.clone(),
        approved_at: entry.approved.as_ref().map(|a| a.at.into()),
        approved_by: entry.approved.as_ref().map(|a| a.name.clone()),
        until: entry.until.into(),
        renewal,
        ended_at: entry.ended.map(|(at, _)| at.into()),
        end: entry.ended.map(|(_, end)| end),
        contacts: (1..).zip(&entry.contacts).map(contact).collect(),
        history: entry.history.iter().map(step).collect(),
    }
}

/// The first second of a day: a time of day could tell who sent a message.
fn day_of(at: Time) -> Timestamp {
    Time(at.0 - at.0 % DAY).into()
}

/// An entry as the public sees it; `None` if it was never listed. It takes only what is public: no
/// name, no note, no address, no words.
fn public_view(entry: &Netblock) -> Option<PublicNetblockResponse> {
    let approved = entry.approved.as_ref()?;
    let contact = |c: &NetblockContact| PublicNetblockContactResponse {
        asked_at: day_of(c.asked_at),
        request: c.request,
        answer: c.answer,
        answered_at: c.answered_at.map(day_of),
    };
    Some(PublicNetblockResponse {
        prefix: entry.prefix.to_string(),
        path: page_path(&entry.prefix),
        state: entry.state,
        reason: entry.text.clone(),
        text: entry.text.english(),
        listed_at: approved.at.into(),
        until: entry.until.into(),
        renewed_at: entry.renewed.iter().map(|t| (*t).into()).collect(),
        ended_at: entry.ended.map(|(at, _)| at.into()),
        end: entry.ended.map(|(_, end)| end),
        contacts: entry.contacts.iter().map(contact).collect(),
    })
}

fn page_path(prefix: &Subject) -> String {
    format!("/netblocks/{prefix}")
}

/// Returns the path of the page about the network that a listing is of, if it has one.
pub(super) fn page_of_listing(app: &App, listed: &Subject, entry: &Entry) -> Option<String> {
    if entry.source != SourceId::OPERATOR || listed.addresses() < 2 {
        return None;
    }
    let dictionary = app.ledger.store.dictionary();
    if dictionary.reasons.name(entry.reason) != app.netblocks.reason_name() {
        return None;
    }
    // A row that cannot be read is reported where the entry is shown.
    let has_page = app.netblocks.has_public_page(listed).unwrap_or(false);
    has_page.then(|| page_path(listed))
}

fn queried_response(prefix: &Subject, c: QueriedCount, now: Time) -> QueriedAddressesResponse {
    QueriedAddressesResponse {
        count: c.count,
        prefix_length: match prefix {
            Subject::V6(_) => 64,
            _ => 32,
        },
        since: Time(now.0.saturating_sub(c.period.0)).into(),
        one_in: c.one_in,
    }
}

fn collateral_response(prefix: &Subject, c: &Collateral, now: Time) -> CollateralResponse {
    let listed = c.listed.iter();
    CollateralResponse {
        prefix: prefix.to_string(),
        addresses: c.addresses.to_string(),
        listed: listed.map(|(r, n)| (r.clone(), n.to_string())).collect(),
        exemptions: c.exemptions.iter().map(ToString::to_string).collect(),
        exemption_count: c.exemption_count,
        known_senders: c.known_senders.iter().map(ToString::to_string).collect(),
        known_sender_count: c.known_sender_count,
        queried: c.queried.map(|q| queried_response(prefix, q, now)),
        complete: c.is_complete,
    }
}

/// Lists the entries of netblocks, in the order of their prefixes.
#[utoipa::path(get, path = "/v1/netblocks", tag = "netblocks", params(NetblocksQuery),
    responses((status = 200, body = Page<NetblockResponse>, description = "All entries, or those in a state")))]
pub async fn list_netblocks(
    Call { app, caller }: Call,
    QueryParams(query): QueryParams<NetblocksQuery>,
) -> JsonResult<Page<NetblockResponse>> {
    let all = call(&app, move |n| n.list(query.state, n.now())).await?;
    Ok(Json(Page::all(
        all.iter().map(|e| response(e, caller.role)),
    )))
}

/// Proposes the listing of a network. Nothing is listed before another person approves it.
#[utoipa::path(post, path = "/v1/netblocks", tag = "netblocks", request_body = NetblockRequest,
    responses((status = 201, body = NetblockResponse, description = "The entry, which another person has to approve")))]
pub async fn propose_netblock(
    Call { app, caller }: Call,
    JsonBody(request): JsonBody<NetblockRequest>,
) -> StatusResult<NetblockResponse> {
    let role = caller.role;
    let new = NewNetblock {
        prefix: prefix_within(&app, &caller, &request.prefix)?,
        text: request.public_text,
        until: read_end(&app, &request.until)?,
        note: request.note,
    };
    let entry = call(&app, move |n| n.propose(new, &author(&caller), n.now())).await?;
    Ok((StatusCode::CREATED, Json(response(&entry, role))))
}

/// Returns the entry of a network.
#[utoipa::path(get, path = "/v1/netblocks/{prefix}", tag = "netblocks",
    params(("prefix" = String, Path, description = "The prefix, with `%2F` for the slash")),
    responses((status = 200, body = NetblockResponse, description = "The entry")))]
pub async fn get_netblock(
    Call { app, caller }: Call,
    Part(text): Part,
) -> JsonResult<NetblockResponse> {
    let role = caller.role;
    let prefix = read_prefix(&text)?;
    let entry = call(&app, move |n| n.get(&prefix, n.now())).await?;
    Ok(Json(response(&entry, role)))
}

/// Refuses what waits about a network: its proposal, which ends the entry, or its renewal.
#[utoipa::path(delete, path = "/v1/netblocks/{prefix}", tag = "netblocks",
    params(("prefix" = String, Path, description = "The prefix, with `%2F` for the slash")),
    responses((status = 200, body = NetblockResponse, description = "The entry")))]
pub async fn refuse_netblock(
    Call { app, caller }: Call,
    Part(text): Part,
) -> JsonResult<NetblockResponse> {
    let role = caller.role;
    let prefix = prefix_within(&app, &caller, &text)?;
    let entry = call(&app, move |n| n.refuse(&prefix, &author(&caller), n.now())).await?;
    Ok(Json(response(&entry, role)))
}

/// Approves the proposal of another person, so that the network is listed, or the renewal of
/// another person.
#[utoipa::path(post, path = "/v1/netblocks/{prefix}/approve", tag = "netblocks",
    params(("prefix" = String, Path, description = "The prefix, with `%2F` for the slash")),
    responses((status = 200, body = NetblockResponse, description = "The entry; its network is listed")))]
pub async fn approve_netblock(
    Call { app, caller }: Call,
    Part(text): Part,
) -> JsonResult<NetblockResponse> {
    let role = caller.role;
    let prefix = prefix_within(&app, &caller, &text)?;
    let entry = call(&app, move |n| n.approve(&prefix, &author(&caller), n.now())).await?;
    Ok(Json(response(&entry, role)))
}

/// Proposes a later end of a listed network. The present end stays until another person approves
/// it.
#[utoipa::path(post, path = "/v1/netblocks/{prefix}/renew", tag = "netblocks", request_body = NetblockRenewalRequest,
    params(("prefix" = String, Path, description = "The prefix, with `%2F` for the slash")),
    responses((status = 200, body = NetblockResponse, description = "The entry")))]
pub async fn renew_netblock(
    Call { app, caller }: Call,
    Part(text): Part,
    JsonBody(request): JsonBody<NetblockRenewalRequest>,
) -> JsonResult<NetblockResponse> {
    let role = caller.role;
    let prefix = prefix_within(&app, &caller, &text)?;
    let until = read_end(&app, &request.until)?;
    let renewed = call(&app, move |n| {
        n.renew(&prefix, until, &author(&caller), n.now())
    });
    Ok(Json(response(&renewed.await?, role)))
}

/// Records what the owner of a network was asked, or what came back.
#[utoipa::path(post, path = "/v1/netblocks/{prefix}/contacts", tag = "netblocks", request_body = NetblockContactRequest,
    params(("prefix" = String, Path, description = "The prefix, with `%2F` for the slash")),
    responses((status = 200, body = NetblockResponse, description = "The entry")))]
pub async fn add_netblock_contact(
    Call { app, caller }: Call,
    Part(text): Part,
    JsonBody(request): JsonBody<NetblockContactRequest>,
) -> JsonResult<NetblockResponse> {
    let role = caller.role;
    let prefix = prefix_within(&app, &caller, &text)?;
    let now = app.ledger.now();
    let asked_at = time("asked_at", request.asked_at.as_ref(), now, parse_start)?;
    let answered_at = time(
        "answered_at",
        request.answered_at.as_ref(),
        now,
        parse_start,
    )?;
    let answer = request.answer.unwrap_or(ContactAnswer::None);
    let who = author(&caller);
    let entry = match (request.number, request.request) {
        (Some(number), None) if asked_at.is_none() => {
            let answer = (answer, answered_at);
            call(&app, move |n| {
                n.answer_contact(&prefix, number, answer, &who, now)
            })
            .await?
        }
        (Some(_), _) => {
            return Err(ProblemDetails::invalid(
                "number: `request` and `asked_at` of an earlier contact cannot be changed; leave them out",
            ));
        }
        (None, None) => {
            return Err(ProblemDetails::invalid(
                "request: required for a new contact: complaint, stop or notice",
            ));
        }
        (None, Some(asked)) => {
            let contact = NetblockContact {
                asked_at: asked_at.unwrap_or(now),
                request: asked,
                answer,
                answered_at,
                address: request.address,
                words: request.words,
                author: caller.name.clone(),
            };
            call(&app, move |n| n.add_contact(&prefix, contact, &who, now)).await?
        }
    };
    Ok(Json(response(&entry, role)))
}

/// Counts what the listing of a network would cover, or covers. The network need not have an entry.
#[utoipa::path(get, path = "/v1/netblocks/{prefix}/collateral", tag = "netblocks",
    params(("prefix" = String, Path, description = "The prefix, with `%2F` for the slash")),
    responses((status = 200, body = CollateralResponse, description = "The counts")))]
pub async fn get_collateral(
    State(app): State<App>,
    Part(text): Part,
) -> JsonResult<CollateralResponse> {
    let prefix = read_prefix(&text)?;
    let found = call(&app, move |n| {
        let collateral = n.collateral(&prefix)?;
        Ok(collateral_response(&prefix, &collateral, n.now()))
    });
    found.await.map(Json)
}

/// Returns the networks that are listed, and those whose listing has ended in the last year.
///
/// # Errors
///
/// The store cannot be read.
pub async fn public_netblocks(app: &App) -> Result<Vec<PublicNetblockResponse>, ProblemDetails> {
    let all = call(app, |n| n.list(None, n.now())).await?;
    let mut public: Vec<_> = all.iter().filter_map(public_view).collect();
    // The sort is stable: in each half the networks keep their order.
    public.sort_by_key(|n| n.state == NetblockState::Ended);
    Ok(public)
}

/// Returns the public view of a network.
///
/// # Errors
///
/// It is not a prefix, or it was not listed in the last year.
pub async fn public_netblock(
    app: &App,
    text: &str,
) -> Result<PublicNetblockResponse, ProblemDetails> {
    let prefix = read_prefix(text)?;
    let not_found = || {
        ProblemDetails::not_found(format!(
            "there is no page about {prefix}; /netblocks has the networks that are listed"
        ))
    };
    let asked = prefix.clone();
    let found = call(app, move |n| match n.get(&asked, n.now()) {
        Err(NetblockError::NotFound(_)) => Ok(None),
        found => found.map(Some),
    });
    let found = found.await?;
    found.as_ref().and_then(public_view).ok_or_else(not_found)
}

/// Lists the networks that two persons have listed, those that are listed now first.
#[utoipa::path(get, path = "/netblocks", tag = "public",
    responses((status = 200, body = Page<PublicNetblockResponse>, description = "All networks that are listed, and those whose listing has ended in the last year")))]
pub async fn list_public_netblocks(
    State(app): State<App>,
) -> JsonResult<Page<PublicNetblockResponse>> {
    Ok(Json(Page::all(public_netblocks(&app).await?)))
}

/// Returns why a network is listed, since when, and how the listing ends.
#[utoipa::path(get, path = "/netblocks/{address}/{length}", tag = "public",
    params(("address" = String, Path, description = "The first address of the network"),
        ("length" = String, Path, description = "The length of its prefix")),
    responses((status = 200, body = PublicNetblockResponse, description = "The network")))]
pub async fn get_public_netblock(
    State(app): State<App>,
    Path((address, length)): Path<(String, String)>,
) -> JsonResult<PublicNetblockResponse> {
    public_netblock(&app, &format!("{address}/{length}"))
        .await
        .map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netblocks::{
        ContactRequest, NetblockRenewal, NetblockSignature, NetblockStep, NetblockText,
    };

    const PRIVATE: [&str; 8] = [
        "note-of-anna",
        "anna",
        "bert",
        "carl",
        "abuse@isp.example",
        "words-of-both",
        "step-of-dora",
        "12:34:56",
    ];

    fn entry() -> Netblock {
        let at = |text: &str| -> Time { text.parse().unwrap() };
        let signature = |name: &str| NetblockSignature {
            at: at("2026-11-02T00:00:00Z"),
            name: name.into(),
            person: name.into(),
        };
        Netblock {
            prefix: "45.51.100.0/24".parse().unwrap(),
            text: NetblockText::OpenRelays { hosts: 12 },
            note: "note-of-anna".into(),
            contacts: vec![NetblockContact {
                asked_at: at("2026-10-02T12:34:56Z"),
                request: ContactRequest::Stop,
                answer: ContactAnswer::Refused,
                answered_at: Some(at("2026-10-03T12:34:56Z")),
                address: "abuse@isp.example".into(),
                words: "words-of-both".into(),
                author: "carl".into(),
            }],
            state: NetblockState::Listed,
            proposed: signature("anna"),
            approved: Some(signature("bert")),
            until: at("2027-01-02T00:00:00Z"),
            renewal: Some(NetblockRenewal {
                proposed: signature("carl"),
                until: at("2027-03-02T00:00:00Z"),
            }),
            renewed: vec![at("2026-11-20T00:00:00Z")],
            ended: None,
            history: vec![NetblockStep {
                at: at("2026-11-02T00:00:00Z"),
                action: "approve".into(),
                author: "step-of-dora".into(),
            }],
        }
    }

    #[test]
    fn public_view_has_reason_and_days_and_nothing_of_a_person() {
        let json = serde_json::to_string(&public_view(&entry()).unwrap()).unwrap();
        for text in PRIVATE {
            assert!(!json.contains(text), "{text}: {json}");
        }
        for text in [
            "12 open relays",
            "2026-10-02T00:00:00Z",
            "2027-01-02",
            "refused",
            "/netblocks/45.51.100.0/24",
        ] {
            assert!(json.contains(text), "{text}: {json}");
        }
        let proposed = Netblock {
            state: NetblockState::Proposed,
            approved: None,
            ..entry()
        };
        assert_eq!(public_view(&proposed), None);
    }

    #[test]
    fn only_editors_read_addresses_and_words_of_contacts() {
        let shown = |role| serde_json::to_string(&response(&entry(), role)).unwrap();
        for text in ["abuse@isp.example", "words-of-both"] {
            assert!(shown(Role::Editor).contains(text));
            assert!(!shown(Role::Reporter).contains(text));
        }
    }
}
