//! Zones: their state, and their content as a file or a transfer, streamed.

use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    App,
    error::of_ledger,
    handler::{JsonResult, blocking},
    import::find_zone,
    input::{Part, QueryParams},
    negotiation,
};
use crate::{
    api::{
        ExportQuery, ExportReportQuery, ExportReportResponse, Page, ProblemCode, ProblemDetails,
        PublishedReasonResponse, ZoneResponse,
    },
    dns::transfer::{self, ZoneDifference},
    index::{Snapshot, ZoneView, difference::View, zones::rtype},
    ledger::Ledger,
    lists::write::{self, Export, ExportReport, lines},
    model::Serial,
};

/// The most blocks that wait for the client.
const MAX_WAITING: usize = 8;
/// The size of a block, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;
/// The most exports that run at the same time.
pub const MAX_EXPORTS: usize = 16;
/// The trailer field in which an export ends with its report, as JSON.
pub const REPORT_TRAILER: &str = "export-report";
/// The formats that are transfers, besides those of files.
const TRANSFERS: [&str; 2] = ["axfr", "dns"];

fn response(app: &App, snapshot: &Snapshot, z: &ZoneView) -> ZoneResponse {
    let number = snapshot.zones.by_name(&z.name).unwrap_or_default();
    let publish = z.publish.iter().zip(&z.spec.publish);
    let publish = publish.map(|(p, spec)| PublishedReasonResponse {
        reason: p.name.to_string(),
        rule: spec.rule().map(|rule| rule.to_string()),
        code: std::net::Ipv4Addr::from(p.code).to_string(),
        ttl: p.ttl,
        text: p.text.to_string(),
    });
    ZoneResponse {
        zone: z.name.to_string(),
        alias: z.spec.short_name.clone(),
        kind: z.spec.kind,
        serial: transfer::serial(snapshot, number).0,
        publish: publish.collect(),
        ttls: z.ttls,
        name_servers: z.spec.ns.clone(),
        contact: z.spec.contact.clone(),
        counters: app.metrics.zone(Some(z.slot)),
    }
}

/// Lists all zones.
#[utoipa::path(get, path = "/v1/zones", tag = "zones",
    responses((status = 200, body = Page<ZoneResponse>, description = "All zones")))]
pub async fn list_zones(State(app): State<App>) -> Json<Page<ZoneResponse>> {
    let snapshot = app.ledger.published.snapshot();
    let zones = snapshot.zones.all().iter();
    Json(Page::all(zones.map(|z| response(&app, &snapshot, z))))
}

/// Returns a zone.
#[utoipa::path(get, path = "/v1/zones/{zone}", tag = "zones",
    params(("zone" = String, Path, description = "The name of the zone, or of its file without the ending")),
    responses((status = 200, body = ZoneResponse, description = "The zone")))]
pub async fn get_zone(State(app): State<App>, Part(zone): Part) -> JsonResult<ZoneResponse> {
    let snapshot = app.ledger.published.snapshot();
    let zone = find_zone(&snapshot, &zone)?;
    Ok(Json(response(&app, &snapshot, zone)))
}

/// What an export writes. The flag of a transfer selects DNS messages instead of lines.
enum Plan {
    /// A file: its format and, for `rpz`, its action.
    File(String, String),
    /// The whole zone as a transfer.
    Whole(bool),
    /// The changes since a serial.
    Part(bool, Arc<ZoneDifference>),
}

/// Exports a zone from one snapshot, regardless of writes meanwhile; compressed if the client
/// accepts gzip.
///
/// A file ends with the trailer `Export-Report`, for clients that send `TE: trailers`: what the
/// file leaves out or changes, as JSON.
#[utoipa::path(get, path = "/v1/zones/{zone}/export", tag = "zones",
    params(("zone" = String, Path, description = "The name of the zone, or of its file without the ending"), ExportQuery,
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the export that the client has")),
    responses((status = 200, description = "The zone", body = String, content_type = "text/plain"),
        (status = 304, description = "The client has the current export")))]
