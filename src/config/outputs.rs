//! Checks of the files that the daemon writes to configured paths: none may overwrite another file
//! of the configuration or of the store.

use std::{
    ffi::OsStr,
    fs,
    path::{Component, Path, PathBuf},
};

use super::{
    Config,
    document::{Report, TableReport},
    tables::{FeedKind, File},
};

/// A file or folder that nothing else may be written to.
struct OccupiedPath {
    /// Its description in an error.
    what: &'static str,
    path: PathBuf,
    /// Whether everything below it is occupied, too.
    folder: bool,
}

impl OccupiedPath {
    fn file(what: &'static str, path: &Path) -> OccupiedPath {
        OccupiedPath {
            what,
            path: resolve(path),
            folder: false,
        }
    }

    fn folder(what: &'static str, path: &Path) -> OccupiedPath {
        OccupiedPath {
            folder: true,
            ..OccupiedPath::file(what, path)
        }
    }
}

/// The absolute path, without `.` and `..`, and with the links of its existing part resolved.
fn resolve(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            part => {
                out.push(part);
                out = fs::canonicalize(&out).unwrap_or(out);
            }
        }
    }
    out
}

/// The file that a path would overwrite, if any.
fn overwritten<'o>(
    path: &Path,
    occupied: impl IntoIterator<Item = &'o OccupiedPath>,
) -> Option<&'static str> {
    let hits = |o: &&OccupiedPath| path == o.path || o.folder && path.starts_with(&o.path);
    occupied.into_iter().find(hits).map(|o| o.what)
}

/// The store, if a path is its folder or may be that of one of the database's own files.
fn overwritten_store(path: &Path, store: &OccupiedPath) -> Option<&'static str> {
    let is_own = path == store.path || is_database_file(path.file_name());
    (path.starts_with(&store.path) && is_own).then_some(store.what)
}

