//! Recent log-ins of volatile zones: reported, ended and counted. Nothing here writes to the store or
//! to the log.

use std::{net::IpAddr, sync::Arc};

use axum::{Json, extract::State};

use super::{
    App,
    caller::Caller,
    exposition::Exposition,
    handler::{Call, JsonResult},
    import::find_zone,
    input::{JsonBody, Part, QueryParams},
};
use crate::{
    api::{
        LoginReportResponse, LoginResponse, LoginsQuery, LoginsRequest, LoginsResponse,
        LogoutQuery, LogoutResponse, ProblemDetails,
    },
    clock::uptime,
    index::{LoginView, Snapshot, logins::MAX_LOGINS},
    metrics::families,
    model::{Role, Subject, time::Seconds},
};

/// The most addresses of one request.
const MAX_ADDRESSES: usize = 1000;

/// Finds the log-ins of a zone, and its name.
fn find_logins<'s>(
    app: &App,
    snapshot: &'s Snapshot,
    zone: &str,
) -> Result<(&'s LoginView, String), ProblemDetails> {
    let zone = find_zone(snapshot, zone)?;
    let logins = zone.logins.as_ref().ok_or_else(|| {
        ProblemDetails::conflict(format!(
            "{} has no log-ins; only a zone with durability = \"volatile\" does",
            zone.name
        ))
    })?;
    if !app.daemon {
        return Err(ProblemDetails::conflict(
            "no daemon runs; log-ins are only in its memory",
        ));
    }
    Ok((logins, zone.name.to_string()))
}

/// The zone and its log-ins if the caller may change them.
fn find_writable<'s>(
    app: &App,
    caller: &Caller,
    snapshot: &'s Snapshot,
    zone: &str,
) -> Result<(&'s LoginView, String), ProblemDetails> {
    let (logins, zone) = find_logins(app, snapshot, zone)?;
    if caller.role < Role::Operator && !logins.rules.allows(&caller.name) {
        return Err(ProblemDetails::forbidden(format!(
            "`{}` may not report log-ins to {zone}; name it in `allow` of [logins] in the zone's file",
            caller.name
        )));
    }
    Ok((logins, zone))
}

/// Parses an address of a request.
fn address(field: &str, text: &str) -> Result<IpAddr, ProblemDetails> {
    text.parse().map_err(|_| {
        let text = text.chars().take(64).collect::<String>();
        ProblemDetails::invalid(format!(
            "{field}: `{}` is not an IPv4 or IPv6 address",
            text.escape_debug()
        ))
    })
}

/// Refuses an address outside of the prefixes of the caller's token.
fn check_bounds(caller: &Caller, address: IpAddr) -> Result<(), ProblemDetails> {
    if caller.bounds.is_empty() {
        return Ok(());
    }
    let subject = address.to_canonical().to_string().parse::<Subject>();
    let subject = subject.map_err(ProblemDetails::invalid)?;
    caller.allow(Some(&subject), None, None)
}

/// Publishes addresses from which users have logged in, for the lifetime of the zone.
///
/// They are in memory alone: no store, journal, audit record, event or log has them. When the
/// response is sent, queries are answered from them. The caller has to be named in `allow` of the
/// zone's `[logins]`, or be an operator.
#[utoipa::path(post, path = "/v1/zones/{zone}/logins", tag = "zones", request_body = LoginsRequest,
    params(("zone" = String, Path, description = "The name of the zone, or of its file without the ending")),
    responses((status = 200, body = LoginReportResponse, description = "The addresses are published")))]
