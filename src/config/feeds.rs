//! `[[feed]]` tables: sources that are refreshed automatically.

use std::path::Path;

use super::{
    ReasonNames,
    document::{Report, Table},
    feed_loops,
    tables::{FeedKind, FeedTable, File},
};
use crate::{
    feeds::{FeedSettings, FeedSource, FileList, MAX_FEEDS, wire::Server},
    imports::{ListSettings, Reasons},
    ledger::guard::ListLimits,
    lists::records::Mapping,
    model::{Domain, Keys, SourceId, Sources, Zone, names::suggest},
};

/// Reads the feeds. Paths start at `folder`.
pub(super) fn read(
    file: &File,
    folder: &Path,
    (reasons, zones, keys): (&ReasonNames, &[Zone], &Keys),
    report: &mut Report,
) -> Vec<FeedSettings> {
    let (tables, mut out) = (&file.feed, Vec::new());
    if let Some(first) = tables.get(MAX_FEEDS) {
        report.error(
            &first.place,
            "",
            format_args!(
                "there are {} feeds; at most {MAX_FEEDS} are run",
                tables.len()
            ),
        );
    }
    for (i, f) in tables.iter().enumerate() {
        let mut wrong = |key: &str, why: String| report.error(&f.place, key, why);
        check_name(f, tables[..i].iter().any(|g| g.name == f.name), &mut wrong);
        if let Some(why) = reasons.unknown(&f.reason).filter(|_| !f.reason.is_empty()) {
            wrong("reason", why);
        }
        let bare = |o: &str| o.trim_end_matches('.').to_ascii_lowercase();
        if !f.codes.is_empty()
            && !zones
                .iter()
                .any(|z| z.short_name == f.codes || bare(&z.origin) == bare(&f.codes))
        {
            let known: Vec<&str> = zones.iter().map(|z| z.short_name.as_str()).collect();
            wrong(
                "codes",
                format!("unknown zone `{}`{}", f.codes, suggest(&f.codes, &known)),
            );
        }
        if f.reason.is_empty() == f.codes.is_empty() && !f.place.is_rejected("codes") {
            wrong("reason", "write either `reason`, for all entries, or `codes`, a zone whose codes give the reasons".into());
        }
        if f.interval.0 == 0 {
            wrong(
                "interval",
                "0s would check without a pause; write 1s or more".into(),
            );
        }
        if f.max_age.is_some_and(|a| a.0 == 0) {
            wrong(
                "max_age",
                "0s would end the list at once; write 1s or more, or remove the key".into(),
            );
        }
        let filled = |t: &String| Some(t.clone()).filter(|t| !t.is_empty());
        let reasons = Reasons {
            reason: filled(&f.reason),
            codes: filled(&f.codes),
        };
        let known: Vec<&str> = file.key.iter().map(|k| k.name.as_str()).collect();
        if !f.key.is_empty() && !known.iter().any(|k| bare(k) == bare(&f.key)) {
            wrong(
                "key",
                format!("there is no [[key]] `{}`{}", f.key, suggest(&f.key, &known)),
            );
        }
        if f.transit.is_some() && f.kind != FeedKind::Axfr && !f.place.is_rejected("kind") {
            wrong(
                "transit",
                "it belongs to the kind axfr; rows have the path of an entry, and a file's entries are this server's own; remove the key".into(),
            );
        }
        let kind = match f.kind {
            // For an unknown kind the values can be checked, but not which keys are required.
            _ if f.place.is_rejected("kind") => {
                list(f, &mut wrong);
                None
            }
            FeedKind::File => list_file(f, folder, &mut wrong),
            FeedKind::Axfr => zone(f, keys, "", &mut wrong).map(|server| FeedSource::Zone {
                server,
                mapping: Mapping::Names,
                transit: f.transit.unwrap_or(false),
            }),
            // The rows of a zone are transferred under a name of their own.
            FeedKind::Orbsd => zone(f, keys, "_rows.", &mut wrong).map(FeedSource::rows),
        };
        let settings = kind.map(|kind| FeedSettings {
            name: f.name.clone(),
            kind,
            reasons,
            every: f.interval,
            max_age: f.max_age,
        });
        if let Some(ring) = settings
            .as_ref()
            .and_then(|s| feed_loops::find(s, zones, &file.dns.listen))
        {
            report.warning(&f.place, "server", ring);
        }
        out.extend(settings);
    }
    out
}

