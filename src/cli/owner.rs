//! Gives files that root has written with a command to the user of the daemon.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, lchown},
    path::Path,
};

use super::CliError;
use crate::{config::Config, server::sys};

/// A user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    /// The user id.
    pub(super) user: u32,
    group: u32,
}

/// The owner of the daemon's files, if root runs the command and the daemon is not root: the user of
/// `[process] user`, or else the owner of the store's folder or of the nearest existing folder above.
pub(super) fn of_daemon(config: &Config) -> Result<Option<Owner>, CliError> {
    if !sys::is_root() {
        return Ok(None);
    }
    if !config.user.is_empty() {
        let missing =
            || CliError::Refused(format!("process.user: there is no user `{}`", config.user));
        return of_user(&config.user)?.ok_or_else(missing).map(Some);
    }
    Ok(of_folder(&config.store.path))
}

/// The owner with the name of a user and their group; `None` if this machine has no such user.
pub(super) fn of_user(name: &str) -> Result<Option<Owner>, CliError> {
    let found = nix::unistd::User::from_name(name)
        .map_err(|e| CliError::Refused(format!("user {name}: {e}")))?;
    Ok(found.map(|user| Owner {
        user: user.uid.as_raw(),
        group: user.gid.as_raw(),
    }))
}

/// The owner of a folder, or of the nearest existing folder above it; `None` if it is root.
fn of_folder(path: &Path) -> Option<Owner> {
    let path = std::path::absolute(path).ok()?;
    let found = path.ancestors().find_map(|p| fs::metadata(p).ok())?;
    (found.uid() != 0).then_some(Owner {
        user: found.uid(),
        group: found.gid(),
    })
}

/// A warning that a folder which a command has written belongs to root although the folder above
/// does not, so that a daemon of that owner could not open it; `None` if it is not so.
pub(super) fn warning_of_root(folder: &Path) -> Option<String> {
    let folder = std::path::absolute(folder).ok()?;
    let above = of_folder(folder.parent()?)?;
    let is_of_root = fs::metadata(&folder).is_ok_and(|m| m.uid() == 0);
    is_of_root.then(|| {
        format!(
            "{place} belongs to root, and the folder above it to uid {user}; if the daemon runs as that user, run `chown -R {user}:{group} {place}` before it starts",
            place = folder.display(),
            user = above.user,
            group = above.group,
        )
    })
}

impl Owner {
    /// Changes the owner of a file, or of a folder and its content. Only files of root are changed, and
    /// links are not. A missing file is not an error.
    pub(super) fn give(self, path: &Path) -> Result<(), CliError> {
        self.give_all(path).map_err(|e| {
            CliError::Refused(format!(
                "{}: it cannot be given to uid {}: {e}",
                path.display(),
                self.user
            ))
        })
    }

    /// Changes the group of a file of the configuration, which the daemon reads.
    pub(super) fn let_group_read(self, path: &Path) -> Result<(), CliError> {
        lchown(path, None, Some(self.group)).map_err(|e| {
            CliError::Refused(format!(
                "{}: it cannot be given to gid {}: {e}",
                path.display(),
                self.group
            ))
        })
    }

    fn give_all(self, path: &Path) -> io::Result<()> {
        let found = match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        if found.is_dir() {
            for entry in fs::read_dir(path)? {
                self.give_all(&entry?.path())?;
            }
        }
        let own = found.is_dir() || (found.is_file() && found.nlink() == 1);
        if own && found.uid() == 0 {
            lchown(path, Some(self.user), Some(self.group))
        } else {
            Ok(())
        }
    }
}

/// The highest folder above a path that does not exist.
pub(super) fn missing_folder(path: &Path) -> Option<&Path> {
    path.ancestors()
        .skip(1)
        .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_root_are_given_to_the_owner_of_the_folder_and_links_are_not_followed() {
        if !sys::is_root() {
            eprintln!("skipped: only root gives files away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (state, store, outside) = (
            dir.path().join("state"),
            dir.path().join("state/data"),
            dir.path().join("outside"),
        );
        fs::create_dir_all(store.join("sub")).unwrap();
        for file in [&outside, &store.join("a"), &store.join("sub/b")] {
            fs::write(file, "x").unwrap();
        }
        fs::hard_link(&outside, store.join("hard")).unwrap();
        std::os::unix::fs::symlink(&outside, store.join("soft")).unwrap();
        assert_eq!(of_folder(&state.join("not/yet")), None, "of root");
        lchown(&state, Some(4711), Some(4712)).unwrap();
        let owner = of_folder(&state.join("not/yet")).unwrap();
        assert_eq!(
            owner,
            Owner {
                user: 4711,
                group: 4712
            }
        );
        let warning = warning_of_root(&store).unwrap();
        let expected = format!("run `chown -R 4711:4712 {}`", store.display());
        assert!(warning.contains(&expected), "{warning}");
        assert_eq!(warning_of_root(&outside), None, "all of root");
        assert!(owner.give(&state.join("nothing")).is_ok() && owner.give(&store).is_ok());
        let uid = |p: &Path| fs::metadata(p).map(|m| (m.uid(), m.gid())).unwrap();
        for given in [
            &store,
            &store.join("a"),
            &store.join("sub"),
            &store.join("sub/b"),
        ] {
            assert_eq!(uid(given), (4711, 4712), "{}", given.display());
        }
        assert_eq!(uid(&outside), (0, 0));
        assert_eq!(warning_of_root(&store), None, "given away");
        assert_eq!(
            missing_folder(&state.join("new/keys/k")),
            Some(&*state.join("new"))
        );
        assert_eq!(missing_folder(&state.join("k")), None);
    }
}
