//! Names in the configuration that are also names of people: `[admin] uids`, and feeds beside the built-in authors.

use std::collections::BTreeMap;

use super::{document::Report, tables::File};
use crate::model::{
    SourceId,
    access::{check_name, is_built_in},
};

/// The users of this machine who are users of orbsd, by uid.
pub(super) fn socket_users(file: &File) -> BTreeMap<u32, String> {
    file.admin.uids.iter().map(|(uid, name)| (uid.0, name.clone())).collect()
}

/// Reports users of this machine that cannot be users of orbsd, feeds with the name of a built-in author, and limits that let
/// nobody propose anything.
pub(super) fn check(file: &File, report: &mut Report) {
    let place = &file.admin.place;
    for (uid, name) in &file.admin.uids {
        let uid = uid.0;
        if uid == 0 {
            report.error(place, "uids", "uid 0 is root, who is an owner already; remove the entry");
        }
        if let Err(e) = check_name(name) {
            report.error(place, "uids", format_args!("{uid}: {e}"));
        } else if is_built_in(name) {
            report.error(place, "uids", format_args!("{uid}: `{name}` is the name of a built-in author; name a user"));
        }
    }
    for (key, limit) in [("waiting_proposals", file.limits.waiting_proposals), ("daily_proposals", file.limits.daily_proposals)] {
        if limit == 0 {
            report.error(&file.limits.place, key, "nobody could propose anything; take 1 or more");
        }
    }
    for feed in file.feed.iter().filter(|f| is_built_in(&f.name) && !SourceId::DECIDING.contains(&f.name.as_str())) {
        report.error(&feed.place, "name", format_args!("`{}` is the name of a built-in author; choose another name", feed.name));
    }
}
