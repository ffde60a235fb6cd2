//! `orbsd export`.

use std::{
    io::{BufWriter, Write},
    path::PathBuf,
};

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::{
    Common, Failure,
    client::{Client, bytes, escape, failure},
};
use crate::exports::replace;

/// Write a zone to a file or to standard output
#[derive(Debug, Args)]
pub(super) struct Export {
    /// A zone's file name without its ending, or its origin
    zone: String,
    /// master, rbldnsd, list, cidr, jsonl, rpz, postfix, nftables or ipset
    #[arg(long, default_value = "master")]
    format: String,
    /// rpz: nxdomain, nodata, drop, tcp-only, passthru, an address, or a host's name
    #[arg(long, default_value = "")]
    action: String,
    /// Where to write; a file is replaced as a whole when it is complete
    #[arg(long, short)]
    output: Option<PathBuf>,
}

/// Streams the export to a file or to standard output.
pub(super) fn run(common: &Common, c: &Export) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let path = format!("/v1/zones/{}/export?format={}&action={}", escape(&c.zone), escape(&c.format), escape(&c.action));
    let response = client.send(Method::GET, &path, bytes(""))?;
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_success() {
        let mut problem = Vec::new();
        while let Some(p) = client.piece(&mut body)? {
            problem.extend(p);
        }
        return Err(failure(status, &serde_json::from_slice(&problem).unwrap_or(Value::Null)));
    }
    let wrong = |p: &PathBuf, e: std::io::Error| Failure::No(format!("{}: {e}", p.display()));
    let bar = super::import::bar(0);
    let mut copy = |out: &mut dyn Write| -> Result<(), Failure> {
        while let Some(piece) = client.piece(&mut body)? {
            bar.inc(piece.len() as u64);
            match out.write_all(&piece) {
                // Whoever reads us has had enough.
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                result => result?,
            }
        }
        Ok(out.flush()?)
    };
    let Some(to) = &c.output else { return copy(&mut std::io::stdout().lock()) };
    // What is no file (a device, a pipe) is written to, not replaced.
    if std::fs::metadata(to).is_ok_and(|m| !m.is_file()) {
        let mut out = std::fs::OpenOptions::new().write(true).open(to).map_err(|e| wrong(to, e))?;
        return copy(&mut out);
    }
    let result = replace(to, None, |file| {
        let mut out = BufWriter::new(file);
        copy(&mut out)
    });
    if common.json && result.is_ok() {
        println!("{}", serde_json::json!({"zone": c.zone, "format": c.format, "file": to}));
    }
    result
}
