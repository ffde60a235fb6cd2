//! `orbsd export`.

use std::{
    fs::File,
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

/// `orbsd export`
#[derive(Debug, Args)]
pub(super) struct Export {
    /// A zone's file name without its ending, or its origin
    zone: String,
    /// master, rbldnsd, list or cidr
    #[arg(long, default_value = "master")]
    format: String,
    /// Where to write; a file is replaced as a whole when it is complete
    #[arg(long, short)]
    output: Option<PathBuf>,
}

/// Streams the export to a file or to standard output.
pub(super) fn run(common: &Common, c: &Export) -> Result<(), Failure> {
    let mut client = Client::open(common)?;
    let path = format!("/v1/zones/{}/export?format={}", escape(&c.zone), escape(&c.format));
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
    let tmp = c.output.as_ref().map(|p| p.with_extension("new"));
    let mut out: Box<dyn Write> = match &tmp {
        Some(p) => Box::new(BufWriter::new(File::create(p).map_err(|e| wrong(p, e))?)),
        None => Box::new(std::io::stdout().lock()),
    };
    while let Some(piece) = client.piece(&mut body)? {
        match out.write_all(&piece) {
            // Whoever reads us has had enough.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            result => result?,
        }
    }
    out.flush()?;
    drop(out);
    if let (Some(tmp), Some(to)) = (&tmp, &c.output) {
        std::fs::rename(tmp, to).map_err(|e| wrong(to, e))?;
    }
    Ok(())
}
