//! `[[feed]]` tables: sources that are refreshed automatically.

use std::path::Path;

use super::{
    ReasonNames, bare,
    document::{Report, Table, TableReport},
    feed_loops,
    tables::{FeedKind, FeedTable, File},
    values::NO_PAUSE,
    zones,
};
use crate::{
    feeds::{FeedPublisher, FeedSettings, FeedSource, FileList, MAX_FEEDS, wire::Server},
    imports::{ListSettings, Reasons},
    lists::records::Mapping,
    model::{Domain, Keys, SourceId, Sources, Zone, names::suggest},
};

/// Reads the feeds. Paths start at `folder`.
pub(super) fn read(
    file: &File,
    folder: &Path,
    reasons: &ReasonNames,
    own_zones: &[Zone],
    keys: &Keys,
    report: &mut Report,
) -> Vec<FeedSettings> {
    let (tables, mut out) = (&file.feed, Vec::new());
    if let Some(first) = tables.get(MAX_FEEDS) {
        let text = format_args!(
            "there are {} feeds; at most {MAX_FEEDS} are run",
            tables.len()
        );
        report.of(&first.place).error("", text);
    }
    let known_keys: Vec<&str> = file.key.iter().map(|k| k.name.as_str()).collect();
    for (i, f) in tables.iter().enumerate() {
        let mut table = report.of(&f.place);
        check_name(f, tables[..i].iter().any(|g| g.name == f.name), &mut table);
        if let Some(why) = reasons.unknown(&f.reason).filter(|_| !f.reason.is_empty()) {
            table.error("reason", why);
        }
        if !f.code_zone.is_empty() {
            table.value("code_zone", zones::find(own_zones, &f.code_zone));
        }
        table.error_if(
            f.reason.is_empty() == f.code_zone.is_empty() && !f.place.is_rejected("code_zone"),
            "reason",
            "write either `reason`, for all entries, or `code_zone`, a zone whose codes give the reasons",
        );
        table.error_if(f.interval.0 == 0, "interval", NO_PAUSE);
        table.error_if(
            f.max_age.is_some_and(|a| a.0 == 0),
            "max_age",
            "0s would end the list at once; write 1s or more, or remove the key",
        );
        table.error_if(
            !f.key.is_empty() && !known_keys.iter().any(|k| bare(k) == bare(&f.key)),
            "key",
            format_args!(
                "there is no [[key]] `{}`{}",
                f.key,
                suggest(&f.key, &known_keys)
            ),
        );
        table.error_if(
            f.transit.is_some() && f.kind != FeedKind::Axfr && !f.place.is_rejected("kind"),
            "transit",
            "it belongs to the kind axfr; rows have the path of an entry, and a file's entries are this server's own; remove the key",
        );
        let kind = match f.kind {
            // The required keys depend on the kind, and are not checked if it is unknown.
            _ if f.place.is_rejected("kind") => {
                list(f, &mut table);
                None
            }
            FeedKind::File => list_file(f, folder, &mut table),
            FeedKind::Axfr => zone(f, keys, "", &mut table).map(|server| FeedSource::Zone {
                server,
                mapping: Mapping::Names,
                transit: f.transit.unwrap_or(false),
            }),
            // The rows of a zone are a zone of their own, whose name starts with `_rows`.
            FeedKind::Orbsd => zone(f, keys, "_rows.", &mut table).map(FeedSource::rows),
        };
        let filled = |t: &String| Some(t.clone()).filter(|t| !t.is_empty());
        let settings = kind.map(|kind| FeedSettings {
            name: f.name.clone(),
            kind,
            reasons: Reasons {
                reason: filled(&f.reason),
                code_zone: filled(&f.code_zone),
            },
            every: f.interval,
            publisher: publisher(f, &mut table),
            max_age: f.max_age,
        });
        let feed_loop = |s| feed_loops::find(s, own_zones, &file.dns.listen);
        if let Some(text) = settings.as_ref().and_then(feed_loop) {
            table.warning("server", text);
        }
        out.extend(settings);
    }
    out
}

