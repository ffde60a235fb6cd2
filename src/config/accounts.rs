//! Checks of `[admin] uids`, of the limits of proposals, and of feeds with the name of a user.

use std::collections::BTreeMap;

use super::{document::Report, tables::File, values::Uid};
use crate::model::{
    SourceId,
    access::{check_name, is_built_in},
};

/// The orbsd user names of users of this machine, by uid.
pub(super) fn socket_users(file: &File) -> BTreeMap<u32, String> {
    let uids = file.admin.uids.iter();
    uids.map(|(uid, name)| (uid.0, name.clone())).collect()
}

/// Reports users of this machine that cannot be users of orbsd, feeds with the name of a built-in
/// author, and limits that allow no proposal.
pub(super) fn check(file: &File, report: &mut Report) {
    let mut admin = report.of(&file.admin.place);
    for (Uid(uid), name) in &file.admin.uids {
        let text = "uid 0 is root, who is an owner already; remove the entry";
        admin.error_if(*uid == 0, "uids", text);
        if let Err(e) = check_name(name) {
            admin.error("uids", format_args!("{uid}: {e}"));
        } else if is_built_in(name) {
            let text =
                format_args!("{uid}: `{name}` is the name of a built-in author; name a user");
            admin.error("uids", text);
        }
    }
    let mut limits = report.of(&file.limits.place);
    for (key, limit) in [
        ("max_pending_proposals", file.limits.max_pending_proposals),
        ("max_proposals_per_day", file.limits.max_proposals_per_day),
    ] {
        limits.error_if(limit == 0, key, "0 allows no proposal; write 1 or more");
    }
    for feed in &file.feed {
        let name = &feed.name;
        report.of(&feed.place).error_if(
            is_built_in(name) && !SourceId::DECIDING.contains(&name.as_str()),
            "name",
            format_args!("`{name}` is the name of a built-in author; choose another name"),
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
