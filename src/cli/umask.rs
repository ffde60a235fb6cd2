//! The modes of files that commands create.

use std::{os::unix::fs::PermissionsExt, path::Path, sync::OnceLock};

/// The user's umask.
static USER_UMASK: OnceLock<u32> = OnceLock::new();

/// Makes every file and directory that a command creates private to its owner, unless the command
/// sets its mode.
pub(super) fn restrict_new_files() {
    let usual = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let _ = USER_UMASK.set(usual.bits());
}

/// The mode of an output file: that of the existing file, or the one of the user's umask.
pub(super) fn user_file_mode(path: &Path) -> u32 {
    let there = std::fs::metadata(path).map(|m| m.permissions().mode() & 0o777);
    there.unwrap_or(0o666 & !USER_UMASK.get().copied().unwrap_or(0o077))
}
