//! `[generic_names]`: listings by generic reverse names.

use std::{fs, path::Path};

use super::{
    ReasonNames,
    document::{Report, TableReport},
    tables::File,
    values::NO_PAUSE,
};
use crate::{
    generic_names::AllowList,
    model::{Subject, reason::GENERIC_NAME_SOURCE, special::unlistable},
    reverse_names::generic::{GenericNameSettings, MAX_RANGE_ADDRESSES},
};

/// The names of all feeds: those of `[[feed]]`, and that of generic names if they are listed.
pub(super) fn feed_names(file: &File) -> Vec<String> {
    let names = file.feed.iter().map(|f| f.name.clone());
    let own = Some(GENERIC_NAME_SOURCE.to_string());
    names
        .chain(own.filter(|_| !file.generic_names.reason.is_empty()))
        .collect()
}

/// Reads the settings. Paths start at `folder`.
pub(super) fn read(
    file: &File,
    folder: &Path,
    reasons: &ReasonNames,
    special: &[Subject],
    report: &mut Report,
) -> GenericNameSettings {
    for feed in file.feed.iter().filter(|f| f.name == GENERIC_NAME_SOURCE) {
        report.of(&feed.place).error(
            "name",
            format_args!(
                "`{GENERIC_NAME_SOURCE}` is the source of [generic_names]; choose another name"
            ),
        );
    }
    let names = &file.generic_names;
    let mut table = report.of(&names.place);
    if let Some(why) = reasons
        .unknown(&names.reason)
        .filter(|_| !names.reason.is_empty())
    {
        table.error("reason", why);
    }
    for (key, time) in [
        ("confirm_after", names.confirm_after),
        ("recheck", names.recheck),
    ] {
        table.error_if(time.0 == 0, key, NO_PAUSE);
    }
    table.error_if(
        names.queried_hosts && file.query_sample.one_in == 0,
        "queried_hosts",
        "queries are not sampled; set one_in of [query_sample], such as 64",
    );
    for (key, limit) in [
        ("max_queue", names.max_queue),
        ("max_listed", names.max_listed),
    ] {
        table.error_if(
            limit == 0,
            key,
            "0 lists nothing; write 1 or more, or remove `reason` to switch generic names off",
        );
    }
    GenericNameSettings {
        reason: names.reason.clone(),
        min_confidence: names.min_confidence,
        ranges: ranges(&names.ranges, special, &mut table),
        listed_hosts: names.listed_hosts,
        queried_hosts: names.queried_hosts,
        allow: allow_list(&names.allow_file, folder, &mut table),
        max_queue: names.max_queue,
        max_listed: names.max_listed,
        confirm_after: names.confirm_after,
        recheck: names.recheck,
        special: special.to_vec(),
    }
}

fn ranges(texts: &[String], special: &[Subject], report: &mut TableReport<'_>) -> Vec<Subject> {
    let (key, mut out) = ("ranges", Vec::new());
    for text in texts {
        let Some(range) = report.value(key, text.parse::<Subject>()) else {
            continue;
        };
        if !range.is_address() {
            report.error(key, format_args!("`{text}` is not an address or a prefix"));
        } else if let Some(why) = unlistable(&range, special) {
            report.error(key, format_args!("`{text}` cannot be listed: {why}"));
        } else {
            out.push(range);
        }
    }
    let total = out
        .iter()
        .fold(0, |sum: u128, range| sum.saturating_add(range.addresses()));
    report.error_if(
        total > MAX_RANGE_ADDRESSES.into(),
        key,
        format_args!(
            "they have {total} addresses; at most {MAX_RANGE_ADDRESSES} are looked up, which takes two and a half days"
        ),
    );
    out
}

fn allow_list(path: &Path, folder: &Path, report: &mut TableReport<'_>) -> AllowList {
    if path.as_os_str().is_empty() {
        return AllowList::default();
    }
    let path = folder.join(path);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) => {
            report.error("allow_file", format_args!("{}: {e}", path.display()));
            return AllowList::default();
        }
    };
    match AllowList::read(&text) {
        Ok(list) => list,
        Err(errors) => {
            for e in errors {
                report.error("allow_file", format_args!("{}:{e}", path.display()));
            }
            AllowList::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use crate::{
        config::{
            Config,
            tests::{ZONE, load},
        },
        generic_names::NameConfidence,
        model::reason::GENERIC_NAME_SOURCE,
    };

    fn with(text: &str) -> Result<Config, Vec<String>> {
        load(
            &format!("[[reason]]\nname='relay'\n[[reason]]\nname='generic'\n{text}"),
            ZONE,
        )
        .map_err(|e| e.0)
    }

    #[test]
    fn names_are_looked_up_only_with_a_reason() {
        let off = with("").unwrap();
        assert!(!off.generic_names.is_enabled());
        assert!(!off.ledger.feeds.contains(&GENERIC_NAME_SOURCE.to_string()));
        let on = with(
            "[generic_names]\nreason='generic'\nmin_confidence='high'\nranges=['45.51.0.0/20','2a01:4f8::/120']",
        );
        let on = on.unwrap();
        assert!(on.generic_names.is_enabled());
        assert_eq!(on.generic_names.min_confidence, NameConfidence::High);
        assert_eq!(on.generic_names.ranges.len(), 2);
        assert_eq!(on.ledger.feeds, [GENERIC_NAME_SOURCE]);
    }

    #[test]
    fn allow_file_is_read_with_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("allow");
        std::fs::write(&path, "45.51.1.0/24 # our own\n").unwrap();
        let text = format!("[generic_names]\nallow_file='{}'", path.display());
        let config = with(&text).unwrap();
        let addr: IpAddr = "45.51.1.7".parse().unwrap();
        assert!(config.generic_names.allow.address(addr).is_some());
        std::fs::write(&path, "45.51.1.0/24\n45.51.1.1/24\n").unwrap();
        let errors = with(&text).unwrap_err();
        assert!(errors[0].contains("allow:2: "), "{errors:?}");
        std::fs::remove_file(&path).unwrap();
        let errors = with(&text).unwrap_err();
        assert!(errors[0].contains("allow_file: "), "{errors:?}");
    }

    #[test]
    fn unusable_values_are_errors() {
        for (text, expected) in [
            ("reason='generik'", "did you mean `generic`?"),
            ("min_confidence='sure'", "min_confidence"),
            ("ranges=['isp.example']", "is not an address or a prefix"),
            ("ranges=['10.0.0.0/24']", "special-purpose range"),
            ("ranges=['45.0.0.0/11']", "at most 1048576 are looked up"),
            ("ranges=['2a01:4f8::/64']", "at most 1048576 are looked up"),
            ("recheck='0s'", "recheck"),
            ("confirm_after='0s'", "confirm_after"),
            ("max_queue=0", "0 lists nothing"),
            ("max_listed=0", "0 lists nothing"),
            ("queried_hosts=true", "set one_in of [query_sample]"),
        ] {
            let errors = with(&format!("[generic_names]\n{text}")).unwrap_err();
            assert!(
                errors.iter().any(|e| e.contains(expected)),
                "{text}: {errors:?}"
            );
        }
        let feed = "[[feed]]\nname='reverse-names'\npath='x'\nreason='relay'";
        let errors = with(feed).unwrap_err();
        assert!(
            errors
                .iter()
                .any(|e| e.contains("is the source of [generic_names]")),
            "{errors:?}"
        );
    }
}
