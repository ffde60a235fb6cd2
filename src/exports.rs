//! Scheduled exports: files of zones that are kept current, for others to fetch.
//!
//! The first line of a file names zone, serial and format. At intervals that line is compared with
//! the first line of a new export; if they differ, the file is written again from one snapshot. So
//! no other state is needed after a restart or if a file was removed. A file is replaced by rename
//! when the new one is complete and synced: a reader sees the old file or the new one, and after an
//! error the old one stays.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::Instant};

use crate::{
    api::ExportStatusResponse,
    index::{Published, Snapshot},
    lists::{
        plain,
        write::{Export, ExportReport},
    },
    model::time::Seconds,
};

/// The longest first line that is read from a file.
const MAX_FIRST_LINE_BYTES: u64 = 4096;
/// Bytes that are written at a time.
const WRITE_BUFFER_BYTES: usize = 256 * 1024;
/// The mode of an exported file, which other users fetch.
const FILE_MODE: u32 = 0o644;
/// The mode of a directory that is created for an exported file.
const DIRECTORY_MODE: u32 = 0o755;
/// The most symbolic links of a path that are followed.
const MAX_LINKS: usize = 40;

/// One file, from an `[[export]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSettings {
    /// The zone's origin.
    pub zone: String,
    /// One of `lists::write::WRITERS`.
    pub format: String,
    /// The action of a policy zone; empty for the default.
    pub action: String,
    /// The file; compressed if its name ends in `.gz`.
    pub path: PathBuf,
    /// How often the zone's serial is checked.
    pub every: Seconds,
}

/// A file and its state.
#[derive(Debug, Clone)]
struct ScheduledFile {
    settings: ExportSettings,
    due: Instant,
    /// The serial in the file.
    serial: Option<u32>,
    /// Why the file could not be written.
    problem: Option<String>,
    /// What the file leaves out or changes; unknown until the daemon has checked the file.
    report: Option<ExportReport>,
}

/// The result of one check of a file.
#[derive(Debug, PartialEq, Eq)]
struct ExportCheck {
    serial: u32,
    /// Whether it was written.
    written: bool,
    /// What the file leaves out or changes; `None` if the caller knows it already.
    report: Option<ExportReport>,
}

/// All scheduled files. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Exports {
    all: Arc<Mutex<Vec<ScheduledFile>>>,
    changed: Arc<Notify>,
    stop: Arc<AtomicBool>,
}

impl Exports {
    /// Replaces the set of files, and checks each at once.
    pub fn set(&self, settings: Vec<ExportSettings>) {
        let mut all = self.lock();
        let old = std::mem::take(&mut *all);
        *all = settings
            .into_iter()
            .map(|settings| {
                let previous = old.iter().find(|o| o.settings == settings);
                ScheduledFile {
                    due: Instant::now(),
                    serial: previous.and_then(|o| o.serial),
                    problem: previous.and_then(|o| o.problem.clone()),
                    report: previous.and_then(|o| o.report.clone()),
                    settings,
                }
            })
            .collect();
        drop(all);
        self.changed.notify_one();
    }

    /// The state of each file.
    pub fn states(&self) -> Vec<ExportStatusResponse> {
        let status = |o: &ScheduledFile| {
            let s = &o.settings;
            let changes = o.report.clone().unwrap_or_default().changes;
            ExportStatusResponse {
                zone: s.zone.clone(),
                format: s.format.clone(),
                path: s.path.clone(),
                interval: s.every.to_string(),
                serial: o.serial,
                problem: o.problem.clone(),
                changes: changes.into_iter().map(Into::into).collect(),
            }
        };
        self.lock().iter().map(status).collect()
    }

