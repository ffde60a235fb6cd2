//! `[[feed]]`: sources that are refreshed by themselves.

use std::path::Path;

use super::FeedFile;
use crate::{
    feed::{FileList, Kind, MAX_FEEDS, Settings, wire::Server},
    format::records::Mapping,
    intake::Reasons,
    ledger::guard::ListLimits,
    model::{Domain, Keys, SourceId, Sources, Zone},
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
            "axfr" => no_list_keys(f).and_then(|()| zone(f, keys, "")).map(|server| Kind::Zone {
                server,
                mapping: Mapping::Names,
                transit: f.transit.unwrap_or(false),
            }),
            // The rows of a zone are transferred under a name of their own.
            "orbsd" => no_list_keys(f).and_then(|()| zone(f, keys, "_rows.").map(Kind::rows)),
            other => Err(format!("the kind `{other}` is not file, axfr or orbsd")),
        };
        if f.transit.is_some() && f.kind != "axfr" {
            told(format!("transit: it belongs to the kind axfr; the kind {} needs none, so leave it out", f.kind));
        }
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
    crate::intake::known_format(&f.format)?;
    Ok(Kind::File { path: folder.join(&f.path), format: f.format.clone(), list: Box::new(list(f)?) })
}

/// How the list of a file is read, and how far it may differ from the last one.
fn list(f: &FeedFile) -> Result<FileList, String> {
    let filled = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    let (column, origin, dataset, subzone) = (filled(&f.column), filled(&f.origin), filled(&f.dataset), filled(&f.subzone));
    let read_by = |key: &str, set: bool, formats: &[&str]| match set && !f.format.is_empty() && !formats.contains(&f.format.as_str()) {
        true => Err(format!("{key}: the format `{}` does not take it; it belongs to {}", f.format, formats.join(", "))),
        false => Ok(()),
    };
    read_by("origin", origin.is_some(), &["master"])?;
    read_by("dataset", dataset.is_some(), &["rbldnsd"])?;
    read_by("subzone", subzone.is_some(), &["rbldnsd"])?;
    if column.is_some() && ["rbldnsd", "master"].contains(&f.format.as_str()) {
        return Err(format!("column: the format `{}` has no columns to choose from; leave it out", f.format));
    }
    let defaults = FileList::default();
    let max_shrink = match &f.max_shrink {
        None => defaults.limits.max_shrink,
        Some(text) => {
            let percent = text.strip_suffix('%').and_then(|p| p.trim().parse().ok()).filter(|p| (1..=100).contains(p));
            percent.ok_or_else(|| format!("max_shrink: `{text}` is not a part from \"1%\" to \"100%\" (100%: no limit)"))?
        }
    };
    let max_growth = f.max_growth.unwrap_or(defaults.limits.max_growth);
    if max_growth < 2 {
        return Err(format!("max_growth: {max_growth} is too small; name how many times as many entries may come, 2 or more"));
    }
    let shrink_wait = f.shrink_wait.unwrap_or(defaults.shrink_wait);
    if shrink_wait.0 == 0 {
        return Err("shrink_wait: a held list would not wait; take 1s or more, or max_shrink = \"100%\" for no limit".into());
    }
    let allow_suffixes = f.allow_suffixes.clone().unwrap_or_default();
    for suffix in &allow_suffixes {
        Domain::parse_any(suffix).map_err(|e| format!("allow_suffixes: {e}"))?;
    }
    Ok(FileList {
        column,
        origin,
        dataset,
        subzone,
        host_bits: f.host_bits.unwrap_or(defaults.host_bits),
        skip_errors: f.skip_errors.unwrap_or(defaults.skip_errors),
        special: f.special.unwrap_or(defaults.special),
        allow_empty: f.allow_empty.unwrap_or(defaults.allow_empty),
        allow_suffixes,
        limits: ListLimits { max_shrink, max_growth, ..defaults.limits },
        shrink_wait,
    })
}

