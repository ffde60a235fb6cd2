//! `[[feed]]`: sources that are refreshed by themselves.

use std::path::Path;

use super::FeedFile;
use crate::{
    feed::{Kind, MAX_FEEDS, Settings, wire::Server},
    intake::Reasons,
    model::{Keys, SourceId, Sources, Zone},
};

/// Reads the feeds; `wrong` is told what can not be used. Paths start at `folder`.
pub(super) fn read(
    tables: &[FeedFile],
    folder: &Path,
    (names, zones, keys): (&[String], &[Zone], &Keys),
    wrong: &mut dyn FnMut(String),
) -> Vec<Settings> {
    let mut out = Vec::new();
    if tables.len() > MAX_FEEDS {
        wrong(format!("there are {} feeds; at most {MAX_FEEDS} are run", tables.len()));
    }
    for (i, f) in tables.iter().enumerate() {
        let mut told = |why: String| wrong(format!("feed `{}`: {why}", f.name));
        if f.name.is_empty() || tables[..i].iter().any(|g| g.name == f.name) {
            told("every feed has a name of its own".into());
        }
        if let Err(why) = Sources::default().add(&f.name) {
            told(why);
        } else if SourceId::DECIDING.contains(&f.name.as_str()) {
            told("a source of this name is decided one by one and is no feed".into());
        }
        if !f.reason.is_empty() && !names.contains(&f.reason) {
            told(format!("the reason `{}` is not here; there are {}", f.reason, names.join(", ")));
        }
        let bare = |o: &str| o.trim_end_matches('.').to_ascii_lowercase();
        if !f.codes.is_empty() && !zones.iter().any(|z| z.stem == f.codes || bare(&z.origin) == bare(&f.codes)) {
            told(format!("codes: there is no zone `{}`", f.codes));
        }
        if f.reason.is_empty() == f.codes.is_empty() {
            told("say either `reason`, for all that it lists, or `codes`, a zone whose codes give the reasons".into());
        }
        if f.max_age.is_some_and(|a| a.0 == 0) {
            told("max_age: the list would end at once".into());
        }
        let filled = |t: &String| Some(t.clone()).filter(|t| !t.is_empty());
        let reasons = Reasons { reason: filled(&f.reason), codes: filled(&f.codes) };
        let kind = match f.kind.as_str() {
            "file" => file(f, folder),
            "axfr" => zone(f, keys, "").map(Kind::zone),
            // The rows of a zone are transferred under a name of their own.
            "orbsd" => zone(f, keys, "_rows.").map(Kind::rows),
            other => Err(format!("the kind `{other}` is not file, axfr or orbsd")),
        };
        match kind {
            Ok(kind) => out.push(Settings { name: f.name.clone(), kind, reasons, every: f.every, max_age: f.max_age }),
            Err(why) => told(why),
        }
    }
    out
}

fn file(f: &FeedFile, folder: &Path) -> Result<Kind, String> {
    if f.path.as_os_str().is_empty() {
        return Err("it has no `path`, the file to read".into());
    }
    crate::feed::file::known(&f.format)?;
    Ok(Kind::File { path: folder.join(&f.path), format: f.format.clone() })
}

fn zone(f: &FeedFile, keys: &Keys, under: &str) -> Result<Server, String> {
    if f.server.is_empty() || f.zone.is_empty() {
        return Err("it has no `server`, whom to ask, or no `zone`".into());
    }
    let key = match f.key.as_str() {
        "" => None,
        name => Some(keys.get(name).cloned().ok_or_else(|| format!("there is no [[key]] `{name}`"))?),
    };
    Server::new(&f.server, &format!("{under}{}", f.zone), key)
}