fn check_name(f: &Table<FeedTable>, twice: bool, wrong: &mut dyn FnMut(&str, String)) {
    if !f.place.has("name") {
        wrong(
            "name",
            "it is missing; every feed needs a name, such as name = \"xbl\"".into(),
        );
    } else if twice {
        wrong(
            "name",
            format!("there are two feeds `{}`; rename one", f.name),
        );
    } else if let Err(why) = Sources::default().add(&f.name) {
        wrong("name", why);
    } else if SourceId::DECIDING.contains(&f.name.as_str()) {
        wrong(
            "name",
            format!(
                "the source `{}` is not a feed source; choose another name",
                f.name
            ),
        );
    }
}

fn list_file(
    f: &FeedTable,
    folder: &Path,
    wrong: &mut dyn FnMut(&str, String),
) -> Option<FeedSource> {
    if f.path.as_os_str().is_empty() {
        wrong("path", "it is missing: the file to read".into());
    }
    if let Err(e) = crate::imports::check_format(&f.format) {
        wrong("format", e);
    }
    Some(FeedSource::File {
        path: folder.join(&f.path),
        format: f.format.clone(),
        list: Box::new(list(f, wrong)),
    })
}

/// How the list of a file is read, and how far it may differ from the last one.
fn list(f: &FeedTable, wrong: &mut dyn FnMut(&str, String)) -> FileList {
    let filled = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    let (column, origin, dataset, subzone) = (
        filled(&f.column),
        filled(&f.origin),
        filled(&f.dataset),
        filled(&f.subzone),
    );
    for (key, set, format) in [
        ("origin", origin.is_some(), "master"),
        ("dataset", dataset.is_some(), "rbldnsd"),
        ("subzone", subzone.is_some(), "rbldnsd"),
    ] {
        if set && !f.format.is_empty() && f.format != format {
            wrong(
                key,
                format!(
                    "the format `{}` does not have it; it belongs to {format}",
                    f.format
                ),
            );
        }
    }
    if column.is_some() && ["rbldnsd", "master"].contains(&f.format.as_str()) {
        wrong(
            "column",
            format!(
                "the format `{}` has no columns to choose from; leave it out",
                f.format
            ),
        );
    }
    let defaults = FileList::default();
    let settings = defaults.settings;
    let mut max_shrink = settings.limits.max_shrink;
    if let Some(text) = &f.max_shrink {
        match text
            .strip_suffix('%')
            .and_then(|p| p.trim().parse().ok())
            .filter(|p| (1..=100).contains(p))
        {
            Some(percent) => max_shrink = percent,
            None => wrong(
                "max_shrink",
                format!("`{text}` is not a part from \"1%\" to \"100%\" (100%: no limit)"),
            ),
        }
    }
    let max_growth = f.max_growth.unwrap_or(settings.limits.max_growth);
    if max_growth < 2 {
        wrong(
            "max_growth",
            format!(
                "{max_growth} is too small; write how many times as many entries a list may have, 2 or more"
            ),
        );
    }
    let shrink_wait = f.shrink_wait.unwrap_or(defaults.shrink_wait);
    if shrink_wait.0 == 0 {
        wrong(
            "shrink_wait",
            "a held list would not wait; write 1s or more, or max_shrink = \"100%\" for no limit"
                .into(),
        );
    }
    let allow_suffixes = f.allow_suffixes.clone().unwrap_or_default();
    for e in allow_suffixes
        .iter()
        .filter_map(|s| Domain::parse_any(s).err())
    {
        wrong("allow_suffixes", e);
    }
    let settings = ListSettings {
        column,
        origin,
        dataset,
        subzone,
        host_bits: f.host_bits.unwrap_or(settings.host_bits),
        skip_errors: f.skip_errors.unwrap_or(settings.skip_errors),
        special: f.allow_special_ranges.unwrap_or(settings.special),
        allow_empty: f.allow_empty.unwrap_or(settings.allow_empty),
        allow_suffixes,
        limits: ListLimits {
            max_shrink,
            max_growth,
            ..settings.limits
        },
    };
    FileList {
        settings,
        shrink_wait,
    }
}

