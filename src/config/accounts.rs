//! Names in the configuration that share a name space with users: `[admin] uids`, and feeds.

use std::collections::BTreeMap;

use super::{document::Report, tables::File};
use crate::model::{
    SourceId,
    access::{check_name, is_built_in},
};

/// The users of this machine who are users of orbsd, by uid.
pub(super) fn socket_users(file: &File) -> BTreeMap<u32, String> {
    file.admin
        .uids
        .iter()
        .map(|(uid, name)| (uid.0, name.clone()))
        .collect()
}

/// Reports users of this machine that cannot be users of orbsd, feeds with the name of a built-in
/// author, and limits that allow no proposal.
pub(super) fn check(file: &File, report: &mut Report) {
    let place = &file.admin.place;
    for (uid, name) in &file.admin.uids {
        let uid = uid.0;
        if uid == 0 {
            report.error(
                place,
                "uids",
                "uid 0 is root, who is an owner already; remove the entry",
            );
        }
        if let Err(e) = check_name(name) {
            report.error(place, "uids", format_args!("{uid}: {e}"));
        } else if is_built_in(name) {
            report.error(
                place,
                "uids",
                format_args!("{uid}: `{name}` is the name of a built-in author; name a user"),
            );
        }
    }
    for (key, limit) in [
        ("max_pending_proposals", file.limits.max_pending_proposals),
        ("max_proposals_per_day", file.limits.max_proposals_per_day),
    ] {
        if limit == 0 {
            report.error(
                &file.limits.place,
                key,
                "0 allows no proposal; write 1 or more",
            );
        }
    }
    for feed in file
        .feed
        .iter()
        .filter(|f| is_built_in(&f.name) && !SourceId::DECIDING.contains(&f.name.as_str()))
    {
        report.error(
            &feed.place,
            "name",
            format_args!(
                "`{}` is the name of a built-in author; choose another name",
                feed.name
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{ZONE, load};

    #[test]
    fn users_of_the_machine_and_feeds_have_names_of_their_own() {
        let reason = "[[reason]]\nname='relay'\n";
        let config = load(
            &format!("[admin]\nuids = {{ 1000 = 'anna' }}\n{reason}"),
            ZONE,
        )
        .unwrap();
        assert_eq!(
            config.ledger.socket_users.get(&1000).map(String::as_str),
            Some("anna")
        );
        assert_eq!(
            (
                config.ledger.proposals.waiting,
                config.ledger.proposals.daily
            ),
            (500, 1000)
        );
        for (text, part) in [
            (
                "[admin]\nuids = { x = 'anna' }",
                "is not a table of user ids and names",
            ),
            ("[admin]\nuids = { 0 = 'anna' }", "uid 0 is root"),
            (
                "[admin]\nuids = { 1000 = 'a b' }",
                "1000: `a b` is not a valid name",
            ),
            (
                "[admin]\nuids = { 1000 = 'tester' }",
                "name of a built-in author",
            ),
            ("[limits]\nmax_pending_proposals = 0", "write 1 or more"),
            (
                "[[feed]]\nname = 'Expiry'\npath = 'x'\nreason = 'relay'",
                "Expiry",
            ),
            (
                "[[feed]]\nname = 'tester'\npath = 'x'\nreason = 'relay'",
                "built-in author",
            ),
        ] {
            let e = load(&format!("{text}\n{reason}"), ZONE).unwrap_err();
            assert!(e.to_string().contains(part), "{text}: {e}");
        }
    }
}
