//! Zones: what there is, and a zone on its way out as a file or a transfer, streamed.

use std::{
    collections::BTreeMap,
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
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};

use super::{
    App,
    error::Problem,
    import::find_zone,
    input::{Params, Part},
    negotiation,
    shapes::Page,
};
use crate::{
    dns::transfer::{self, ZoneDifference},
    index::{Snapshot, ZoneView, difference::View, zones::rtype},
    lists::write::{self, Export, ExportReport, lines},
    metrics::Totals,
    model::Serial,
};

/// Pieces on their way to a reader.
const WAITING: usize = 8;
/// Bytes of a piece.
const PIECE: usize = 64 * 1024;
/// The trailer field in which an export ends with its report, as JSON.
pub const REPORT_TRAILER: &str = "export-report";
/// The formats that are transfers, beside those of files.
const TRANSFERS: [&str; 2] = ["axfr", "dns"];

/// A zone.
#[derive(Debug, Serialize, ToSchema)]
pub struct ZoneShape {
    /// Its origin.
    origin: String,
    /// Its file's stem, which stands for it too.
    name: String,
    /// address, domain, hash or catalog.
    kind: String,
    serial: u32,
    /// The codes by reason, in the order of an answer.
    publish: Vec<Published>,
    /// The TTL of what is listed, of what is not, and of empty names, in seconds.
    ttls: [u32; 3],
    name_servers: Vec<String>,
    contact: String,
    /// What was asked and answered since the start.
    counters: BTreeMap<String, u64>,
}

/// A reason that a zone publishes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Published {
    reason: String,
    code: String,
    text: String,
}

fn shape(app: &App, snapshot: &Snapshot, z: &ZoneView) -> ZoneShape {
    let v = app.ledger.store.dictionary();
    let number = snapshot.zones.by_name(&z.name).unwrap_or_default();
    let publish = z.publish.iter().map(|p| Published {
        reason: v.reasons.name(p.reason).into(),
        code: std::net::Ipv4Addr::from(p.code).to_string(),
        text: p.text.to_string(),
    });
    ZoneShape {
        origin: z.name.to_string(),
        name: z.spec.stem.clone(),
        kind: z.spec.kind.name().into(),
        serial: transfer::serial(snapshot, number).0,
        publish: publish.collect(),
        ttls: z.ttls,
        name_servers: z.spec.ns.clone(),
        contact: z.spec.contact.clone(),
        counters: counters(app.metrics.zone(Some(z.slot))),
    }
}

/// Counters by name.
pub(super) fn counters(t: Totals) -> BTreeMap<String, u64> {
    serde_json::to_value(t)
        .ok()
        .and_then(|v| serde_json::from_value(v).ok())
        .unwrap_or_default()
}

/// All zones.
#[utoipa::path(get, path = "/v1/zones", tag = "zones", responses((status = 200, body = Page<ZoneShape>), Problem))]
pub(super) async fn zones(State(app): State<App>) -> Json<Page<ZoneShape>> {
    let snapshot = app.ledger.published.snapshot();
    Json(Page::all(
        snapshot
            .zones
            .all()
            .iter()
            .map(|z| shape(&app, &snapshot, z))
            .collect(),
    ))
}

/// A zone, by its origin or its file's stem.
#[utoipa::path(get, path = "/v1/zones/{origin}", tag = "zones", params(("origin" = String, Path)), responses((status = 200, body = ZoneShape), Problem))]
pub(super) async fn one(
    State(app): State<App>,
    Part(origin): Part,
) -> Result<Json<ZoneShape>, Problem> {
    let snapshot = app.ledger.published.snapshot();
    let zone = find_zone(&snapshot, &origin)?;
    Ok(Json(shape(&app, &snapshot, zone)))
}

/// How a zone is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// A format of `orbsd export` (`master` where it is left out), `axfr` (master-file lines from
    /// SOA to SOA) or `dns` (the messages of an AXFR, each behind its length in two bytes).
    format: String,
    /// Of `rpz`: what a resolver does.
    action: String,
    /// Of `axfr` and `dns`: only what changed after this serial, as an IXFR.
    since: Option<u32>,
}

/// What is going to be written.
enum Plan {
    File(String, String),
    Whole(bool),
    Part(bool, Arc<ZoneDifference>),
}

/// A zone, streamed from one snapshot, whatever is written meanwhile; gzip where the client takes
/// it. A file ends with the trailer `Export-Report`, for a client that sends `TE: trailers`: what
/// the file leaves out or changes, as JSON.
#[utoipa::path(get, path = "/v1/zones/{origin}/export", tag = "zones",
    params(("origin" = String, Path), Asked, ("If-None-Match" = Option<String>, Header, description = "The ETag that you have")),
    responses((status = 200, description = "The zone", body = String, content_type = "text/plain"), (status = 304, description = "You have the current one"), Problem))]
