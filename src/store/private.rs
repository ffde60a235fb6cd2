//! Directories and files that only their owner may read: the store, the removal log, keys and
//! backups.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The mode bits of a group and of others.
const NOT_OWNER: u32 = 0o077;

/// Creates a directory and its missing parents with the mode 0700, whatever the umask.
pub fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a new file with the mode 0600 in a directory that is created if it is missing.
pub fn create_file(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        create_dir(folder)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Creates a directory or uses an existing one, and makes it (0700) and the files in it (0600)
/// private. Files of another user are not changed; `orbsd check` warns about them.
pub fn restrict_dir(path: &Path) -> io::Result<()> {
    create_dir(path)?;
    restrict(path, 0o700);
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_file()) {
            restrict(&entry.path(), 0o600);
        }
    }
    Ok(())
}

/// Makes a file private (0600) if it belongs to this user.
pub fn restrict_file(path: &Path) {
    restrict(path, 0o600);
}

fn restrict(path: &Path, mode: u32) {
    if fs::symlink_metadata(path).is_ok_and(|m| m.mode() & NOT_OWNER != 0) {
        let _ = fs::set_permissions(path, Permissions::from_mode(mode));
    }
}

/// The mode of a file or directory that users other than its owner can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenMode {
    /// The file or directory.
    pub path: PathBuf,
    /// Whether every user of this machine can read it, and not only its group.
    pub is_for_all: bool,
    /// What is wrong with the mode.
    pub problem: String,
    /// The command that makes it private.
    pub command: String,
}

/// The mode of a file or directory if users other than its owner can read it; `None` if only the
/// owner can, or it does not exist.
pub fn open_mode(path: &Path) -> Option<OpenMode> {
    let meta = fs::metadata(path).ok()?;
    let mode = meta.mode() & 0o7777;
    let who = match (mode & NOT_OWNER, mode & 0o007) {
        (0, _) => return None,
        (_, 0) => "its group",
        _ => "every user of this machine",
    };
    let right = if meta.is_dir() { "700" } else { "600" };
    Some(OpenMode {
        path: path.into(),
        is_for_all: mode & 0o007 != 0,
        problem: format!("its mode is {mode:04o}, so {who} can read its secrets"),
        command: format!("chmod {right} {}", path.display()),
    })
}

/// A warning that users other than the owner can read a file or directory, with the command that
/// changes it; `None` if only the owner can read it, or it does not exist.
pub fn readable_by_others(path: &Path) -> Option<String> {
    let open = open_mode(path)?;
    Some(format!(
        "{}: {}; run `{}`",
        path.display(),
        open.problem,
        open.command
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn readable_directory_becomes_private_with_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let (store, file) = (
            dir.path().join("a/store"),
            dir.path().join("a/store/000001.sst"),
        );
        create_dir(&store).unwrap();
        assert_eq!((mode(&dir.path().join("a")), mode(&store)), (0o700, 0o700));
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&store, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let warning = readable_by_others(&store).unwrap();
        assert!(
            warning.contains("0755")
                && warning.contains("every user")
                && warning.contains("chmod 700"),
            "{warning}"
        );
        restrict_dir(&store).unwrap();
        assert_eq!((mode(&store), mode(&file)), (0o700, 0o600));
        assert_eq!(readable_by_others(&store), None);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        assert!(readable_by_others(&file).unwrap().contains("its group"));
        assert_eq!(readable_by_others(&dir.path().join("nothing")), None);
    }
}
