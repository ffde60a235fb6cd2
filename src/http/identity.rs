//! Identity: the user of this machine at the other end of the socket, and the person that an author
//! acts for.

use super::{App, caller::Caller};
use crate::{
    api::{ProblemCode, ProblemDetails},
    model::{Role, TokenRestrictions},
};

/// The person that root and the daemon's own user are.
const ROOT: &str = "uid:0";
/// The most programs that are followed, from each to the creator of its token.
const MAX_STEPS: usize = 8;

/// The caller that a user of this machine is: root and the daemon's own user are owners, a user in
/// `[admin] uids` has the role of the named user, and all others who may open the socket are
/// readers.
pub fn at_socket(app: &App, uid: Option<u32>) -> Result<Caller, ProblemDetails> {
    let Some(uid) = uid else {
        return Err(ProblemDetails::new(
            ProblemCode::Unauthorized,
            "the system does not report which user is at the other end of the socket",
        ));
    };
    let caller = |name: &str, role: Role| Caller {
        name: name.into(),
        person: person(app, name),
        role,
        bounds: TokenRestrictions::default(),
        from: "socket".into(),
        token: None,
        idempotency: None,
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
        Some(_) => Err(ProblemDetails::forbidden(format!(
            "the user {name} (uid {uid}) is disabled"
        ))),
        None => Err(ProblemDetails::forbidden(format!(
            "[admin] uids maps uid {uid} to `{name}`, which is not a user; `orbsd user add {name}` adds one"
        ))),
    }
}

/// The person that an author acts for: the user itself, or for a program the person who created its
/// token. Root and the daemon's own user are one person.
pub fn person(app: &App, author: &str) -> String {
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