    /// Stops the exports. A file that is being written is abandoned.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ScheduledFile>> {
        self.all.lock()
    }

    /// Keeps the files current, one after the other, until [`Exports::stop`]. Files are written on
    /// blocking threads.
    pub async fn run(self, published: Arc<Published>) {
        while !self.stop.load(Ordering::Relaxed) {
            let next = self.lock().iter().map(|o| o.due).min();
            match next {
                Some(due) if due <= Instant::now() => self.check_next(&published).await,
                Some(due) => drop(tokio::time::timeout_at(due, self.changed.notified()).await),
                None => self.changed.notified().await,
            }
        }
    }

    /// Checks the file that is due first.
    async fn check_next(&self, published: &Arc<Published>) {
        let (settings, reported) = {
            let mut all = self.lock();
            let Some(first) = all.iter_mut().min_by_key(|o| o.due) else {
                return;
            };
            first.due = Instant::now() + Duration::from_secs(first.settings.every.0.max(1));
            (first.settings.clone(), first.report.is_some())
        };
        let (snapshot, stop, checked) = (published.snapshot(), self.stop.clone(), settings.clone());
        let refresh = move || refresh(&checked, &snapshot, reported, &stop);
        let result = tokio::task::spawn_blocking(refresh).await;
        let result = result.unwrap_or_else(|e| Err(e.to_string()));
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        if let Some(one) = self.lock().iter_mut().find(|o| o.settings == settings) {
            one.record_result(result);
        }
    }
}

impl ScheduledFile {
    /// Records the result of a check, and logs it if it differs from the last one.
    fn record_result(&mut self, result: Result<ExportCheck, String>) {
        let path = self.settings.path.display();
        match result {
            Ok(ExportCheck {
                serial,
                written,
                report,
            }) => {
                if let Some(report) = report.filter(|r| self.report.as_ref() != Some(r)) {
                    for change in &report.changes {
                        tracing::warn!(%path, serial, kind = ?change.kind, count = change.count, "export differs from the zone: {change}");
                    }
                    if report.is_empty() && self.report.as_ref().is_some_and(|r| !r.is_empty()) {
                        tracing::info!(%path, serial, "export no longer differs from the zone");
                    }
                    self.report = Some(report);
                }
                if self.problem.take().is_some() {
                    tracing::info!(%path, serial, "export is current again");
                } else if written {
                    tracing::debug!(%path, serial, "exported");
                }
                self.serial = Some(serial);
            }
            Err(why) => {
                if self.problem.as_ref() != Some(&why) {
                    tracing::error!(%path, why, "zone could not be exported; the old file stays");
                }
                self.problem = Some(why);
            }
        }
    }
}

/// Writes a file if it is not current. If it is current and `reported` is false, makes its report
/// without writing.
fn refresh(
    s: &ExportSettings,
    snapshot: &Snapshot,
    reported: bool,
    stop: &AtomicBool,
) -> Result<ExportCheck, String> {
    let zone = snapshot
        .zones
        .by_name(&s.zone)
        .ok_or_else(|| format!("the zone {} is not served", s.zone))?;
    if !snapshot.sound {
        return Err("the store is damaged, so exports are not written".into());
    }
    let export = Export::new(&s.format, &s.action, snapshot, zone)?;
    if first_line(&s.path).is_some_and(|l| l == export.first_line()) {
        let report = (!reported).then(|| export.report());
        return Ok(ExportCheck {
            serial: export.serial,
            written: false,
            report,
        });
    }
    let mut report = ExportReport::default();
    if let Some(folder) = s.path.parent() {
        create_public_dirs(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        sweep(&s.path, folder);
    }
    let packed = s.path.extension().is_some_and(|e| e == "gz");
    let written = replace(&s.path, FILE_MODE, |out| {
        let out = Stoppable { out, stop };
        if packed {
            let mut gz = flate2::write::GzEncoder::new(out, flate2::Compression::default());
            report = export.write(&mut BufWriter::with_capacity(WRITE_BUFFER_BYTES, &mut gz))?;
            return gz.finish().map(|_| ());
        }
        let mut out = BufWriter::with_capacity(WRITE_BUFFER_BYTES, out);
        report = export.write(&mut out)?;
        out.flush()
    });
    written.map_err(|e: io::Error| e.to_string())?;
    Ok(ExportCheck {
        serial: export.serial,
        written: true,
        report: Some(report),
    })
}

/// The first line of a file, compressed or not.
fn first_line(path: &Path) -> Option<String> {
    // Opening a pipe would block.
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let file = plain(Box::new(File::open(path).ok()?)).ok()?;
    let mut line = String::new();
    BufReader::new(file.take(MAX_FIRST_LINE_BYTES))
        .read_line(&mut line)
        .ok()?;
    Some(line.strip_suffix('\n')?.to_string())
}

/// A writer that fails when the daemon stops.
struct Stoppable<'s, W> {
    out: W,
    stop: &'s AtomicBool,
}

