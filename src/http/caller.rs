//! Who sends a request, and what they may do.

use std::net::IpAddr;

use crate::{
    api::ProblemDetails,
    clock::Clock,
    model::{Role, Subject, TokenRestrictions, history::IdempotencyKey},
    store::schema::AuditRecord,
};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddress {
    /// A process that may open the socket, by its uid; none where the system does not report it.
    Socket(Option<u32>),
    /// A client at this address.
    Net(IpAddr),
}

/// Who sends a request, and what they may do.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The author of what they do: a user, a program, or `uid:N`.
    pub name: String,
    /// The person that they act for: two tokens of one user are one person.
    pub person: String,
    /// What they may do.
    pub role: Role,
    /// What their writes are limited to.
    pub bounds: TokenRestrictions,
    /// Where they are: an address, or `socket`.
    pub from: Box<str>,
    /// The number of the token; none at the socket.
    pub token: Option<String>,
    /// From `Idempotency-Key`, where the whole request is idempotent.
    pub idempotency: Option<IdempotencyKey>,
    /// Trusted time.
    pub clock: Clock,
}

impl Caller {
    /// Refuses a write outside of what the caller is limited to.
    pub fn allow(
        &self,
        subject: Option<&Subject>,
        reason: Option<&str>,
        source: Option<&str>,
    ) -> Result<(), ProblemDetails> {
        self.bounds
            .allow(subject, reason, source)
            .map_err(ProblemDetails::forbidden)
    }

    /// Refuses a role below `least`.
    pub fn require(&self, least: Role) -> Result<(), ProblemDetails> {
        if self.role >= least {
            return Ok(());
        }
        let (least, has) = (least.name(), self.role.name());
        Err(ProblemDetails::forbidden(format!(
            "this requires the role {least}; yours is {has}"
        )))
    }

    /// A record for the audit log.
    #[allow(clippy::needless_pass_by_value)] // most callers make the texts for it
    pub fn audit_record(
        &self,
        action: &str,
        target: impl ToString,
        detail: impl ToString,
        note: Option<String>,
    ) -> AuditRecord {
        let (about, detail) = (target.to_string(), detail.to_string());
        AuditRecord {
            at: self.clock.now(),
            who: self.name.clone(),
            from: self.from.to_string(),
            what: action.into(),
            about,
            detail,
            why: note,
            commit: None,
            idempotency: self.idempotency,
        }
    }
}
