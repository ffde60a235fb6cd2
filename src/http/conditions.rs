//! The headers of a write: `If-Match` and `Idempotency-Key`.

use axum::http::HeaderMap;
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
            Some(r) => {
                let r = r.trim_matches('"');
                let read = Some(r)
                    .filter(|r| r.len() == 16)
                    .and_then(|r| u64::from_str_radix(r, 16).ok());
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

    /// The preconditions of a change. `what` distinguishes changes with the same key, such as the
    /// lines of a stream; `body` is the content of the request.
    pub fn preconditions(&self, caller: &Caller, what: &str, body: &[u8]) -> Preconditions {
        let hash = |parts: &[&[u8]]| {
            let mut all = digest::Context::new(&digest::SHA256);
            for p in parts {
                all.update(&(p.len() as u64).to_be_bytes());
                all.update(p);
            }
            all.finish()
        };
        let idempotency = self.key.as_ref().map(|key| {
            let who = caller.token.as_ref().unwrap_or(&caller.name);
            let (k, b) = (
                hash(&[who.as_bytes(), key.as_bytes(), what.as_bytes()]),
                hash(&[body]),
            );
            let copy = |d: &digest::Digest, out: &mut [u8]| {
                out.iter_mut().zip(d.as_ref()).for_each(|(o, d)| *o = *d);
            };
            let (mut key, mut body) = ([0; 16], [0; 8]);
            copy(&k, &mut key);
            copy(&b, &mut body);
            IdempotencyKey {
                key,
                body: u64::from_be_bytes(body),
            }
        });
        Preconditions {
            from: caller.from.clone(),
            expect: self.expect,
            idempotency,
            ..Preconditions::default()
        }
    }
}