/// Refuses what belongs to files: a zone is whole by protocol, and its primary decides what is in it.
fn no_list_keys(f: &FeedFile) -> Result<(), String> {
    let filled = |text: &Option<String>| text.as_ref().is_some_and(|t| !t.is_empty());
    let set = [
        ("column", filled(&f.column)),
        ("origin", filled(&f.origin)),
        ("dataset", filled(&f.dataset)),
        ("subzone", filled(&f.subzone)),
        ("host_bits", f.host_bits.is_some()),
        ("skip_errors", f.skip_errors.is_some()),
        ("special", f.special.is_some()),
        ("allow_empty", f.allow_empty.is_some()),
        ("allow_suffixes", f.allow_suffixes.is_some()),
        ("max_shrink", f.max_shrink.is_some()),
        ("max_growth", f.max_growth.is_some()),
        ("shrink_wait", f.shrink_wait.is_some()),
    ];
    match set.iter().find(|(_, set)| *set) {
        Some((key, _)) => Err(format!("{key}: it belongs to the kind file; the kind {} takes a zone as it is, so leave it out", f.kind)),
        None => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::super::tests::{ZONE, load};
    use crate::{
        feed::{FileList, Kind},
        intake::ErrorAllowance,
        model::time::Seconds,
    };

    #[test]
    fn feeds_are_checked() {
        let with = |feed: &str| load(&format!("[[reason]]\nname='relay'\n[[feed]]\nname='xbl'\n{feed}"), ZONE);
        let good = with("kind='axfr'\nserver='192.0.2.1'\nzone='Z.Example.'\ncodes='bl'").unwrap();
        assert!(matches!(&good.feeds[0].kind, Kind::Zone { server, .. } if server.zone == "z.example"));
        assert_eq!(with("path='x'\nreason='relay'").unwrap().feeds[0].every, Seconds(300));
        let rows = with("kind='orbsd'\nserver='192.0.2.1'\nzone='Z.Example.'\ncodes='bl'").unwrap();
        assert!(matches!(&rows.feeds[0].kind, Kind::Zone { server, .. } if server.zone == "_rows.z.example"));
        for (feed, part) in [
            ("reason='relay'", "no `path`"),
            ("path='x'", "say either `reason`"),
            ("path='x'\nreason='relay'\ncodes='bl'", "say either `reason`"),
            ("path='x'\ncodes='nowhere'", "no zone `nowhere`"),
            ("path='x'\nreason='relay'\nformat='xls'", "no format `xls`"),
            ("kind='axfr'\nreason='relay'", "no `server`"),
            ("kind='axfr'\nreason='relay'\nserver='a b'\nzone='z'", "`a b` is no server"),
            ("kind='axfr'\nreason='relay'\nserver='a'\nzone='z..z'", "zone: `z..z` is not a name"),
            ("kind='axfr'\nreason='relay'\nserver='a'\nzone='z'\nkey='k'", "no [[key]] `k`"),
            ("kind='pigeon'\nreason='relay'", "`pigeon` is not file, axfr or orbsd"),
            ("path='x'\nreason='relay'\n[[feed]]\nname='operator'\npath='x'\nreason='relay'", "is no feed"),
            ("path='x'\nreason='relay'\n[[feed]]\nname='xbl'\npath='x'\nreason='relay'", "a name of its own"),
        ] {
            let e = with(feed).unwrap_err().to_string();
            assert!(e.contains(part), "{part}: {e}");
        }
    }

    #[test]
    fn keys_of_lists_are_read_and_checked() {
        let with = |feed: &str| load(&format!("[[reason]]\nname='relay'\n[[feed]]\nname='xbl'\nreason='relay'\n{feed}"), ZONE);
        let list = |feed: &str| match &with(&format!("path='x'\n{feed}")).unwrap().feeds[0].kind {
            Kind::File { list, .. } => (**list).clone(),
            Kind::Zone { .. } => panic!(),
        };
        assert_eq!(list(""), FileList::default());
        let defaults = FileList::default();
        assert_eq!((defaults.limits.max_shrink, defaults.limits.max_growth, defaults.shrink_wait), (50, 10, Seconds(86_400)));
        let all = list(
            "column='ip'\nhost_bits=true\nskip_errors='2%'\nspecial=true\nallow_empty=true\nallow_suffixes=['tk']\nmax_shrink='80%'\nmax_growth=20\nshrink_wait='2h'",
        );
        assert_eq!((all.column.as_deref(), all.skip_errors, all.shrink_wait), (Some("ip"), ErrorAllowance::Percent(2), Seconds(7200)));
        assert_eq!((all.limits.max_shrink, all.limits.max_growth, all.limits.allow_shrink), (80, 20, false));
        assert!(all.host_bits && all.special && all.allow_empty && all.allow_suffixes == ["tk"]);
        assert_eq!(list("skip_errors=true").skip_errors, ErrorAllowance::Default);
        assert_eq!(list("skip_errors=12").skip_errors, ErrorAllowance::Lines(12));
        assert_eq!(list("format='rbldnsd'\ndataset='ip4set'\nsubzone='a'").dataset.as_deref(), Some("ip4set"));
        for (feed, part) in [
            ("path='x'\nmax_shrink='half'", "feed `xbl`: max_shrink: `half`"),
            ("path='x'\nmax_shrink='0%'", "max_shrink"),
            ("path='x'\nmax_growth=1", "feed `xbl`: max_growth: 1"),
            ("path='x'\nshrink_wait='0s'", "shrink_wait"),
            ("path='x'\nskip_errors='some'", "config.toml:7"),
            ("path='x'\nallow_suffixes=['a b']", "allow_suffixes"),
            ("path='x'\nformat='list'\norigin='a.example'", "feed `xbl`: origin: the format `list`"),
            ("path='x'\nformat='csv'\ndataset='ip4set'", "dataset"),
            ("path='x'\nformat='list'\nsubzone='a'", "subzone"),
            ("path='x'\nformat='rbldnsd'\ncolumn='ip'", "column"),
        ] {
            let e = with(feed).unwrap_err().to_string();
            assert!(e.contains(part), "{part}: {e}");
        }
        for kind in ["axfr", "orbsd"] {
            for key in [
                "column='ip'",
                "origin='a'",
                "dataset='ip4set'",
                "subzone='a'",
                "host_bits=false",
                "skip_errors=true",
                "special=true",
                "allow_empty=true",
                "allow_suffixes=['tk']",
                "max_shrink='50%'",
                "max_growth=10",
                "shrink_wait='24h'",
            ] {
                let e = with(&format!("kind='{kind}'\nserver='192.0.2.1'\nzone='z.example'\n{key}")).unwrap_err().to_string();
                let name = key.split('=').next().unwrap();
                assert!(e.contains(&format!("feed `xbl`: {name}: it belongs to the kind file")), "{e}");
            }
        }
    }
}
