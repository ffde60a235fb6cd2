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
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    App,
    error::of_ledger,
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
    lists::write::{self, Export, ExportReport, lines},
    model::Serial,
};

/// The most blocks that wait for the client.
const MAX_WAITING: usize = 8;
/// The size of a block, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;
/// The trailer field in which an export ends with its report, as JSON.
pub const REPORT_TRAILER: &str = "export-report";
/// The formats that are transfers, besides those of files.
const TRANSFERS: [&str; 2] = ["axfr", "dns"];

fn response(app: &App, snapshot: &Snapshot, z: &ZoneView) -> ZoneResponse {
    let dictionary = app.ledger.store.dictionary();
    let number = snapshot.zones.by_name(&z.name).unwrap_or_default();
    let publish = z.publish.iter().map(|p| PublishedReasonResponse {
        reason: dictionary.reasons.name(p.reason).into(),
        code: std::net::Ipv4Addr::from(p.code).to_string(),
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
pub(super) async fn list_zones(State(app): State<App>) -> Json<Page<ZoneResponse>> {
    let snapshot = app.ledger.published.snapshot();
    Json(Page::all(
        snapshot
            .zones
            .all()
            .iter()
            .map(|z| response(&app, &snapshot, z))
            .collect(),
    ))
}

/// Returns a zone.
#[utoipa::path(get, path = "/v1/zones/{zone}", tag = "zones",
    params(("zone" = String, Path, description = "The name of the zone, or of its file without the ending")),
    responses((status = 200, body = ZoneResponse, description = "The zone")))]
pub(super) async fn get_zone(
    State(app): State<App>,
    Part(zone): Part,
) -> Result<Json<ZoneResponse>, ProblemDetails> {
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
pub(super) async fn export_zone(
    State(app): State<App>,
    Part(origin): Part,
    QueryParams(query): QueryParams<ExportQuery>,
    headers: HeaderMap,
) -> Result<Response, ProblemDetails> {
    let mut snapshot = app.ledger.published.snapshot();
    let origin = find_zone(&snapshot, &origin)?.name.clone();
    let removed = || ProblemDetails::not_found("the zone was removed");
    let number = snapshot.zones.by_name(&origin).ok_or_else(removed)?;
    let format = if query.format.is_empty() {
        "master".to_string()
    } else {
        query.format
    };
    let transfer = TRANSFERS.contains(&format.as_str());
    if !transfer {
        let invalid = |e: String| ProblemDetails::invalid(format!("format: {e}, axfr, dns"));
        write::check(
            &format,
            &query.action,
            snapshot.zones.all()[number].spec.kind,
        )
        .map_err(invalid)?;
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
            let found =
                tokio::task::spawn_blocking(move || changed(&ledger, &origin, Serial(from)))
                    .await
                    .map_err(ProblemDetails::failed)??;
            snapshot = found.0;
            Plan::Part(format == "dns", found.1)
        }
    };
    let number = snapshot.zones.by_name(&origin).ok_or_else(removed)?;
    // Each export uses a thread until it ends.
    let permit = app
        .exports
        .clone()
        .try_acquire_owned()
        .map_err(|_| too_many())?;
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
    let mut out = (
        [(header::ETAG, tag), (header::CONTENT_TYPE, kind.into())],
        body,
    )
        .into_response();
    out.headers_mut()
        .insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if gzip {
        out.headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if !transfer {
        out.headers_mut()
            .insert(header::TRAILER, HeaderValue::from_static(REPORT_TRAILER));
    }
    Ok(out)
}

fn too_many() -> ProblemDetails {
    ProblemDetails::new(
        ProblemCode::TooManyRequests,
        "too many exports are under way; try again when some have ended",
    )
}

/// Writes an export into a body, which ends with the report as a trailer (RFC 9110 section 6.5).
fn stream(
    plan: &Plan,
    snapshot: &Snapshot,
    number: usize,
    gzip: bool,
    tx: &mpsc::Sender<io::Result<Frame<Bytes>>>,
) {
    let sender = BufWriter::with_capacity(BLOCK_BYTES, Sender(tx.clone()));
    let written = match gzip {
        false => run(plan, snapshot, number, sender).map(|(_, report)| report),
        true => run(
            plan,
            snapshot,
            number,
            GzEncoder::new(sender, Compression::fast()),
        )
        .and_then(|(z, report)| z.finish()?.flush().map(|()| report)),
    };
    let last = match written {
        Ok(report) => {
            let value = serde_json::to_string(&report)
                .ok()
                .and_then(|r| HeaderValue::try_from(r).ok());
            let Some(value) = value.filter(|_| matches!(plan, Plan::File(..))) else {
                return;
            };
            let mut trailers = HeaderMap::new();
            trailers.insert(REPORT_TRAILER, value);
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
pub(super) async fn report_export(
    State(app): State<App>,
    Part(origin): Part,
    QueryParams(query): QueryParams<ExportReportQuery>,
) -> Result<Json<ExportReportResponse>, ProblemDetails> {
    let snapshot = app.ledger.published.snapshot();
    let zone = find_zone(&snapshot, &origin)?.name.clone();
    let number = snapshot
        .zones
        .by_name(&zone)
        .ok_or_else(|| ProblemDetails::not_found("the zone was removed"))?;
    let format = if query.format.is_empty() {
        "master".to_string()
    } else {
        query.format
    };
    let permit = app
        .exports
        .clone()
        .try_acquire_owned()
        .map_err(|_| too_many())?;
    let found = tokio::task::spawn_blocking(move || {
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
    });
    found.await.map_err(ProblemDetails::failed)?
}

/// The difference of a zone since a serial, and the snapshot up to which it goes.
fn changed(
    ledger: &crate::ledger::Ledger,
    origin: &str,
    from: Serial,
) -> Result<(Arc<Snapshot>, Arc<ZoneDifference>), ProblemDetails> {
    let problem = of_ledger(ledger);
    let whole = || {
        ProblemDetails::conflict(format!(
            "since: the changes of {origin} after serial {} are not known; request the whole zone",
            from.0
        ))
    };
    let both = ledger
        .diff_since(origin, from)
        .map_err(problem)?
        .ok_or_else(whole)?;
    let number = both.new.zones.by_name(origin).ok_or_else(whole)?;
    let difference = ZoneDifference::new(
        &both.old,
        from,
        &both.new,
        number,
        View::Names,
        &both.subjects,
    )
    .ok_or_else(whole)?;
    Ok((both.new, Arc::new(difference)))
}

/// Writes an export. Returns the flushed writer, and the report, which is empty for a transfer.
fn run<W: Write>(
    plan: &Plan,
    snapshot: &Snapshot,
    number: usize,
    mut out: W,
) -> io::Result<(W, ExportReport)> {
    let view = &snapshot.zones.all()[number];
    let mut report = ExportReport::default();
    match plan {
        Plan::File(format, action) => {
            report = Export::new(format, action, snapshot, number)
                .map_err(io::Error::other)?
                .write(&mut out)?;
        }
        Plan::Whole(false) => lines::axfr(
            snapshot,
            number,
            transfer::serial(snapshot, number),
            &mut out,
        )?,
        Plan::Part(false, d) => lines::ixfr(view, d, &mut out)?,
        Plan::Whole(true) | Plan::Part(true, _) => {
            let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            query.extend(&view.origin);
            query.extend([
                0,
                if matches!(plan, Plan::Whole(_)) {
                    rtype::AXFR
                } else {
                    rtype::IXFR
                } as u8,
                0,
                1,
            ]);
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
    out.flush()?;
    Ok((out, report))
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
