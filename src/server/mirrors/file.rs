//! The file with the state of the mirrors.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{MirrorId, PublishedSerials, Row};
use crate::model::Time;

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// The version of the format. In version 1, only the row of a configured mirror had its key.
pub(super) const VERSION: u32 = 2;

/// A mirror of a zone.
pub(super) type SavedRow = (String, MirrorId, Row);

/// The content of the file.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct MirrorsFile {
    pub(super) version: u32,
    /// The mirrors.
    pub(super) mirrors: Vec<SavedRow>,
    /// When each address completed its last transfer.
    #[serde(default)]
    pub(super) transferred: BTreeMap<IpAddr, Time>,
    /// The last serial of each zone.
    #[serde(default)]
    pub(super) given_out: PublishedSerials,
}

#[derive(Deserialize)]
struct Saved1 {
    mirrors: Vec<(String, Who1, Value)>,
}

#[derive(Deserialize)]
enum Who1 {
    Configured(SocketAddr),
    Other(IpAddr, Option<String>),
}

/// Reads a file; a missing one is an empty state.
pub(super) fn read(path: &Path) -> Result<MirrorsFile, String> {
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(MirrorsFile::default()),
        Ok(m) if m.len() > MAX_FILE => return Err(format!("longer than {MAX_FILE} bytes")),
        _ => {}
    }
    let text = fs::read(path).map_err(|e| e.to_string())?;
    let wrong = |e: serde_json::Error| e.to_string();
    let value: Value = serde_json::from_slice(&text).map_err(wrong)?;
    match value["version"].as_u64() {
        Some(1) => {
            let saved: Saved1 = serde_json::from_value(value).map_err(wrong)?;
            let one = |(zone, id, row): (String, Who1, Value)| {
                let key = row["key"].as_str().map(String::from);
                let id = match id {
                    Who1::Configured(address) => MirrorId::Configured(address, key),
                    Who1::Other(address, key) => MirrorId::Other(address, key),
                };
                Ok((zone, id, serde_json::from_value(row).map_err(wrong)?))
            };
            let mirrors = saved.mirrors.into_iter().map(one);
            Ok(MirrorsFile {
                mirrors: mirrors.collect::<Result<_, String>>()?,
                ..MirrorsFile::default()
            })
        }
        Some(v) if v == u64::from(VERSION) => serde_json::from_value(value).map_err(wrong),
        other => Err(format!(
            "version {} of its form is not known here",
            other.map_or("?".into(), |v| v.to_string())
        )),
    }
}

/// Writes the file at the first path that can be written to, and removes it from the paths after
/// it.
pub(super) fn write(paths: &[PathBuf], saved: &MirrorsFile) -> Result<(), String> {
    let bytes = serde_json::to_vec(saved).map_err(|e| e.to_string())?;
    let mut problem = String::from("there is no place for the file of the mirrors");
    for (i, path) in paths.iter().enumerate() {
        match replace(path, &bytes) {
            Ok(()) => {
                paths[i + 1..]
                    .iter()
                    .for_each(|other| drop(fs::remove_file(other)));
                return Ok(());
            }
            Err(e) => problem = format!("{}: {e}", path.display()),
        }
    }
    Err(problem)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}