/// What the look-up page says about the publisher of the list.
fn publisher(f: &FeedTable, report: &mut TableReport<'_>) -> FeedPublisher {
    let filled = |t: &String| Some(t.clone()).filter(|t| !t.is_empty());
    for (key, url) in [
        ("lookup_url", &f.lookup_url),
        ("removal_url", &f.removal_url),
    ] {
        let is_page = url.starts_with("https://") || url.starts_with("http://");
        report.error_if(
            !url.is_empty() && (!is_page || url.contains(char::is_whitespace)),
            key,
            format_args!("`{url}` is not the URL of a page; write https://…, with {{}} in the place of the subject"),
        );
    }
    if let Err(why) = crate::model::text::check_line(&f.title) {
        report.error("title", why);
    }
    FeedPublisher {
        title: filled(&f.title),
        lookup_url: filled(&f.lookup_url),
        removal_url: filled(&f.removal_url),
    }
}

fn check_name(f: &Table<FeedTable>, is_repeated: bool, report: &mut TableReport<'_>) {
    let name = &f.name;
    if !f.place.has("name") {
        let text = "it is missing; every feed needs a name, such as name = \"xbl\"";
        report.error("name", text);
    } else if is_repeated {
        report.error(
            "name",
            format_args!("there are two feeds `{name}`; rename one"),
        );
    } else if let Err(why) = Sources::default().add(name) {
        report.error("name", why);
    } else if SourceId::DECIDING.contains(&name.as_str()) {
        let text = format_args!("the source `{name}` is not a feed source; choose another name");
        report.error("name", text);
    }
}

fn list_file(f: &FeedTable, folder: &Path, report: &mut TableReport<'_>) -> Option<FeedSource> {
    let is_unset = f.path.as_os_str().is_empty();
    report.error_if(is_unset, "path", "it is missing: the file to read");
    report.value("format", crate::imports::check_format(&f.format));
    Some(FeedSource::File {
        path: folder.join(&f.path),
        format: f.format.clone(),
        list: Box::new(list(f, report)),
    })
}

/// How the list of a file is read, and how far it may differ from the last one.
fn list(f: &FeedTable, report: &mut TableReport<'_>) -> FileList {
    let filled = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    let format = f.format.as_str();
    for (key, value, owner) in [
        ("origin", &f.origin, "master"),
        ("dataset", &f.dataset, "rbldnsd"),
        ("subzone", &f.subzone, "rbldnsd"),
    ] {
        report.error_if(
            filled(value).is_some() && !format.is_empty() && format != owner,
            key,
            format_args!("the format `{format}` does not have it; it belongs to {owner}"),
        );
    }
    report.error_if(
        filled(&f.column).is_some() && ["rbldnsd", "master"].contains(&format),
        "column",
        format_args!("the format `{format}` has no columns to choose from; leave it out"),
    );
    let defaults = FileList::default();
    let settings = defaults.settings;
    let mut limits = settings.limits;
    if let Some(text) = &f.max_shrink {
        let percent = text.strip_suffix('%').and_then(|p| p.trim().parse().ok());
        let percent = percent.filter(|p| (1..=100).contains(p)).ok_or_else(|| {
            format!("`{text}` is not a part from \"1%\" to \"100%\" (100%: no limit)")
        });
        limits.max_shrink = report
            .value("max_shrink", percent)
            .unwrap_or(limits.max_shrink);
    }
    limits.max_growth = f.max_growth.unwrap_or(limits.max_growth);
    report.error_if(
        limits.max_growth < 2,
        "max_growth",
        format_args!(
            "{} is too small; write how many times as many entries a list may have, 2 or more",
            limits.max_growth
        ),
    );
    let shrink_wait = f.shrink_wait.unwrap_or(defaults.shrink_wait);
    report.error_if(
        shrink_wait.0 == 0,
        "shrink_wait",
        "a held list would not wait; write 1s or more, or max_shrink = \"100%\" for no limit",
    );
    let allow_suffixes = f.allow_suffixes.clone().unwrap_or_default();
    for suffix in &allow_suffixes {
        report.value("allow_suffixes", Domain::parse_any(suffix));
    }
    let settings = ListSettings {
        column: filled(&f.column),
        origin: filled(&f.origin),
        dataset: filled(&f.dataset),
        subzone: filled(&f.subzone),
        clear_host_bits: f.clear_host_bits.unwrap_or(settings.clear_host_bits),
        skip_errors: f.skip_errors.unwrap_or(settings.skip_errors),
        special: f.allow_special_ranges.unwrap_or(settings.special),
        exact: f.exact.unwrap_or(settings.exact),
        allow_empty: f.allow_empty.unwrap_or(settings.allow_empty),
        allow_suffixes,
        limits,
    };
    FileList {
        settings,
        shrink_wait,
    }
}

