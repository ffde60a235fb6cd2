//! The headers of a write: `If-Match` and `Idempotency-Key`.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use ring::digest;

use super::caller::Caller;
use crate::{
    api::ProblemDetails,
    model::{Preconditions, history::IdempotencyKey},
};

/// The longest `Idempotency-Key`, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// The preconditions in the headers of a write.
#[derive(Debug, Clone, Default)]
pub struct RequestConditions {
    /// The revision of `If-Match`.
    pub expect: Option<u64>,
    /// The key of `Idempotency-Key`.
    pub key: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for RequestConditions {
    type Rejection = ProblemDetails;
    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> Result<RequestConditions, ProblemDetails> {
        RequestConditions::read(&parts.headers)
    }
}

impl RequestConditions {
    /// Reads the headers.
    pub fn read(headers: &HeaderMap) -> Result<RequestConditions, ProblemDetails> {
        let text = |name: &str| {
            headers
                .get(name)
                .map(|v| v.to_str().map(str::trim).unwrap_or("\u{0}"))
        };
        let expect = match text("if-match") {
            None | Some("*") => None,
            Some(revision) => {
                let digits = Some(revision.trim_matches('"')).filter(|r| r.len() == 16);
                let read = digits.and_then(|r| u64::from_str_radix(r, 16).ok());
                Some(read.ok_or_else(|| {
                    ProblemDetails::invalid(
                        "if-match: it must be the `revision` of a listing or subject",
                    )
                })?)
            }
        };
        let valid = |k: &str| {
            (1..=MAX_KEY_BYTES).contains(&k.len()) && k.bytes().all(|b| (32..127).contains(&b))
        };
        let key = match text("idempotency-key") {
            None => None,
            Some(k) if valid(k) => Some(k.to_string()),
            Some(_) => {
                return Err(ProblemDetails::invalid(format!(
                    "idempotency-key: it must have 1 to {MAX_KEY_BYTES} printable ASCII characters"
                )));
            }
        };
        Ok(RequestConditions { expect, key })
    }

    /// The key that the ledger stores. `scope` distinguishes changes with the same header, such as
    /// the lines of a stream; `body` is the content of the request.
    pub fn idempotency(&self, caller: &Caller, scope: &str, body: &[u8]) -> Option<IdempotencyKey> {
        let key = self.key.as_ref()?;
        let author = caller.token.as_ref().unwrap_or(&caller.name);
        Some(IdempotencyKey {
            key: hash(&[author.as_bytes(), key.as_bytes(), scope.as_bytes()]),
            body: u64::from_be_bytes(hash(&[body])),
        })
    }

    /// The preconditions of a change; `scope` and `body` as in [`RequestConditions::idempotency`].
    pub fn preconditions(&self, caller: &Caller, scope: &str, body: &[u8]) -> Preconditions {
        Preconditions {
            from: caller.from.clone(),
            expect: self.expect,
            idempotency: self.idempotency(caller, scope, body),
            ..Preconditions::default()
        }
    }
}

/// The first bytes of the SHA-256 of texts, each after its length.
fn hash<const N: usize>(texts: &[&[u8]]) -> [u8; N] {
    let mut all = digest::Context::new(&digest::SHA256);
    for text in texts {
        all.update(&(text.len() as u64).to_be_bytes());
        all.update(text);
    }
    let digest = all.finish();
    std::array::from_fn(|i| digest.as_ref()[i])
}
