//! Unguessable parts of paths: the only key to a ticket, and the address of the page of a release.

use std::fmt;

use data_encoding::BASE32_DNSSEC;
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::random::{Random, RandomError};

/// 128 random bits as text: 26 characters in the base 32 of RFC 4648 section 7, in lower case.
/// `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TicketSecret(String);

impl fmt::Debug for TicketSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketSecret(…)")
    }
}

/// The length of a secret as text.
const CHARACTERS: usize = 26;

impl TicketSecret {
    /// Makes a new secret.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn new(random: &Random) -> Result<TicketSecret, RandomError> {
        Ok(TicketSecret(BASE32_DNSSEC.encode(&random.bytes::<16>()?)))
    }

    /// The text, for paths.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key under which the store finds the secret.
    pub fn key(&self) -> [u8; 32] {
        hash(&self.0)
    }

    /// Returns the key of a secret that a client sent; `None` if it cannot be one. Rows are found by
    /// a hash, so that the time of a look-up does not depend on how much of a guess is right.
    pub fn key_of(text: &str) -> Option<[u8; 32]> {
        let is_possible = text.len() == CHARACTERS && BASE32_DNSSEC.decode(text.as_bytes()).is_ok();
        is_possible.then(|| hash(&text.to_ascii_lowercase()))
    }
}

/// The SHA-256 of a text, as the key of a row that does not show the text.
pub(super) fn hash(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_found_by_its_text_and_not_printed() {
        let secret = TicketSecret::new(&Random::seeded(1)).unwrap();
        assert_eq!(secret.as_str().len(), CHARACTERS);
        assert_eq!(TicketSecret::key_of(secret.as_str()), Some(secret.key()));
        let upper = secret.as_str().to_ascii_uppercase();
        assert_eq!(TicketSecret::key_of(&upper), Some(secret.key()));
        assert!(!format!("{secret:?}").contains(secret.as_str()));
        for other in [
            "",
            "x",
            "../../etc/passwd/xxxxxxxxxx",
            "wwwwwwwwwwwwwwwwwwwwwwwwww",
        ] {
            assert_eq!(TicketSecret::key_of(other), None, "{other}");
        }
        let another = TicketSecret::new(&Random::seeded(2)).unwrap();
        assert_ne!(secret.key(), another.key());
    }
}