/// Refuses the keys of kind `file`: a zone is transferred completely, and its primary checks its
/// content.
fn refuse_list_keys(f: &FeedTable, report: &mut TableReport<'_>) {
    let filled = |text: &Option<String>| text.as_ref().is_some_and(|t| !t.is_empty());
    for (key, is_set) in [
        ("column", filled(&f.column)),
        ("origin", filled(&f.origin)),
        ("dataset", filled(&f.dataset)),
        ("subzone", filled(&f.subzone)),
        ("clear_host_bits", f.clear_host_bits.is_some()),
        ("skip_errors", f.skip_errors.is_some()),
        ("allow_special_ranges", f.allow_special_ranges.is_some()),
        ("exact", f.exact.is_some()),
        ("allow_empty", f.allow_empty.is_some()),
        ("allow_suffixes", f.allow_suffixes.is_some()),
        ("max_shrink", f.max_shrink.is_some()),
        ("max_growth", f.max_growth.is_some()),
        ("shrink_wait", f.shrink_wait.is_some()),
    ] {
        let text = "it belongs to kind = \"file\"; a zone is used as it is, so remove the key";
        report.error_if(is_set, key, text);
    }
}

fn zone(f: &FeedTable, keys: &Keys, under: &str, report: &mut TableReport<'_>) -> Option<Server> {
    refuse_list_keys(f, report);
    for (key, value, what) in [
        ("server", &f.server, "the server to ask"),
        ("zone", &f.zone, "the zone to follow"),
    ] {
        report.error_if(value.is_empty(), key, format_args!("it is missing: {what}"));
    }
    if f.server.is_empty() || f.zone.is_empty() {
        return None;
    }
    let key = keys.get(&f.key).cloned();
    let server = Server::new(&f.server, &format!("{under}{}", f.zone), key);
    server
        .map_err(|e| match e.strip_prefix("zone: ") {
            Some(why) => report.error("zone", why),
            None => report.error("server", e),
        })
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
        let good =
            with("kind='axfr'\nserver='192.0.2.1'\nzone='Z.Example.'\ncode_zone='bl'").unwrap();
        assert!(
            matches!(&good.feeds[0].kind, FeedSource::Zone { server, .. } if server.zone == "z.example")
        );
        assert_eq!(
            with("path='x'\nreason='relay'").unwrap().feeds[0].every,
            Seconds(300)
        );
        let rows =
            with("kind='orbsd'\nserver='192.0.2.1'\nzone='Z.Example.'\ncode_zone='bl'").unwrap();
        assert!(
            matches!(&rows.feeds[0].kind, FeedSource::Zone { server, .. } if server.zone == "_rows.z.example")
        );
        for (feed, part) in [
            ("reason='relay'", "path: it is missing"),
            ("path='x'", "write either `reason`"),
            (
                "path='x'\nreason='relay'\ncode_zone='bl'",
                "write either `reason`",
            ),
            (
                "path='x'\ncode_zone='nowhere'",
                "code_zone: unknown zone `nowhere`; there is bl",
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
            "column='ip'\nclear_host_bits=true\nskip_errors='2%'\nallow_special_ranges=true\nexact=true\nallow_empty=true\nallow_suffixes=['tk']\nmax_shrink='80%'\nmax_growth=20\nshrink_wait='2h'",
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
        assert!(
            all.clear_host_bits
                && all.special
                && all.exact
                && all.allow_empty
                && all.allow_suffixes == ["tk"]
        );
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
                "clear_host_bits=false",
                "skip_errors=true",
                "allow_special_ranges=true",
                "exact=true",
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