pub async fn export_zone(
    State(app): State<App>,
    Part(origin): Part,
    QueryParams(query): QueryParams<ExportQuery>,
    headers: HeaderMap,
) -> Result<Response, ProblemDetails> {
    let mut snapshot = app.ledger.published.snapshot();
    let (origin, number) = zone_number(&snapshot, &origin)?;
    let format = format(query.format);
    let transfer = TRANSFERS.contains(&format.as_str());
    if !transfer {
        let invalid = |e: String| ProblemDetails::invalid(format!("format: {e}, axfr, dns"));
        let kind = snapshot.zones.all()[number].spec.kind;
        write::check(&format, &query.action, kind).map_err(invalid)?;
    }
    let serial = transfer::serial(&snapshot, number);
    let gzip = negotiation::accepts_gzip(&headers);
    let since = query.since.map_or(String::new(), |s| format!("-since-{s}"));
    let tag = format!(
        "\"{origin}-{}-{format}{}{since}{}\"",
        serial.0,
        query.action,
        if gzip { "-gzip" } else { "" }
    );
    if negotiation::has_current(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let plan = match query.since {
        None if transfer => Plan::Whole(format == "dns"),
        None => Plan::File(format.clone(), query.action),
        Some(_) if !transfer => {
            return Err(ProblemDetails::invalid(
                "since: only the formats axfr and dns report changes",
            ));
        }
        Some(from) => {
            let (ledger, origin) = (app.ledger.clone(), origin.clone());
            let work = move || difference_since(&ledger, &origin, Serial(from));
            let (new, difference) = blocking(work).await?;
            snapshot = new;
            Plan::Part(format == "dns", difference)
        }
    };
    let (_, number) = zone_number(&snapshot, &origin)?;
    let permit = permit(&app)?;
    let (tx, rx) = mpsc::channel(MAX_WAITING);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        stream(&plan, &snapshot, number, gzip, &tx);
    });
    let kind = match format.as_str() {
        "dns" => "application/octet-stream",
        "jsonl" => "application/x-ndjson",
        _ => "text/plain; charset=utf-8",
    };
    let body = Body::new(StreamBody::new(ReceiverStream::new(rx)));
    let fields = [
        (header::ETAG, tag.as_str()),
        (header::CONTENT_TYPE, kind),
        (header::VARY, "accept-encoding"),
    ];
    let encoding = gzip.then_some([(header::CONTENT_ENCODING, "gzip")]);
    let trailer = (!transfer).then_some([(header::TRAILER, REPORT_TRAILER)]);
    Ok((fields, encoding, trailer, body).into_response())
}

/// Finds a zone by its name or by the name of its file: its origin, and its number.
///
/// # Errors
///
/// There is no such zone, or it is volatile: its log-ins are not exported.
fn zone_number(snapshot: &Snapshot, name: &str) -> Result<(Box<str>, usize), ProblemDetails> {
    let zone = find_zone(snapshot, name)?;
    if zone.spec.is_volatile() {
        return Err(ProblemDetails::conflict(format!(
            "the log-ins of the volatile zone {} are not exported",
            zone.name
        )));
    }
    let origin = zone.name.clone();
    let number = snapshot.zones.by_name(&origin);
    let number = number.ok_or_else(|| ProblemDetails::not_found("the zone was removed"))?;
    Ok((origin, number))
}

/// The format of an export: a zone file if the request names none.
fn format(requested: String) -> String {
    if requested.is_empty() {
        "master".into()
    } else {
        requested
    }
}

/// Takes a slot of an export, which uses a thread until it ends.
fn permit(app: &App) -> Result<OwnedSemaphorePermit, ProblemDetails> {
    app.exports.clone().try_acquire_owned().map_err(|_| {
        ProblemDetails::new(
            ProblemCode::TooManyRequests,
            "too many exports are under way; try again when some have ended",
        )
    })
}

/// Writes an export into a body, which ends with the report as a trailer (RFC 9110 section 6.5).
fn stream(
    plan: &Plan,
    snapshot: &Snapshot,
    number: usize,
    gzip: bool,
    tx: &mpsc::Sender<io::Result<Frame<Bytes>>>,
) {
    let mut out = BufWriter::with_capacity(BLOCK_BYTES, Sender(tx.clone()));
    let written = if gzip {
        let mut gzip = GzEncoder::new(&mut out, Compression::fast());
        let written = run(plan, snapshot, number, &mut gzip);
        written.and_then(|report| gzip.finish().map(|_| report))
    } else {
        run(plan, snapshot, number, &mut out)
    };
    let written = written.and_then(|report| out.flush().map(|()| report));
    let last = match written {
        Ok(_) if !matches!(plan, Plan::File(..)) => return,
        Ok(report) => {
            let report = serde_json::to_string(&report).unwrap_or_default();
            let Ok(report) = HeaderValue::try_from(report) else {
                return;
            };
            let mut trailers = HeaderMap::new();
            trailers.insert(REPORT_TRAILER, report);
            Ok(Frame::trailers(trailers))
        }
        // The body is aborted, so that no client takes it for the whole zone.
        Err(e) => Err(e),
    };
    // The client may have gone away.
    let _ = tx.blocking_send(last);
}

