//! `orbsd export`.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
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
    replace(to, &mut copy)?;
    if common.json {
        println!("{}", serde_json::json!({"zone": c.zone, "format": c.format, "file": to}));
    }
    Ok(())
}

/// Writes a file by `copy`; one that is there is replaced as a whole when the new one is complete.
pub(super) fn replace(to: &Path, copy: &mut dyn FnMut(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let wrong = |p: &Path, e: std::io::Error| Failure::No(format!("{}: {e}", p.display()));
    // Through a link to the file itself; and what is no file (a device, a pipe) is written to, not replaced.
    let to = &std::fs::canonicalize(to).unwrap_or_else(|_| to.to_path_buf());
    if std::fs::metadata(to).is_ok_and(|m| !m.is_file()) {
        let mut out = std::fs::OpenOptions::new().write(true).open(to).map_err(|e| wrong(to, e))?;
        return copy(&mut out);
    }
    // Beside the file, under a name of its own: readers see the old file or the new one, whole.
    let mut name = to.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let tmp = to.with_file_name(name);
    let result = File::create(&tmp).map_err(|e| wrong(&tmp, e)).and_then(|file| {
        let mut out = BufWriter::new(file);
        copy(&mut out)?;
        out.get_ref().sync_all()?;
        std::fs::rename(&tmp, to).map_err(|e| wrong(to, e))
    });
    if result.is_err() {
        let _ = std::fs::remove_file(&tmp);
    }
    result
}