pub(super) async fn export(
    State(app): State<App>,
    Part(origin): Part,
    Params(asked): Params<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut snapshot = app.ledger.published.snapshot();
    let origin = find_zone(&snapshot, &origin)?.name.clone();
    let gone = || Problem::not_found("the zone is gone");
    let number = snapshot.zones.by_name(&origin).ok_or_else(gone)?;
    let format = if asked.format.is_empty() {
        "master".to_string()
    } else {
        asked.format
    };
    let transfer = TRANSFERS.contains(&format.as_str());
    if !transfer {
        let known = |e: String| Problem::invalid(format!("format: {e}, axfr, dns"));
        write::check(
            &format,
            &asked.action,
            snapshot.zones.all()[number].spec.kind,
        )
        .map_err(known)?;
    }
    let serial = transfer::serial(&snapshot, number);
    let gzip = negotiation::accepts_gzip(&headers);
    let since = asked.since.map_or(String::new(), |s| format!("-since-{s}"));
    let tag = format!(
        "\"{origin}-{}-{format}{}{since}{}\"",
        serial.0,
        asked.action,
        if gzip { "-gzip" } else { "" }
    );
    if negotiation::has_current(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let plan = match asked.since {
        None if transfer => Plan::Whole(format == "dns"),
        None => Plan::File(format.clone(), asked.action),
        Some(_) if !transfer => {
            return Err(Problem::invalid(
                "since: only axfr and dns tell what changed",
            ));
        }
        Some(from) => {
            let (ledger, origin) = (app.ledger.clone(), origin.clone());
            let found =
                tokio::task::spawn_blocking(move || changed(&ledger, &origin, Serial(from)))
                    .await
                    .map_err(Problem::failed)??;
            snapshot = found.0;
            Plan::Part(format == "dns", found.1)
        }
    };
    let number = snapshot.zones.by_name(&origin).ok_or_else(gone)?;
    // Each has a thread as long as it lasts.
    let permit = app
        .exports
        .clone()
        .try_acquire_owned()
        .map_err(|_| too_many())?;
    let (tx, rx) = mpsc::channel(WAITING);
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

fn too_many() -> Problem {
    Problem::new(
        "too-many",
        "too many exports are under way; try again when some are done",
    )
}

/// Writes what was planned into a body, which ends with the report as a trailer (RFC 9110 section
/// 6.5).
fn stream(
    plan: &Plan,
    snapshot: &Snapshot,
    number: usize,
    gzip: bool,
    tx: &mpsc::Sender<io::Result<Frame<Bytes>>>,
) {
    let sender = BufWriter::with_capacity(PIECE, Sender(tx.clone()));
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
        // Cuts the body short, so that no client takes it for the whole.
        Err(e) => Err(e),
    };
    // A client that went away does not get it.
    let _ = tx.blocking_send(last);
}

/// The parameters of an export's report.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReportQuery {
    /// A format of `orbsd export`; `master` where it is left out.
    format: String,
    /// Of `rpz`: what a resolver does.
    action: String,
}

/// What an export leaves out or changes.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportReportResponse {
    /// The zone's origin.
    zone: String,
    /// The serial of the zone that the report is about.
    serial: u32,
    /// The format of the export.
    format: String,
    /// The changes by kind; empty where the export has all that the zone lists, as it is listed.
    changes: Vec<ExportChangeResponse>,
}

/// One kind of change in an export.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportChangeResponse {
    /// The kind, such as `name-too-long`.
    kind: write::ExportChangeKind,
    /// What happened to the subjects, as a sentence.
    description: String,
    /// How many subjects it concerns.
    count: u64,
    /// The first subjects, at most three.
    first: Vec<String>,
}

/// Reports what an export of the zone leaves out or changes. The export itself ends with the same
/// report, as JSON in the trailer `Export-Report`, for clients that send `TE: trailers`.
#[utoipa::path(get, path = "/v1/zones/{origin}/export/report", tag = "zones", params(("origin" = String, Path), ReportQuery),
    responses((status = 200, body = ExportReportResponse), Problem))]
pub(super) async fn report(
    State(app): State<App>,
    Part(origin): Part,
    Params(query): Params<ReportQuery>,
) -> Result<Json<ExportReportResponse>, Problem> {
    let snapshot = app.ledger.published.snapshot();
    let zone = find_zone(&snapshot, &origin)?.name.clone();
    let number = snapshot
        .zones
        .by_name(&zone)
        .ok_or_else(|| Problem::not_found("the zone is gone"))?;
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
            .map_err(|e| Problem::invalid(format!("format: {e}")))?;
        let changes = export
            .report()
            .changes
            .into_iter()
            .map(|c| ExportChangeResponse {
                kind: c.kind,
                description: c.kind.description().into(),
                count: c.count,
                first: c.first,
            });
        Ok(Json(ExportReportResponse {
            serial: export.serial,
            changes: changes.collect(),
            zone: zone.to_string(),
            format,
        }))
    });
    found.await.map_err(Problem::failed)?
}

/// What changed in a zone after a serial, and the snapshot up to which.
fn changed(
    ledger: &crate::ledger::Ledger,
    origin: &str,
    from: Serial,
) -> Result<(Arc<Snapshot>, Arc<ZoneDifference>), Problem> {
    let problem = |e| Problem::of(&e, &ledger.store.dictionary());
    let whole = || {
        Problem::refused(format!(
            "since: what changed in {origin} after {} is not known (any more); take the whole zone",
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

/// Writes what was planned; gives the writer back, flushed, and the report, which only a file has.
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
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the reader went away"))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
