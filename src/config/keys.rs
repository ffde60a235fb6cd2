//! The keys for TSIG: `[[key]]` tables, and the files that hold the secrets.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::{
    document::{Report, Table},
    tables::KeyTable,
};
use crate::model::{Algorithm, Keys, TsigKey, key::MAX_KEY_FILE};

/// Permissions that a key file must not give: the group may read it, so that a daemon that gives up
/// root can, and nobody else anything.
const TOO_OPEN: u32 = 0o037;

/// Reads the keys. Paths start at `folder`.
pub(super) fn read(tables: &[Table<KeyTable>], folder: &Path, report: &mut Report) -> Keys {
    let mut keys: Vec<TsigKey> = Vec::new();
    for k in tables {
        let place = &k.place;
        if k.name.is_empty() {
            report.error(
                place,
                "name",
                "it is missing; write name = \"mirror\", for example",
            );
            continue;
        }
        let algorithm = match k.algorithm.parse::<Algorithm>() {
            Ok(a) => a,
            Err(e) => {
                report.error(place, "algorithm", e);
                continue;
            }
        };
        match key(
            &k.name,
            algorithm,
            &folder.join(&k.file),
            k.file.as_os_str().is_empty(),
        ) {
            // Two keys of one name: each is tried with those before it.
            Ok(key) => match Keys::new(keys.iter().cloned().chain([key.clone()]).collect()) {
                Ok(_) => keys.push(key),
                Err(e) => report.error(place, "name", e),
            },
            Err((field, e)) => report.error(place, field, e),
        }
    }
    Keys::new(keys).unwrap_or_default()
}

/// One key, or the field that is wrong and why.
fn key(
    name: &str,
    algorithm: Algorithm,
    path: &Path,
    unset: bool,
) -> Result<TsigKey, (&'static str, String)> {
    if unset {
        return Err((
            "file",
            "it is missing: the file with the secret; `orbsd key` makes one".into(),
        ));
    }
    let shown = path.display();
    let text = secret_file(path).map_err(|e| ("file", format!("{shown}: {e}")))?;
    TsigKey::read(name, algorithm, &text).map_err(|(line, e)| ("", format!("{shown}:{line}: {e}")))
}

/// A key of a file in BIND's form, which says what it is called.
pub fn of_file(path: &Path) -> Result<TsigKey, String> {
    let shown = path.display();
    let text = secret_file(path).map_err(|e| format!("{shown}: {e}"))?;
    let (name, algorithm) = TsigKey::told(&text).map_err(|e| format!("{shown}: {e}"))?;
    TsigKey::read(&name, algorithm, &text).map_err(|(line, e)| format!("{shown}:{line}: {e}"))
}

/// A file that only those may read who have to.
fn secret_file(path: &Path) -> Result<String, String> {
    let told = |e: io::Error| e.to_string();
    let file = File::open(path).map_err(told)?;
    let mode = file.metadata().map_err(told)?.permissions().mode() & 0o777;
    if mode & TOO_OPEN != 0 {
        return Err(format!(
            "its mode is {mode:03o}, which is too open for a secret; chmod 600 it, or 640 for the daemon's group"
        ));
    }
    let mut text = String::new();
    file.take(MAX_KEY_FILE as u64 + 1)
        .read_to_string(&mut text)
        .map_err(told)?;
    if text.len() > MAX_KEY_FILE {
        Err(format!("it is longer than {MAX_KEY_FILE} bytes"))
    } else {
        Ok(text)
    }
}