/// Reports what an export of a zone leaves out or changes.
///
/// The export itself ends with the same report, as JSON in the trailer `Export-Report`, for clients
/// that send `TE: trailers`.
#[utoipa::path(get, path = "/v1/zones/{zone}/export/report", tag = "zones",
    params(("zone" = String, Path, description = "The name of the zone, or of its file without the ending"), ExportReportQuery),
    responses((status = 200, body = ExportReportResponse, description = "The changes by kind")))]
pub async fn report_export(
    State(app): State<App>,
    Part(origin): Part,
    QueryParams(query): QueryParams<ExportReportQuery>,
) -> JsonResult<ExportReportResponse> {
    let snapshot = app.ledger.published.snapshot();
    let (zone, number) = zone_number(&snapshot, &origin)?;
    let format = format(query.format);
    let permit = permit(&app)?;
    blocking(move || {
        let _permit = permit;
        let export = Export::new(&format, &query.action, &snapshot, number)
            .map_err(|e| ProblemDetails::invalid(format!("format: {e}")))?;
        let changes = export.report().changes.into_iter().map(Into::into);
        Ok(Json(ExportReportResponse {
            serial: export.serial,
            changes: changes.collect(),
            zone: zone.to_string(),
            format,
        }))
    })
    .await
}

/// The difference of a zone since a serial, and the snapshot up to which it goes.
fn difference_since(
    ledger: &Ledger,
    origin: &str,
    from: Serial,
) -> Result<(Arc<Snapshot>, Arc<ZoneDifference>), ProblemDetails> {
    let whole = || {
        ProblemDetails::conflict(format!(
            "since: the changes of {origin} after serial {} are not known; request the whole zone",
            from.0
        ))
    };
    let both = ledger.diff_since(origin, from).map_err(of_ledger(ledger))?;
    let both = both.ok_or_else(whole)?;
    let (old, new, subjects) = (&both.old, &both.new, &both.subjects);
    let number = new.zones.by_name(origin).ok_or_else(whole)?;
    let difference = ZoneDifference::new(old, from, new, number, View::Names, subjects);
    let difference = difference.ok_or_else(whole)?;
    Ok((both.new, Arc::new(difference)))
}

/// Writes an export. Returns the report, which is empty for a transfer.
fn run<W: Write>(
    plan: &Plan,
    snapshot: &Snapshot,
    number: usize,
    out: &mut W,
) -> io::Result<ExportReport> {
    let view = &snapshot.zones.all()[number];
    let mut report = ExportReport::default();
    match plan {
        Plan::File(format, action) => {
            report = Export::new(format, action, snapshot, number)
                .map_err(io::Error::other)?
                .write(out)?;
        }
        Plan::Whole(false) => {
            let serial = transfer::serial(snapshot, number);
            lines::axfr(snapshot, number, serial, out)?;
        }
        Plan::Part(false, d) => lines::ixfr(view, d, out)?,
        Plan::Whole(true) | Plan::Part(true, _) => {
            let kind = match plan {
                Plan::Whole(_) => rtype::AXFR,
                _ => rtype::IXFR,
            };
            let header = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            let query = [&header[..], &view.origin, &kind.to_be_bytes(), &[0, 1]].concat();
            let mut result = Ok(());
            let mut take = |m: &mut Vec<u8>| {
                // A message has at most 65,535 bytes.
                result = out
                    .write_all(&(m.len() as u16).to_be_bytes())
                    .and_then(|()| out.write_all(m));
                result.is_ok()
            };
            let mut writer = transfer::MessageWriter::new(&query, query.len(), false, &mut take);
            match plan {
                Plan::Part(_, d) => transfer::ixfr(view, d, &mut writer),
                _ => transfer::axfr(snapshot, number, View::Names, &mut writer),
            };
            drop(writer);
            result?;
        }
    }
    Ok(report)
}

struct Sender(mpsc::Sender<io::Result<Frame<Bytes>>>);

impl Write for Sender {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let sent = self
            .0
            .blocking_send(Ok(Frame::data(Bytes::copy_from_slice(buf))));
        sent.map(|()| buf.len())
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client disconnected"))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
