//! Who calls: the user of this machine at the other end of the socket, and the person behind an
//! author.

use super::{App, access::Caller, error::Problem};
use crate::model::{Role, TokenRestrictions};

/// The one person that root and the daemon's own user are.
const ROOT: &str = "uid:0";
/// How far a program's token is followed to the person who made it.
const MAX_STEPS: usize = 8;

/// The caller that a user of this machine is: root and the daemon's own user are an owner, a user
/// that `[admin] uids` names has the role of that user, and everybody else who may open the socket
/// is a reader.
pub(super) fn at_socket(app: &App, uid: Option<u32>) -> Result<Caller, Problem> {
    let Some(uid) = uid else {
        return Err(Problem::new(
            "unauthorized",
            "the system does not say which user is at the other end of the socket",
        ));
    };
    let caller = |name: &str, role: Role| Caller {
        name: name.into(),
        person: person(app, name),
        role,
        bounds: TokenRestrictions::default(),
        from: "socket".into(),
        token: None,
        once: None,
        clock: app.ledger.clock.clone(),
    };
    let own = format!("uid:{uid}");
    if uid == 0 || uid == app.uid {
        return Ok(caller(&own, Role::Owner));
    }
    let settings = app.ledger.settings();
    let Some(name) = settings.socket_users.get(&uid) else {
        return Ok(caller(&own, Role::Reader));
    };
    match app.ledger.accounts().users.get(name) {
        Some(p) if p.disabled.is_none() => Ok(caller(name, p.role)),
        Some(_) => Err(Problem::forbidden(format!(
            "the user {name} (uid {uid}) is disabled"
        ))),
        None => Err(Problem::forbidden(format!(
            "[admin] uids says that uid {uid} is `{name}`, and there is no such user; `orbsd person add {name}` adds one"
        ))),
    }
}

/// The person behind an author: a user, or of a program the person who made its token. Root and the
/// daemon's own user are one person.
pub(super) fn person(app: &App, author: &str) -> String {
    let (accounts, settings) = (app.ledger.accounts(), app.ledger.settings());
    let mut name = author.to_string();
    for _ in 0..MAX_STEPS {
        if let Some(uid) = name
            .strip_prefix("uid:")
            .and_then(|n| n.parse::<u32>().ok())
        {
            let own = uid == 0 || uid == app.uid;
            return if own {
                ROOT.into()
            } else {
                settings.socket_users.get(&uid).cloned().unwrap_or(name)
            };
        }
        let token = || {
            accounts
                .tokens
                .values()
                .find(|t| !t.person && t.owner == name)
        };
        match token().filter(|_| !accounts.users.contains_key(&name)) {
            Some(token) => name = token.by.clone(),
            None => return name,
        }
    }
    name
}