pub async fn report_logins(
    Call { app, caller }: Call,
    Part(zone): Part,
    JsonBody(request): JsonBody<LoginsRequest>,
) -> JsonResult<LoginReportResponse> {
    let snapshot = app.ledger.published.snapshot();
    let (logins, zone) = find_writable(&app, &caller, &snapshot, &zone)?;
    let total = request.addresses.len();
    if !(1..=MAX_ADDRESSES).contains(&total) {
        return Err(ProblemDetails::invalid(format!(
            "addresses: {total} addresses; send 1 to {MAX_ADDRESSES} in a request"
        )));
    }
    let mut published = Vec::with_capacity(total);
    for (i, text) in request.addresses.iter().enumerate() {
        let address = address(&format!("addresses.{i}"), text)?;
        check_bounds(&caller, address)?;
        published.extend(logins.rules.published(address));
    }
    let (now, lifetime) = (uptime(), logins.rules.lifetime);
    logins.table.report(&published, now.plus(lifetime), now);
    Ok(Json(LoginReportResponse {
        zone,
        published: published.len(),
        left_out: total - published.len(),
        ends: app.ledger.now().plus(lifetime).into(),
    }))
}

/// Ends the log-in of an address before its time. Other users behind the same address are logged out
/// too.
#[utoipa::path(delete, path = "/v1/zones/{zone}/logins", tag = "zones",
    params(("zone" = String, Path, description = "The name of the zone, or of its file without the ending"), LogoutQuery),
    responses((status = 200, body = LogoutResponse, description = "The address is not published")))]
pub async fn end_login(
    Call { app, caller }: Call,
    Part(zone): Part,
    QueryParams(query): QueryParams<LogoutQuery>,
) -> JsonResult<LogoutResponse> {
    let snapshot = app.ledger.published.snapshot();
    let (logins, zone) = find_writable(&app, &caller, &snapshot, &zone)?;
    let address = address("address", &query.address)?;
    check_bounds(&caller, address)?;
    let published = logins.rules.published(address);
    let ended = published.is_some_and(|a| logins.table.remove(a, uptime()));
    Ok(Json(LogoutResponse { zone, ended }))
}

/// Counts the log-ins of a zone, and reports whether an address is among them.
#[utoipa::path(get, path = "/v1/zones/{zone}/logins", tag = "zones",
    params(("zone" = String, Path, description = "The name of the zone, or of its file without the ending"), LoginsQuery),
    responses((status = 200, body = LoginsResponse, description = "The counts, and the log-in of the address")))]
pub async fn get_logins(
    State(app): State<App>,
    Part(zone): Part,
    QueryParams(query): QueryParams<LoginsQuery>,
) -> JsonResult<LoginsResponse> {
    let snapshot = app.ledger.published.snapshot();
    let (logins, zone) = find_logins(&app, &snapshot, &zone)?;
    let requested = query.address.map(|text| address("address", &text));
    let now = uptime();
    let found = requested.transpose()?.and_then(|a| logins.end(a, now));
    let login = found.map(|(address, end)| LoginResponse {
        address: address.to_string(),
        ends: (app.ledger.now())
            .plus(Seconds(now.seconds_until(end)))
            .into(),
    });
    let counts = logins.table.counts();
    Ok(Json(LoginsResponse {
        zone,
        lifetime_seconds: logins.rules.lifetime.0,
        entries: counts.entries,
        max_entries: MAX_LOGINS,
        reported: counts.reported,
        removed: counts.removed,
        evicted: counts.evicted,
        login,
    }))
}

/// Writes the counts of each volatile zone.
pub(super) fn write_metrics(out: &mut Exposition, snapshot: &Arc<Snapshot>) {
    let zones = snapshot.zones.all().iter();
    let counts: Vec<_> = zones
        .filter_map(|z| Some(([z.name.to_string()], z.logins.as_ref()?.table.counts())))
        .collect();
    let samples = |value: fn(&crate::index::logins::LoginCounts) -> u64| {
        let sample = move |(zone, c): &([String; 1], _)| (zone.clone(), value(c) as f64);
        counts.iter().map(sample)
    };
    out.gauges(&families::LOGINS, samples(|c| c.entries as u64));
    out.counters(&families::LOGINS_REPORTED_TOTAL, samples(|c| c.reported));
    out.counters(&families::LOGINS_EVICTED_TOTAL, samples(|c| c.evicted));
}
