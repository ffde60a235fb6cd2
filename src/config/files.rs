//! Files of the configuration: where the socket is, and which that hold secrets others can read.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{AdminFile, Config};
use crate::store::private::readable_by_others;

/// The socket that a configuration file names; nothing else in it has to be sound or readable.
///
/// # Errors
///
/// Says why the file cannot be read, or is no TOML.
pub fn socket(path: &Path) -> Result<PathBuf, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
        ErrorKind::PermissionDenied => format!("{shown}: {e}; name the daemon's socket with --socket"),
        _ => format!("{shown}: {e}"),
    })?;
    let file: toml::Table = text.parse().map_err(|e: toml::de::Error| format!("{shown}: {}", e.message()))?;
    let named = file.get("admin").and_then(|a| a.get("socket")).and_then(toml::Value::as_str);
    let socket = named.map_or_else(|| AdminFile::default().socket, PathBuf::from);
    Ok(path.parent().unwrap_or(Path::new("")).join(socket))
}

impl Config {
    /// Warnings of the store, the removal log and keys that other users of this machine can read, and of a socket that they
    /// cannot reach.
    pub fn readable_files(&self) -> Vec<String> {
        let removals = self.ledger.removals.as_deref();
        let private = [Some(self.store.path.as_path()), removals, Some(self.probe.key.as_path())];
        let mut out: Vec<String> = private.into_iter().flatten().filter_map(readable_by_others).collect();
        let folder = self.socket.parent();
        if !self.socket_group.is_empty() && folder == Some(self.store.path.as_path()) {
            out.push(format!(
                "admin.socket: members of `{}` cannot reach {}, since nobody but the daemon's user may enter the store's directory; put the socket into another one",
                self.socket_group,
                self.socket.display()
            ));
        }
        out
    }
}
