//! The modes of files that commands create.

use std::{os::unix::fs::PermissionsExt, path::Path, sync::OnceLock};

/// What the user's umask takes from the modes of new files.
static USER_UMASK: OnceLock<u32> = OnceLock::new();

/// Makes every file and directory that any command creates one of its owner alone. What is meant
/// for others gets its mode by name.
pub(super) fn restrict_new_files() {
    let usual = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let _ = USER_UMASK.set(usual.bits());
}

/// The mode of a file that the user has a command write: that of the file that is there, or what
/// the user's umask leaves.
pub(super) fn user_file_mode(path: &Path) -> u32 {
    let there = std::fs::metadata(path).map(|m| m.permissions().mode() & 0o777);
    there.unwrap_or(0o666 & !USER_UMASK.get().copied().unwrap_or(0o077))
}
