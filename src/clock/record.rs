//! The record of the clock: one line of a file in the store's folder, with a version and a checksum.
//! It belongs to the machine and not to the store, so that backups do not have it.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::UNKNOWN_BOOT;
use crate::model::Time;

/// The beginning of a record: its format and version.
const HEAD: &str = "orbsd-clock 1";
/// The last millisecond of the year 9999.
const MAX_MS: i64 = 253_402_300_799_999;
/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 4096;

/// The clocks at one moment, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The boot id.
    pub boot_id: String,
    /// The time since the machine started.
    pub boottime: i64,
    /// Trusted time.
    pub trusted: i64,
    /// The wall clock.
    pub wall: i64,
    /// Whether trusted time was confirmed since the machine started.
    pub confirmed: bool,
}

impl Record {
    /// Replaces a lost record by the time of the last commit, before which trusted time was not.
    /// `None` if that is not a plausible time.
    pub(super) fn of_last_commit(at: Time) -> Option<Record> {
        let trusted = i64::try_from(at.0).ok()?.checked_mul(1000)?;
        let record = Record {
            boot_id: UNKNOWN_BOOT.into(),
            boottime: MAX_MS,
            trusted,
            wall: trusted,
            confirmed: true,
        };
        record.is_plausible().then_some(record)
    }

    /// Whether all times are between 1970 and 9999. Sums and differences of such times do not
    /// overflow.
    fn is_plausible(&self) -> bool {
        [self.boottime, self.trusted, self.wall]
            .iter()
            .all(|ms| (0..=MAX_MS).contains(ms))
    }
}

fn text(r: &Record) -> String {
    let state = if r.confirmed {
        "confirmed"
    } else {
        "unconfirmed"
    };
    format!(
        "{HEAD} boot={} boottime={} trusted={} wall={} {state}",
        r.boot_id, r.boottime, r.trusted, r.wall
    )
}

/// Reads a record; `None` if there is no file.
///
/// # Errors
///
/// The file cannot be read, or does not have a record of this version.
pub(super) fn read(path: &Path) -> Result<Option<Record>, String> {
    let bytes = match fs::metadata(path) {
        Ok(m) if m.len() > MAX_BYTES => {
            return Err("the file is too long for a record of the clock".into());
        }
        Ok(_) => fs::read(path).map_err(|e| e.to_string())?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let line = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|t| t.strip_suffix('\n'));
    let damaged = || "the record of the clock is damaged".to_string();
    let (body, sum) = line
        .and_then(|l| l.rsplit_once(" crc32="))
        .ok_or_else(damaged)?;
    if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(body.as_bytes())) {
        return Err(damaged());
    }
    let rest = body
        .strip_prefix(HEAD)
        .ok_or("the record of the clock was written by another version")?;
    let mut fields = rest.split_ascii_whitespace();
    let mut field = |name: &str| {
        fields
            .next()
            .and_then(|w| w.strip_prefix(name))
            .map(str::to_string)
            .ok_or_else(damaged)
    };
    let boot_id = field("boot=")?;
    let mut number = |name: &str| field(name)?.parse::<i64>().map_err(|_| damaged());
    let (boottime, trusted, wall) = (number("boottime=")?, number("trusted=")?, number("wall=")?);
    let confirmed = field("")? == "confirmed";
    let record = Record {
        boot_id,
        boottime,
        trusted,
        wall,
        confirmed,
    };
    if record.is_plausible() {
        Ok(Some(record))
    } else {
        Err(damaged())
    }
}

/// Writes a record atomically: a reader finds the old one or the new one.
pub(super) fn write(path: &Path, record: &Record) -> io::Result<()> {
    let body = text(record);
    let new = path.with_extension("new");
    let fill = || {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(
            format!("{body} crc32={:08x}\n", crc32fast::hash(body.as_bytes())).as_bytes(),
        )?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    let written = fill();
    if written.is_err() {
        let _ = fs::remove_file(&new); // Most likely the disk is full.
    }
    written
}
