//! `[[key]]` tables: the keys for TSIG, and the files with their secrets.

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
use crate::model::{
    Algorithm, Keys, TsigKey,
    key::{MAX_KEY_FILE, key_name},
};

/// The permissions that a key file must not have. Its group may read it, because a daemon that has
/// dropped its privileges reads it as a member of the group.
const TOO_OPEN: u32 = 0o037;

/// Reads the keys. Paths start at `folder`.
pub(super) fn read(tables: &[Table<KeyTable>], folder: &Path, report: &mut Report) -> Keys {
    let mut keys: Vec<TsigKey> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for k in tables {
        let name = match key_name(&k.name) {
            _ if k.name.is_empty() => {
                Err("it is missing; write name = \"mirror\", for example".into())
            }
            Ok(name) if names.contains(&name) => Err(format!(
                "the key `{name}` is there twice; rename or remove one"
            )),
            name => name,
        };
        let path = folder.join(&k.file);
        let text = match k.file.as_os_str().is_empty() {
            true => {
                Err("it is missing; write the file with the secret (`orbsd key` makes one)".into())
            }
            false => secret_file(&path).map_err(|e| format!("{}: {e}", path.display())),
        };
        let mut table = report.of(&k.place);
        let name = table.value("name", name);
        names.extend(name.iter().cloned());
        let algorithm = table.value("algorithm", k.algorithm.parse::<Algorithm>());
        let text = table.value("file", text);
        if let (Some(_), Some(algorithm), Some(text)) = (name, algorithm, text) {
            match TsigKey::read(&k.name, algorithm, &text) {
                Ok(key) => keys.push(key),
                Err((line, e)) => {
                    table.error("", format_args!("{}:{line}: {e}", path.display()));
                }
            }
        }
    }
    Keys::new(keys).unwrap_or_default()
}

/// Reads a key file with a `key` clause of BIND, which contains the name of the key.
pub fn of_file(path: &Path) -> Result<TsigKey, String> {
    let shown = path.display();
    let text = secret_file(path).map_err(|e| format!("{shown}: {e}"))?;
    let (name, algorithm) = TsigKey::parse_header(&text).map_err(|e| format!("{shown}: {e}"))?;
    TsigKey::read(&name, algorithm, &text).map_err(|(line, e)| format!("{shown}:{line}: {e}"))
}

/// Reads a key file, and refuses one that other users can read.
fn secret_file(path: &Path) -> Result<String, String> {
    let text_of = |e: io::Error| e.to_string();
    let file = File::open(path).map_err(text_of)?;
    let mode = file.metadata().map_err(text_of)?.permissions().mode() & 0o777;
    if mode & TOO_OPEN != 0 {
        return Err(format!(
            "its mode is {mode:03o}, which is too open for a secret; chmod 600 it, or 640 for the daemon's group"
        ));
    }
    let mut text = String::new();
    file.take(MAX_KEY_FILE as u64 + 1)
        .read_to_string(&mut text)
        .map_err(text_of)?;
    if text.len() > MAX_KEY_FILE {
        Err(format!("it is longer than {MAX_KEY_FILE} bytes"))
    } else {
        Ok(text)
    }
}
