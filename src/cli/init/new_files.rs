//! The files that `orbsd init` creates: none replaces another one, and all are removed again if the
//! command fails.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::{cli::CliError, store::private::create_file};

/// New files and folders, in the order in which they were created. They are removed when it is
/// dropped before [`NewFiles::keep`].
#[derive(Default)]
pub(super) struct NewFiles(Vec<PathBuf>);

impl NewFiles {
    /// Creates a folder with a mode, and its missing parents with the same one. An existing folder is
    /// not changed.
    pub(super) fn folder(&mut self, path: &Path, mode: u32) -> Result<(), CliError> {
        let missing = path.ancestors().filter(|p| !p.as_os_str().is_empty());
        let missing: Vec<&Path> = missing.take_while(|p| !p.is_dir()).collect();
        for folder in missing.into_iter().rev() {
            self.create(folder, |path| {
                DirBuilder::new().mode(mode).create(path)?;
                // Whatever the umask is.
                fs::set_permissions(path, Permissions::from_mode(mode))
            })?;
        }
        Ok(())
    }

    /// Creates a file with a mode.
    pub(super) fn file(&mut self, path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
        self.create(path, |path| {
            create_file(path, text.as_bytes())?;
            fs::set_permissions(path, Permissions::from_mode(mode))
        })
    }

    /// Includes a file or folder that another function creates, unless it exists already.
    pub(super) fn include(&mut self, path: PathBuf) {
        if path.symlink_metadata().is_err() {
            self.0.push(path);
        }
    }

    /// Renames a new file to a name that does not exist.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), CliError> {
        renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
            .map_err(|e| failed(to, &io::Error::from(e)))?;
        self.0.push(to.into());
        Ok(())
    }

    /// Keeps all of them.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }

    fn create(
        &mut self,
        path: &Path,
        create: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), CliError> {
        // One that exists belongs to somebody else, and is not removed.
        if path.symlink_metadata().is_ok() {
            return Err(failed(path, &io::ErrorKind::AlreadyExists.into()));
        }
        self.0.push(path.into());
        create(path).map_err(|e| failed(path, &e))
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _ = match path.is_dir() && !path.is_symlink() {
                true => fs::remove_dir_all(path),
                false => fs::remove_file(path),
            };
        }
    }
}

fn failed(path: &Path, e: &io::Error) -> CliError {
    CliError::Refused(format!(
        "{}: {e}; nothing was changed: correct this, or name another folder",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn dropped_files_are_removed_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mine = dir.path().join("mine");
        fs::write(&mine, "mine").unwrap();
        {
            let mut files = NewFiles::default();
            files.folder(dir.path(), 0o700).unwrap();
            files.folder(&dir.path().join("a/b"), 0o750).unwrap();
            files
                .file(&dir.path().join("a/b/c"), "text", 0o640)
                .unwrap();
            files.include(dir.path().join("store"));
            files.include(mine.clone());
            fs::create_dir_all(dir.path().join("store/sub")).unwrap();
            files
                .rename(&dir.path().join("a/b/c"), &dir.path().join("d"))
                .unwrap();
            let error = files.file(&mine, "other", 0o640).unwrap_err();
            assert!(error.text().contains("mine: "), "{}", error.text());
            fs::write(dir.path().join("a/b/c"), "").unwrap();
            let error = files.rename(&dir.path().join("a/b/c"), &mine).unwrap_err();
            assert!(error.text().contains("mine: "), "{}", error.text());
        }
        assert_eq!(names(dir.path()), ["mine"]);
        assert_eq!(fs::read_to_string(mine).unwrap(), "mine");
    }

    #[test]
    fn kept_files_have_their_modes() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = NewFiles::default();
        let (folder, file) = (dir.path().join("a/b"), dir.path().join("a/b/c"));
        files.folder(&folder, 0o750).unwrap();
        files.file(&file, "text", 0o640).unwrap();
        files.keep();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&folder), mode(&file)), (0o750, 0o640));
        assert_eq!(fs::read_to_string(file).unwrap(), "text");
    }
}