impl<W: Write> Write for Stoppable<'_, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the daemon is stopping"));
        }
        self.out.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Replaces a file: `fill` writes a new file beside it, which gets its mode, is synced, and is
/// renamed to the file. After an error the old file stays, and the new one is removed. A symbolic
/// link is followed only if it belongs to root or to the user of this process; otherwise another
/// user could make the daemon replace any of its files.
///
/// # Errors
///
/// The file or its folder cannot be written; the error names it.
pub fn replace<E: From<io::Error>>(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let wrong =
        |p: &Path, e: io::Error| E::from(io::Error::new(e.kind(), format!("{}: {e}", p.display())));
    let path = &follow(path, nix::unistd::geteuid().as_raw()).map_err(|e| wrong(path, e))?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let result = create(&beside)
        .map_err(|e| wrong(&beside, e))
        .and_then(|mut file| {
            fill(&mut file)?;
            file.set_permissions(fs::Permissions::from_mode(mode))
                .map_err(|e| wrong(&beside, e))?;
            file.sync_all()
                .and_then(|()| fs::rename(&beside, path))
                .map_err(|e| wrong(path, e))?;
            // The rename has to be on disk too.
            let folder = path
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            File::open(folder)
                .and_then(|f| f.sync_all())
                .map_err(|e| wrong(folder, e))
        });
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    result
}

/// Creates a file, and removes first a file of that name. Never writes through a symbolic link.
fn create(path: &Path) -> io::Result<File> {
    let new = || {
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    };
    match new() {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path).and_then(|()| new())
        }
        created => created,
    }
}

/// Resolves the symbolic links of a path. Links of users other than root and `own` are an error.
/// The file itself may be missing.
fn follow(path: &Path, own: u32) -> io::Result<PathBuf> {
    let (mut out, mut links) = (PathBuf::new(), 0);
    let mut rest: Vec<PathBuf> = parts(path);
    while let Some(part) = rest.pop() {
        let next = out.join(&part);
        let link = fs::symlink_metadata(&next)
            .ok()
            .filter(fs::Metadata::is_symlink);
        let Some(link) = link else {
            out = next;
            continue;
        };
        if link.uid() != 0 && link.uid() != own {
            let why = format!(
                "{} is a symbolic link of another user (uid {}); replace it by a link of root or of the daemon's user",
                next.display(),
                link.uid()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::other("the path has too many symbolic links"));
        }
        let target = fs::read_link(&next)?;
        if target.is_absolute() {
            out = PathBuf::new();
        }
        rest.extend(parts(&target));
    }
    Ok(out)
}

/// The components of a path, the last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    path.components()
        .rev()
        .map(|c| PathBuf::from(c.as_os_str()))
        .collect()
}

/// Creates the missing directories of a path, readable by all users.
fn create_public_dirs(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(DIRECTORY_MODE))?;
    }
    Ok(())
}

