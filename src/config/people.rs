//! Names in the configuration that are also names of people: `[admin] uids`, and feeds beside the built-in authors.

use super::File;
use crate::model::{
    SourceId,
    access::{check_name, is_built_in},
};

/// Reports users of this machine that cannot be users here, and feeds with the name of a built-in author.
pub(super) fn check(file: &File, wrong: &mut dyn FnMut(String)) {
    for (uid, name) in &file.admin.uids {
        match uid.parse::<u32>() {
            Err(_) => wrong(format!("admin.uids: `{uid}` is not a user id; write it as 1000 = \"anna\"")),
            Ok(0) => wrong("admin.uids: uid 0 is root, who is an owner already; remove the entry".into()),
            Ok(_) => {}
        }
        if let Err(e) = check_name(name) {
            wrong(format!("admin.uids: {uid}: {e}"));
        } else if is_built_in(name) {
            wrong(format!("admin.uids: {uid}: `{name}` is the name of a built-in author; name a user"));
        }
    }
    if file.limits.waiting_proposals == 0 || file.limits.daily_proposals == 0 {
        wrong("limits: waiting_proposals and daily_proposals: take 1 or more".into());
    }
    for feed in file.feed.iter().filter(|f| is_built_in(&f.name) && !SourceId::DECIDING.contains(&f.name.as_str())) {
        wrong(format!("feed `{}`: that is the name of a built-in author; choose another name", feed.name));
    }
}
