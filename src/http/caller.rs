//! The sender of a request, and their permissions.

use std::{convert::Infallible, net::IpAddr};

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    api::ProblemDetails,
    clock::Clock,
    model::{Role, Subject, TokenRestrictions, history::IdempotencyKey},
    store::schema::AuditRecord,
};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddress {
    /// A process at the socket, by its uid; `None` if the system does not report it.
    Socket(Option<u32>),
    /// A client at this address.
    Net(IpAddr),
}

/// The address of the client of a public request; `None` at the socket.
pub struct ClientAddress(pub Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ClientAddress, Infallible> {
        Ok(ClientAddress(match parts.extensions.get() {
            Some(PeerAddress::Net(addr)) => Some(addr.to_canonical()),
            Some(PeerAddress::Socket(_)) | None => None,
        }))
    }
}

/// The sender of a request, and their permissions.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The author of their changes: a user, a program, or `uid:N`.
    pub name: String,
    /// The person that they act for: two tokens of one user are one person.
    pub person: String,
    /// The role of the caller.
    pub role: Role,
    /// The limits of their writes.
    pub bounds: TokenRestrictions,
    /// Where the request comes from: an address, or `socket`.
    pub from: Box<str>,
    /// The ID of the token; `None` at the socket.
    pub token: Option<String>,
    /// The `Idempotency-Key`, if the whole request has one key.
    pub idempotency: Option<IdempotencyKey>,
    /// Trusted time.
    pub clock: Clock,
}

impl Caller {
    /// Refuses a write outside of the limits of the caller.
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

    /// Refuses a token that is limited to a part of a source, for an `action` on its whole list.
    pub fn allow_whole_source(&self, source: &str, action: &str) -> Result<(), ProblemDetails> {
        if !self.bounds.reasons.is_empty() || !self.bounds.prefixes.is_empty() {
            return Err(ProblemDetails::forbidden(format!(
                "a token that is limited to reasons or prefixes may not {action}; limit it to the source"
            )));
        }
        self.allow(None, None, Some(source))
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
    #[allow(clippy::needless_pass_by_value)] // most callers create the texts for it
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
            author: self.name.clone(),
            from: self.from.to_string(),
            action: action.into(),
            target: about,
            detail,
            note,
            commit: None,
            idempotency: self.idempotency,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[tokio::test]
    async fn mapped_client_address_is_an_ipv4_address() {
        let (mut parts, ()) = Request::new(()).into_parts();
        for (peer, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            parts
                .extensions
                .insert(PeerAddress::Net(peer.parse().unwrap()));
            let Ok(ClientAddress(client)) =
                ClientAddress::from_request_parts(&mut parts, &()).await;
            assert_eq!(client, Some(expected.parse().unwrap()));
        }
        parts.extensions.insert(PeerAddress::Socket(Some(0)));
        let Ok(ClientAddress(client)) = ClientAddress::from_request_parts(&mut parts, &()).await;
        assert_eq!(client, None);
    }
}