/// Refuses the keys of files: a transfer is complete by protocol, and the primary decides what the
/// zone contains.
fn refuse_list_keys(f: &FeedTable, wrong: &mut dyn FnMut(&str, String)) {
    let filled = |text: &Option<String>| text.as_ref().is_some_and(|t| !t.is_empty());
    let set = [
        ("column", filled(&f.column)),
        ("origin", filled(&f.origin)),
        ("dataset", filled(&f.dataset)),
        ("subzone", filled(&f.subzone)),
        ("host_bits", f.host_bits.is_some()),
        ("skip_errors", f.skip_errors.is_some()),
        ("allow_special_ranges", f.allow_special_ranges.is_some()),
        ("allow_empty", f.allow_empty.is_some()),
        ("allow_suffixes", f.allow_suffixes.is_some()),
        ("max_shrink", f.max_shrink.is_some()),
        ("max_growth", f.max_growth.is_some()),
        ("shrink_wait", f.shrink_wait.is_some()),
    ];
    for (key, _) in set.iter().filter(|(_, set)| *set) {
        wrong(
            key,
            "it belongs to kind = \"file\"; a zone is used as it is, so remove the key".into(),
        );
    }
}

fn zone(
    f: &FeedTable,
    keys: &Keys,
    under: &str,
    wrong: &mut dyn FnMut(&str, String),
) -> Option<Server> {
    refuse_list_keys(f, wrong);
    let missing = [
        ("server", &f.server, "the server to ask"),
        ("zone", &f.zone, "the zone to follow"),
    ]
    .map(|(key, value, what)| {
        if value.is_empty() {
            wrong(key, format!("it is missing: {what}"));
        }
        value.is_empty()
    });
    if missing.contains(&true) {
        return None;
    }
    let server = Server::new(
        &f.server,
        &format!("{under}{}", f.zone),
        keys.get(&f.key).cloned(),
    );
    let key = |e: &str| {
        if e.starts_with("zone: ") {
            "zone"
        } else {
            "server"
        }
    };
    server
        .map_err(|e| wrong(key(&e), e.trim_start_matches("zone: ").into()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ZONE, load};
    use crate::{
        feeds::{FeedSource, FileList},
        imports::ErrorAllowance,
        model::time::Seconds,
    };

    #[test]
    fn feeds_are_checked() {
        let with = |feed: &str| {
            load(
                &format!("[[reason]]\nname='relay'\n[[feed]]\nname='xbl'\n{feed}"),
                ZONE,
            )
        };
        let good = with("kind='axfr'\nserver='192.0.2.1'\nzone='Z.Example.'\ncodes='bl'").unwrap();
        assert!(
            matches!(&good.feeds[0].kind, FeedSource::Zone { server, .. } if server.zone == "z.example")
        );
        assert_eq!(
            with("path='x'\nreason='relay'").unwrap().feeds[0].every,
            Seconds(300)
        );
        let rows = with("kind='orbsd'\nserver='192.0.2.1'\nzone='Z.Example.'\ncodes='bl'").unwrap();
        assert!(
            matches!(&rows.feeds[0].kind, FeedSource::Zone { server, .. } if server.zone == "_rows.z.example")
        );
        for (feed, part) in [
            ("reason='relay'", "path: it is missing"),
            ("path='x'", "write either `reason`"),
            (
                "path='x'\nreason='relay'\ncodes='bl'",
                "write either `reason`",
            ),
            (
                "path='x'\ncodes='nowhere'",
                "codes: unknown zone `nowhere`; there is bl",
            ),
            ("path='x'\nreason='relay'\nformat='xls'", "no format `xls`"),
            ("kind='axfr'\nreason='relay'", "server: it is missing"),
            (
                "kind='axfr'\nreason='relay'\nserver='a b'\nzone='z'",
                "`a b` is not a server",
            ),
            (
                "kind='axfr'\nreason='relay'\nserver='a'\nzone='z..z'",
                "zone: `z..z` is not a name",
            ),
            (
                "kind='axfr'\nreason='relay'\nserver='a'\nzone='z'\nkey='k'",
                "no [[key]] `k`",
            ),
            (
                "kind='pigeon'\nreason='relay'",
                "'pigeon' is not accepted; write \"file\", \"axfr\" or \"orbsd\"",
            ),
            (
                "path='x'\nreason='relay'\n[[feed]]\nname='operator'\npath='x'\nreason='relay'",
                "is not a feed source; choose another name",
            ),
            (
                "path='x'\nreason='relay'\n[[feed]]\nname='xbl'\npath='x'\nreason='relay'",
                "rename one",
            ),
        ] {
            let e = with(feed).unwrap_err().to_string();
            assert!(e.contains(part), "{part}: {e}");
        }
    }

    #[test]
    fn keys_of_lists_are_read_and_checked() {
        let with = |feed: &str| {
            load(
                &format!("[[reason]]\nname='relay'\n[[feed]]\nname='xbl'\nreason='relay'\n{feed}"),
                ZONE,
            )
        };
        let list = |feed: &str| match &with(&format!("path='x'\n{feed}")).unwrap().feeds[0].kind {
            FeedSource::File { list, .. } => (**list).clone(),
            FeedSource::Zone { .. } => panic!(),
        };
        assert_eq!(list(""), FileList::default());
        let defaults = FileList::default();
        assert_eq!(
            (
                defaults.settings.limits.max_shrink,
                defaults.settings.limits.max_growth,
                defaults.shrink_wait
            ),
            (50, 10, Seconds(86_400))
        );
        let all = list(
            "column='ip'\nhost_bits=true\nskip_errors='2%'\nallow_special_ranges=true\nallow_empty=true\nallow_suffixes=['tk']\nmax_shrink='80%'\nmax_growth=20\nshrink_wait='2h'",
        );
        assert_eq!(all.shrink_wait, Seconds(7200));
        let all = all.settings;
        assert_eq!(
            (all.column.as_deref(), all.skip_errors),
            (Some("ip"), ErrorAllowance::Percent(2))
        );
        assert_eq!(
            (
                all.limits.max_shrink,
                all.limits.max_growth,
                all.limits.allow_shrink
            ),
            (80, 20, false)
        );
        assert!(all.host_bits && all.special && all.allow_empty && all.allow_suffixes == ["tk"]);
        assert_eq!(
            list("skip_errors=true").settings.skip_errors,
            ErrorAllowance::Default
        );
        assert_eq!(
            list("skip_errors=12").settings.skip_errors,
            ErrorAllowance::Lines(12)
        );
        assert_eq!(
            list("format='rbldnsd'\ndataset='ip4set'\nsubzone='a'")
                .settings
                .dataset
                .as_deref(),
            Some("ip4set")
        );
        for (feed, part) in [
            (
                "path='x'\nmax_shrink='half'",
                "config.toml:7: feed \"xbl\": max_shrink: `half`",
            ),
            ("path='x'\nmax_shrink='0%'", "max_shrink"),
            ("path='x'\nmax_growth=1", "feed \"xbl\": max_growth: 1"),
            ("path='x'\nshrink_wait='0s'", "shrink_wait"),
            ("path='x'\nskip_errors='some'", "config.toml:7"),
            ("path='x'\nallow_suffixes=['a b']", "allow_suffixes"),
            (
                "path='x'\nformat='list'\norigin='a.example'",
                "feed \"xbl\": origin: the format `list`",
            ),
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
                "allow_special_ranges=true",
                "allow_empty=true",
                "allow_suffixes=['tk']",
                "max_shrink='50%'",
                "max_growth=10",
                "shrink_wait='24h'",
            ] {
                let e = with(&format!(
                    "kind='{kind}'\nserver='192.0.2.1'\nzone='z.example'\n{key}"
                ))
                .unwrap_err()
                .to_string();
                let name = key.split('=').next().unwrap();
                assert!(
                    e.contains(&format!(
                        "feed \"xbl\": {name}: it belongs to kind = \"file\""
                    )),
                    "{e}"
                );
            }
        }
    }
}
