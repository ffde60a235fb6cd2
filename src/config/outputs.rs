//! Checks of the files that the daemon writes to configured paths: none may overwrite another file
//! of the configuration or of the store.

use std::{
    ffi::OsStr,
    fs,
    path::{Component, Path, PathBuf},
};

use super::{
    Config,
    document::{Place, Report},
    tables::{FeedKind, File},
};
use crate::feeds::FeedSource;

/// A file or folder that nothing else may be written to.
struct Occupied {
    /// Its description in an error.
    what: String,
    path: PathBuf,
    /// Whether everything below it is occupied, too.
    folder: bool,
}

/// A path as the system finds it: absolute, without `.` and `..`, and with links followed as far as
/// there is something.
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
    occupied: impl IntoIterator<Item = &'o Occupied>,
) -> Option<&'o str> {
    let hits = |o: &&Occupied| path == o.path || o.folder && path.starts_with(&o.path);
    occupied.into_iter().find(hits).map(|o| o.what.as_str())
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
    numbered
        || fixed.contains(&&*name)
        || ["MANIFEST-", "OPTIONS-", "LOG.old."]
            .iter()
            .any(|p| name.starts_with(p))
}

/// Reports outputs that would overwrite something.
pub(super) fn check(file: &File, path: &Path, config: &Config, report: &mut Report) {
    let inputs = inputs(file, path, config);
    let store = Occupied {
        what: "the store".into(),
        path: resolve(&config.store.path),
        folder: true,
    };
    let own = own_files(config);
    let exact = |what: &str, path: &Path| Occupied {
        what: what.into(),
        path: resolve(path),
        folder: false,
    };
    let socket = exact("the socket", &config.socket);
    let removals = config
        .ledger
        .removals
        .as_deref()
        .map(|p| exact("the removal log", p));
    let refuse =
        |place: &Place, key: &str, path: &Path, what: Option<&str>, report: &mut Report| {
            if let Some(what) = what {
                report.error(
                    place,
                    key,
                    format_args!(
                        "{} would be written over {what}; name another path",
                        path.display()
                    ),
                );
            }
        };
    if let Some(log) = &removals {
        let in_store = log.path.starts_with(&store.path)
            && (log.path == store.path || is_database_file(log.path.file_name()));
        let what = Some("the store")
            .filter(|_| in_store)
            .or_else(|| overwritten(&log.path, inputs.iter().chain(&own).chain([&socket])));
        refuse(&file.removal_log.place, "path", &log.path, what, report);
    }
    let in_store = socket.path.starts_with(&store.path)
        && (socket.path == store.path || is_database_file(socket.path.file_name()));
    let what = Some("the store")
        .filter(|_| in_store)
        .or_else(|| overwritten(&socket.path, inputs.iter().chain(&own)));
    refuse(&file.admin.place, "socket", &socket.path, what, report);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut exports: Vec<Occupied> = Vec::new();
    for e in file.export.iter().filter(|e| e.path.file_name().is_some()) {
        let path = resolve(&folder.join(&e.path));
        // The store comes last: some of the other files are in its folder.
        let all = inputs
            .iter()
            .chain(&own)
            .chain([&socket])
            .chain(&removals)
            .chain([&store])
            .chain(&exports);
        refuse(&e.place, "path", &e.path, overwritten(&path, all), report);
        if path.is_dir() {
            report.error(
                &e.place,
                "path",
                format_args!("{} is a folder; name a file", e.path.display()),
            );
        }
        exports.push(Occupied {
            what: "the file of another [[export]]".into(),
            path,
            folder: false,
        });
    }
}

/// The files that the configuration consists of, and those that it names to be read.
fn inputs(file: &File, path: &Path, config: &Config) -> Vec<Occupied> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut out = Vec::new();
    let mut add = |what: &str, path: &Path, folder| {
        out.push(Occupied {
            what: what.into(),
            path: resolve(path),
            folder,
        });
    };
    add("the configuration", path, false);
    add("the folder of the zone files", &config.zones, true);
    // A zone file may be a link to one elsewhere.
    let zones = fs::read_dir(&config.zones)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path());
    zones
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .for_each(|p| add("a zone file", &p, false));
    let named = |p: &PathBuf| Some(folder.join(p)).filter(|_| !p.as_os_str().is_empty());
    let tls = [
        ("the certificate", &file.tls.certificate),
        ("the certificate's key", &file.tls.key),
        ("[tls] client_ca", &file.tls.client_ca),
    ];
    let probe = [
        ("[probe] catalogue", &file.probe.catalogue),
        ("[probe] asn_table", &file.probe.asn_table),
    ];
    let keys = file.key.iter().map(|k| ("the file of a [[key]]", &k.file));
    tls.into_iter()
        .chain(probe)
        .chain(keys)
        .filter_map(|(what, p)| Some((what, named(p)?)))
        .for_each(|(what, p)| add(what, &p, false));
    add("the secret of relay tests", &config.probe.key, false);
    for feed in &config.feeds {
        if let FeedSource::File { path, .. } = &feed.kind {
            add("the file of a [[feed]]", path, false);
        }
    }
    // The settings do not have a feed with another error.
    let feeds = file.feed.iter().filter(|f| f.kind == FeedKind::File);
    feeds
        .filter_map(|f| named(&f.path))
        .for_each(|p| add("the file of a [[feed]]", &p, false));
    out
}

/// The files with the state of the clock and of the mirrors.
fn own_files(config: &Config) -> Vec<Occupied> {
    let clock = Occupied {
        what: "the record of the clock".into(),
        path: resolve(&config.clock()),
        folder: false,
    };
    let mirrors = config.mirrors().into_iter();
    let mirrors = mirrors.map(|p| Occupied {
        what: "the state of the mirrors".into(),
        path: resolve(&p),
        folder: false,
    });
    std::iter::once(clock).chain(mirrors).collect()
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