/// Whether a name in the store's folder may be that of one of the database's own files.
fn is_database_file(name: Option<&OsStr>) -> bool {
    let name = name.unwrap_or_default().to_string_lossy();
    let numbered = name
        .split_once('.')
        .is_some_and(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let fixed = [
        "CURRENT",
        "IDENTITY",
        "LOCK",
        "LOG",
        "clock",
        "mirrors.json",
    ];
    let mut prefixes = ["MANIFEST-", "OPTIONS-", "LOG.old."].iter();
    numbered || fixed.contains(&&*name) || prefixes.any(|p| name.starts_with(p))
}

/// Reports an output that would overwrite something.
fn refuse(report: &mut TableReport<'_>, key: &str, path: &Path, what: Option<&str>) {
    if let Some(what) = what {
        let path = path.display();
        let text = format_args!("{path} would be written over {what}; name another path");
        report.error(key, text);
    }
}

/// Reports outputs that would overwrite something.
pub(super) fn check(file: &File, path: &Path, config: &Config, report: &mut Report) {
    let mut used = inputs(file, path, config);
    used.push(OccupiedPath::file(
        "the record of the clock",
        &config.clock(),
    ));
    used.push(OccupiedPath::file(
        "the file of erasures",
        &config.erasures(),
    ));
    used.push(OccupiedPath::file(
        "the figures of the last days",
        &config.statistics(),
    ));
    used.push(OccupiedPath::folder(
        "the folder of the daily figures",
        &config.quality(),
    ));
    let mirrors = config.mirrors();
    used.extend(
        mirrors
            .iter()
            .map(|p| OccupiedPath::file("the state of the mirrors", p)),
    );
    let store = OccupiedPath::folder("the store", &config.store.path);
    let socket = OccupiedPath::file("the socket", &config.socket);
    let removals = config.ledger.removals.as_deref();
    let removals = removals.map(|p| OccupiedPath::file("the removal log", p));
    if let Some(log) = &removals {
        let what = overwritten_store(&log.path, &store)
            .or_else(|| overwritten(&log.path, used.iter().chain([&socket])));
        refuse(
            &mut report.of(&file.removal_log.place),
            "path",
            &log.path,
            what,
        );
    }
    let what = overwritten_store(&socket.path, &store).or_else(|| overwritten(&socket.path, &used));
    refuse(
        &mut report.of(&file.admin.place),
        "socket",
        &socket.path,
        what,
    );
    let folder = path.parent().unwrap_or(Path::new(""));
    // The store is checked after the files in its folder, which have descriptions of their own.
    used.push(socket);
    used.extend(removals);
    used.push(store);
    for e in file.export.iter().filter(|e| e.path.file_name().is_some()) {
        let export = OccupiedPath::file("the file of another [[export]]", &folder.join(&e.path));
        let mut report = report.of(&e.place);
        refuse(
            &mut report,
            "path",
            &e.path,
            overwritten(&export.path, &used),
        );
        let text = format_args!("{} is a folder; name a file", e.path.display());
        report.error_if(export.path.is_dir(), "path", text);
        used.push(export);
    }
}

/// The files of the configuration, the files that it names as inputs, and the secret of relay tests.
fn inputs(file: &File, path: &Path, config: &Config) -> Vec<OccupiedPath> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut out = vec![
        OccupiedPath::file("the configuration", path),
        OccupiedPath::folder("the folder of the zone files", &config.zones),
        OccupiedPath::file("the secret of relay tests", &config.probe.key),
    ];
    // A zone file may be a link to one elsewhere.
    let entries = fs::read_dir(&config.zones).into_iter().flatten().flatten();
    let zones = entries.map(|e| e.path());
    let zones = zones.filter(|p| p.extension().is_some_and(|e| e == "toml"));
    out.extend(zones.map(|p| OccupiedPath::file("a zone file", &p)));
    let fixed = [
        ("the certificate", &file.tls.certificate),
        ("the certificate's key", &file.tls.key),
        ("[tls] client_ca", &file.tls.client_ca),
        ("[probe] catalogue", &file.probe.catalogue),
        ("[probe] asn_table", &file.probe.asn_table),
        ("[netblocks] known_senders", &file.netblocks.known_senders),
    ];
    let keys = file.key.iter().map(|k| ("the file of a [[key]]", &k.file));
    let feeds = file.feed.iter().filter(|f| f.kind == FeedKind::File);
    let feeds = feeds.map(|f| ("the file of a [[feed]]", &f.path));
    let named = fixed.into_iter().chain(keys).chain(feeds);
    let named = named.filter(|(_, path)| !path.as_os_str().is_empty());
    out.extend(named.map(|(what, path)| OccupiedPath::file(what, &folder.join(path))));
    out
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::super::{
        Config,
        tests::{ZONE, load},
    };

    #[test]
    fn an_output_overwrites_no_other_file() {
        let export = |path: &str| format!("[[export]]\nzone='bl'\nformat='list'\npath='{path}'\n");
        let tls =
            "[tls]\nlisten=['127.0.0.1:853']\ncertificate='tls/cert.pem'\nkey='tls/key.pem'\n";
        for (text, what) in [
            (export("config.toml"), "the configuration"),
            (export("./out/../config.toml"), "the configuration"),
            (export("zones/bl.toml"), "the folder of the zone files"),
            (export("zones/new"), "the folder of the zone files"),
            (export("zones"), "the folder of the zone files"),
            (export("data/CURRENT"), "the store"),
            (export("data/removals.log"), "the removal log"),
            (export("data/clock"), "the record of the clock"),
            (export("data.mirrors.json"), "the state of the mirrors"),
            (export("data.erasures.json"), "the file of erasures"),
            (
                export("data.statistics.json"),
                "the figures of the last days",
            ),
            (
                export("data.quality/2026-01-01.json"),
                "the folder of the daily figures",
            ),
            (export("run/orbsd.sock"), "the socket"),
            (export("data/probe.key"), "the secret of relay tests"),
            (
                format!("{tls}{}", export("tls/key.pem")),
                "the certificate's key",
            ),
            (
                format!("{tls}{}", export("tls/cert.pem")),
                "the certificate",
            ),
            (
                format!(
                    "[[feed]]\nname='x'\nreason='relay'\npath='in'\n{}",
                    export("in")
                ),
                "the file of a [[feed]]",
            ),
            (
                format!("{}{}", export("out/a"), export("out/./b/../a")),
                "the file of another [[export]]",
            ),
            (
                "[removal_log]\npath='config.toml'\n".into(),
                "the configuration",
            ),
            (
                "[removal_log]\npath='zones/x'\n".into(),
                "the folder of the zone files",
            ),
            (
                "[removal_log]\npath='data/000012.log'\n".into(),
                "the store",
            ),
            ("[removal_log]\npath='data'\n".into(), "the store"),
            (
                "[removal_log]\npath='run/orbsd.sock'\n".into(),
                "the socket",
            ),
            (
                "[admin]\nsocket='zones/bl.toml'\n".into(),
                "the folder of the zone files",
            ),
            ("[admin]\nsocket='data/LOCK'\n".into(), "the store"),
        ] {
            let e = load(&format!("[[reason]]\nname='relay'\n{text}"), ZONE)
                .unwrap_err()
                .to_string();
            assert!(
                e.contains(&format!("would be written over {what};")),
                "{text}: {e}"
            );
        }
        for text in [
            export("out/bl.list"),
            format!("{}{}", export("a"), export("b")),
            "[removal_log]\npath='data/removals.log'\n[admin]\nsocket='data/orbsd.sock'\n".into(),
        ] {
            load(&format!("[[reason]]\nname='relay'\n{text}"), ZONE).unwrap();
        }
    }

    #[test]
    fn links_of_an_output_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        fs::create_dir(at("zones")).unwrap();
        fs::create_dir(at("elsewhere")).unwrap();
        fs::write(at("elsewhere/zone"), ZONE).unwrap();
        symlink(at("elsewhere/zone"), at("zones/bl.toml")).unwrap();
        symlink(dir.path(), at("here")).unwrap();
        symlink(at("config.toml"), at("link")).unwrap();
        let load = |path: &Path| {
            let export = format!(
                "[[reason]]\nname='relay'\n[[export]]\nzone='bl'\nformat='list'\npath='{}'\n",
                path.display()
            );
            fs::write(at("config.toml"), export).unwrap();
            Config::load(&at("config.toml"))
                .map(drop)
                .map_err(|e| e.to_string())
        };
        for (path, what) in [
            (at("elsewhere/zone"), "a zone file"),
            (at("here/config.toml"), "the configuration"),
            (at("here/zones/x"), "the folder of the zone files"),
            (at("link"), "the configuration"),
        ] {
            let e = load(&path).unwrap_err();
            assert!(e.contains(&format!("would be written over {what};")), "{e}");
        }
        assert!(
            load(&at("elsewhere"))
                .unwrap_err()
                .contains("is a folder; name a file")
        );
        load(&at("here/out")).unwrap();
    }
}
