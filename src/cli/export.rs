//! `orbsd export`.

use std::{
    fs,
    io::{BufWriter, Write},
    path::PathBuf,
};

use clap::Args;
use hyper::{HeaderMap, Method};
use serde_json::json;

use super::{
    CliError, Common,
    client::{Client, bytes, escape, with_query},
    output,
};
use crate::{api::ExportQuery, exports::replace, http::REPORT_TRAILER, lists::write::ExportReport};

/// Write a zone as a file
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Origin of the zone, or its short name
    zone: String,
    /// Format: master, rbldnsd, list, cidr, jsonl, rpz, postfix, nftables or ipset
    #[arg(long, default_value = "master")]
    format: String,
    /// Action of rpz: nxdomain, nodata, drop, tcp-only, passthru, an address or a host name [default: nxdomain]
    #[arg(long, default_value = "", hide_default_value = true)]
    action: String,
    /// File, which is replaced when the export is complete [default: standard output]
    #[arg(long, short)]
    output: Option<PathBuf>,
}

/// Streams the export to a file or to standard output. What it leaves out or changes is printed on
/// standard error.
pub(super) fn run(common: &Common, c: &Export) -> Result<(), CliError> {
    let mut client = Client::open(common)?;
    let query = ExportQuery {
        format: c.format.clone(),
        action: c.action.clone(),
        since: None,
    };
    let path = with_query(&format!("/v1/zones/{}/export", escape(&c.zone)), &query);
    let mut body = client.request(Method::GET, &path, ("te", "trailers"), bytes(""))?;
    let file_error =
        |p: &PathBuf, e: std::io::Error| CliError::Refused(format!("{}: {e}", p.display()));
    let bar = super::import::bar(0);
    let mut copy = |out: &mut dyn Write| -> Result<ExportReport, CliError> {
        let mut report = ExportReport::default();
        while let Some(frame) = client.frame(&mut body)? {
            let piece = match frame.into_data() {
                Ok(piece) => piece,
                Err(trailers) => {
                    report = trailers.trailers_ref().map(read_report).unwrap_or_default();
                    continue;
                }
            };
            bar.inc(piece.len() as u64);
            match out.write_all(&piece) {
                // The reader of our output has closed it.
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(report),
                result => result?,
            }
        }
        out.flush()?;
        Ok(report)
    };
    let report = match &c.output {
        None => copy(&mut output::content())?,
        // What is not a file (a device, a pipe) is written to, not replaced.
        Some(to) if fs::metadata(to).is_ok_and(|m| !m.is_file()) => {
            let device = fs::OpenOptions::new().write(true).open(to);
            copy(&mut device.map_err(|e| file_error(to, e))?)?
        }
        Some(to) => {
            let mut report = ExportReport::default();
            replace(to, super::umask::user_file_mode(to), |file| {
                report = copy(&mut BufWriter::new(file))?;
                Ok::<(), CliError>(())
            })?;
            if common.json {
                output::json_line(
                    &json!({"zone": c.zone, "format": c.format, "file": to, "changes": report}),
                );
            }
            report
        }
    };
    for change in &report.changes {
        eprintln!("{} as {}: {change}", c.zone, c.format);
    }
    Ok(())
}

/// The report in the trailers of an export; empty if the daemon sends none.
fn read_report(trailers: &HeaderMap) -> ExportReport {
    let text = trailers.get(REPORT_TRAILER).and_then(|v| v.to_str().ok());
    text.and_then(|t| serde_json::from_str(t).ok())
        .unwrap_or_default()
}