/// Removes temporary files that a killed process has left beside a file.
fn sweep(path: &Path, folder: &Path) {
    let Some(name) = path.file_name() else { return };
    let prefix = format!("{}.", name.to_string_lossy());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let pid = file.strip_prefix(&prefix);
        let pid = pid.and_then(|r| r.strip_suffix(".new"));
        let pid = pid.and_then(|p| p.parse::<u32>().ok());
        let runs = |pid: u32| Path::new("/proc").join(pid.to_string()).exists();
        if pid.is_some_and(|p| p == std::process::id() || !runs(p)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{ZoneSet, ZoneView};

    fn snapshot(serial: u32) -> Snapshot {
        let zone = "origin='bl.orbs.example'\nkind='address'\nns=['a.b.example']\ncontact='h@orbs.example'\n";
        let view = ZoneView::new(
            &::toml::from_str(zone).unwrap(),
            &Default::default(),
            &Default::default(),
        )
        .unwrap();
        let zones = Arc::new(ZoneSet::new(vec![view]).unwrap());
        Snapshot {
            zones,
            serials: vec![crate::model::Serial(serial)].into(),
            sound: true,
            ..Snapshot::default()
        }
    }

    fn settings(path: PathBuf) -> ExportSettings {
        ExportSettings {
            zone: "bl.orbs.example".into(),
            format: "list".into(),
            action: String::new(),
            path,
            every: Seconds(1),
        }
    }

    /// The serial that a file has, and whether it was written.
    fn refresh(
        s: &ExportSettings,
        snapshot: &Snapshot,
        stop: &AtomicBool,
    ) -> Result<(u32, bool), String> {
        super::refresh(s, snapshot, true, stop).map(|r| (r.serial, r.written))
    }

    #[test]
    fn file_is_written_when_its_first_line_differs() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.txt", "deep/er/a.txt.gz"] {
            let s = settings(dir.path().join(name));
            let go = AtomicBool::new(false);
            assert_eq!(refresh(&s, &snapshot(7), &go), Ok((7, true)));
            assert_eq!(refresh(&s, &snapshot(7), &go), Ok((7, false)), "{name}");
            assert_eq!(
                first_line(&s.path).unwrap(),
                "# bl.orbs.example serial 7 as list"
            );
            assert_eq!(
                fs::metadata(&s.path).unwrap().permissions().mode() & 0o777,
                0o644
            );
            assert_eq!(refresh(&s, &snapshot(8), &go), Ok((8, true)));
            let other = ExportSettings {
                format: "cidr".into(),
                ..s.clone()
            };
            assert_eq!(
                refresh(&other, &snapshot(8), &go),
                Ok((8, true)),
                "another format at the same serial"
            );
            fs::remove_file(&s.path).unwrap();
            assert_eq!(
                refresh(&s, &snapshot(8), &go),
                Ok((8, true)),
                "the file was removed"
            );
            let left = s.path.with_file_name(format!(
                "{}.{}.new",
                s.path.file_name().unwrap().to_str().unwrap(),
                u32::MAX
            ));
            fs::write(&left, "half").unwrap();
            assert!(
                refresh(&s, &snapshot(9), &AtomicBool::new(true)).is_err(),
                "the daemon is stopping"
            );
            assert_eq!(
                first_line(&s.path).unwrap(),
                "# bl.orbs.example serial 8 as list"
            );
            assert_eq!(
                fs::read_dir(s.path.parent().unwrap())
                    .unwrap()
                    .filter(|e| e.as_ref().unwrap().path().is_file())
                    .count(),
                1
            );
            let unsound = Snapshot {
                sound: false,
                ..snapshot(9)
            };
            assert!(
                refresh(&s, &unsound, &go).is_err()
                    && refresh(
                        &ExportSettings {
                            zone: "x.y".into(),
                            ..s
                        },
                        &snapshot(9),
                        &go
                    )
                    .is_err()
            );
        }
    }

    #[test]
    fn failed_replacement_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("f"), dir.path().join("link"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let half = replace(&link, 0o644, |out| {
            out.write_all(b"ne")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(half.unwrap_err().to_string(), "no more");
        assert_eq!(
            (
                fs::read_to_string(&path).unwrap().as_str(),
                fs::read_dir(dir.path()).unwrap().count()
            ),
            ("old", 2)
        );
        replace(&link, 0o600, |out| out.write_all(b"new")).unwrap();
        assert_eq!(
            (
                fs::read_to_string(&path).unwrap().as_str(),
                fs::symlink_metadata(&link).unwrap().is_symlink()
            ),
            ("new", true)
        );
        assert!(
            replace::<io::Error>(&dir.path().join("no/f"), 0o644, |_| Ok(()))
                .unwrap_err()
                .to_string()
                .contains("no/f")
        );
    }

    #[test]
    fn link_of_another_user_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, real) = (dir.path().join("victim"), dir.path().join("real"));
        fs::write(&victim, "secret").unwrap();
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
        fs::create_dir(&real).unwrap();
        let (link, folder) = (dir.path().join("link"), dir.path().join("folder"));
        std::os::unix::fs::symlink("victim", &link).unwrap();
        std::os::unix::fs::symlink(&real, &folder).unwrap();
        let own = nix::unistd::geteuid().as_raw();
        assert_eq!(follow(&link, own).unwrap(), victim);
        assert_eq!(
            follow(&folder.join("../real/new"), own).unwrap(),
            real.join("../real/new")
        );
        // A loop ends.
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        assert!(follow(&dir.path().join("loop"), own).is_err());
        if own == 0 {
            for l in [&link, &folder] {
                std::os::unix::fs::lchown(l, Some(65534), None).unwrap();
            }
            for path in [link.clone(), folder.join("new")] {
                let e = replace::<io::Error>(&path, 0o644, |out| out.write_all(b"zone"))
                    .unwrap_err()
                    .to_string();
                assert!(e.contains("another user (uid 65534)"), "{e}");
            }
            assert_eq!(
                fs::metadata(&victim).unwrap().permissions().mode() & 0o777,
                0o600
            );
            assert_eq!(fs::read_dir(&real).unwrap().count(), 0);
        } else {
            // A user who does not own the links.
            assert!(
                follow(&link, own + 1).is_err() && follow(&folder.join("new"), own + 1).is_err()
            );
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "secret");
    }

    #[test]
    fn new_file_is_never_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("f"), dir.path().join("victim"));
        fs::write(&victim, "secret").unwrap();
        std::os::unix::fs::symlink(
            &victim,
            dir.path().join(format!("f.{}.new", std::process::id())),
        )
        .unwrap();
        replace::<io::Error>(&path, 0o640, |out| out.write_all(b"zone")).unwrap();
        assert_eq!(
            (
                fs::read_to_string(&victim).unwrap(),
                fs::read_to_string(&path).unwrap()
            ),
            ("secret".into(), "zone".into())
        );
        assert_eq!(
            fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
    }

    #[test]
    fn errors_are_logged_once_for_each_change() {
        let mut one = ScheduledFile {
            settings: settings("x".into()),
            due: Instant::now(),
            serial: Some(6),
            problem: None,
            report: None,
        };
        one.record_result(Err("full".into()));
        assert_eq!(
            (one.serial, one.problem.as_deref()),
            (Some(6), Some("full"))
        );
        one.record_result(Ok(ExportCheck {
            serial: 7,
            written: true,
            report: Some(ExportReport::default()),
        }));
        assert_eq!((one.serial, one.problem.as_deref()), (Some(7), None));
        one.record_result(Ok(ExportCheck {
            serial: 7,
            written: false,
            report: None,
        }));
        assert_eq!(
            one.report,
            Some(ExportReport::default()),
            "a check without a report keeps the last report"
        );
    }

    #[test]
    fn current_file_gets_its_report_once_after_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let (s, go) = (settings(dir.path().join("a.txt")), AtomicBool::new(false));
        let known = |reported: bool| super::refresh(&s, &snapshot(7), reported, &go).unwrap();
        assert_eq!(
            (
                known(false).written,
                known(false).report.is_some(),
                known(true).report
            ),
            (true, true, None)
        );
    }
}
