//! The paths of the socket and the store, and warnings of files that other users can read.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::Config;
use crate::store::private::readable_by_others;

/// Reads the path of the socket from a configuration file, which may have errors elsewhere.
///
/// # Errors
///
/// The file cannot be read, or is not TOML.
pub fn socket(path: &Path) -> Result<PathBuf, String> {
    let file = read_table(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(socket_path(
        path_in(&file, "admin", "socket").as_deref(),
        folder,
        &store_in(&file, folder),
    ))
}

/// Reads the path of the store from a configuration file, which may have errors elsewhere.
///
/// # Errors
///
/// The file cannot be read, or is not TOML.
pub fn store_path(path: &Path) -> Result<PathBuf, String> {
    let file = read_table(path)?;
    Ok(store_in(&file, path.parent().unwrap_or(Path::new(""))))
}

fn read_table(path: &Path) -> Result<toml::Table, String> {
    let shown = path.display();
    let text = super::document::read_bytes(path)
        .and_then(|b| String::from_utf8(b).map_err(std::io::Error::other))
        .map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied => {
                format!("{shown}: {e}; name the daemon's socket with --socket")
            }
            _ => format!("{shown}: {e}"),
        })?;
    text.parse()
        .map_err(|e: toml::de::Error| format!("{shown}: {}", e.message()))
}

fn path_in(file: &toml::Table, table: &str, key: &str) -> Option<PathBuf> {
    file.get(table)?.get(key)?.as_str().map(PathBuf::from)
}

fn store_in(file: &toml::Table, folder: &Path) -> PathBuf {
    folder.join(path_in(file, "store", "path").unwrap_or_else(|| DEFAULT_STORE.into()))
}

/// The default of `[store] path`.
pub(super) const DEFAULT_STORE: &str = "data";

/// The path of the socket: as configured, or else in the directory `run` beside the configuration,
/// which members of a group may enter. If `[store] path` is set, the store may be the only directory
/// that the daemon can write to: then the socket is in the store, where only root and the daemon's
/// user can connect to it.
pub(super) fn socket_path(configured: Option<&Path>, folder: &Path, store: &Path) -> PathBuf {
    match configured {
        Some(path) => folder.join(path),
        None if store == folder.join(DEFAULT_STORE) => folder.join("run/orbsd.sock"),
        None => store.join("orbsd.sock"),
    }
}

impl Config {
    /// Warnings of a store, removal log or key that other users of this machine can read, and of a
    /// socket that the members of its group cannot reach.
    pub fn readable_files(&self) -> Vec<String> {
        let removals = self.ledger.removals.as_deref();
        let private = [
            Some(self.store.path.as_path()),
            removals,
            Some(self.probe.key.as_path()),
        ];
        let mut out: Vec<String> = private
            .into_iter()
            .flatten()
            .filter_map(readable_by_others)
            .collect();
        let folder = self.socket.parent();
        if !self.socket_group.is_empty() && folder == Some(self.store.path.as_path()) {
            out.push(format!(
                "admin.socket: members of `{}` cannot reach {}, since only the daemon's user may enter the store's directory; set another path",
                self.socket_group,
                self.socket.display()
            ));
        }
        out
    }
}
