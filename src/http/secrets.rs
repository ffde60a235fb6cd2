//! Secrets of people and programs: made here, shown once, kept as hashes.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use data_encoding::BASE32_NOPAD;
use ring::{digest, hmac};
use subtle::ConstantTimeEq;

use crate::{
    model::{Time, Token},
    random::Random,
};

/// What every token begins with, so that a leaked one is known for what it is.
const PREFIX: &str = "orbsd_";
/// How long one one-time password counts, in seconds (RFC 6238 section 5.2).
const STEP: u64 = 30;
/// Recovery codes of a person.
const CODES: usize = 10;

/// Random bytes of the system.
pub fn random<const N: usize>() -> Result<[u8; N], String> {
    Ok(Random::system().bytes()?)
}

/// Bytes as lower-case base32: safe to read out, to type and to put in a header.
pub fn text(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// SHA-256. The secrets that are kept by it are random and long, so a slow hash would win nothing.
pub fn hash(secret: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, secret);
    digest.as_ref().try_into().unwrap_or_default()
}

/// A new token: its number, what is shown once, and the hash that is kept.
pub fn token() -> Result<(String, String, [u8; 32]), String> {
    let (id, secret) = (text(&random::<5>()?), text(&random::<32>()?));
    let shown = format!("{PREFIX}{id}_{secret}");
    let hash = hash(secret.as_bytes());
    Ok((id, shown, hash))
}

/// The number and the secret of a token as it was shown.
pub fn parts(shown: &str) -> Option<(&str, &str)> {
    shown.trim().strip_prefix(PREFIX)?.split_once('_')
}

/// Whether a secret is a token's, in a time that tells nothing.
pub fn is(token: &Token, secret: &str) -> bool {
    token.hash.ct_eq(&hash(secret.as_bytes())).into()
}

/// What a new person, or one with new secrets, is shown once, and what is kept of it.
pub struct Fresh {
    /// The password.
    pub password: String,
    /// The same as an argon2 string.
    pub hashed: String,
    /// The secret of one-time passwords.
    pub totp: Vec<u8>,
    /// The recovery codes.
    pub codes: Vec<String>,
}

impl Fresh {
    /// New secrets; the password is a given one or a random one.
    pub fn new(password: Option<String>) -> Result<Fresh, String> {
        let password = match password {
            Some(p) => p,
            None => text(&random::<15>()?),
        };
        let hashed = Argon2::default()
            .hash_password(password.as_bytes())
            .map_err(|e| e.to_string())?
            .to_string();
        let codes = (0..CODES)
            .map(|_| Ok(text(&random::<10>()?)))
            .collect::<Result<_, String>>()?;
        Ok(Fresh {
            password,
            hashed,
            totp: random::<20>()?.into(),
            codes,
        })
    }

    /// What an authenticator application takes (Key Uri Format).
    pub fn uri(&self, name: &str) -> String {
        format!(
            "otpauth://totp/orbsd:{name}?secret={}&issuer=orbsd",
            BASE32_NOPAD.encode(&self.totp)
        )
    }
}

/// Whether a password is the one that was hashed. Takes tens of milliseconds and 19 MiB, as it
/// should.
pub fn password_is(hashed: &str, password: &str) -> bool {
    PasswordHash::new(hashed).is_ok_and(|h| {
        Argon2::default()
            .verify_password(password.as_bytes(), &h)
            .is_ok()
    })
}

/// The one-time password of a moment (RFC 6238, RFC 4226): six digits.
pub fn one_time(secret: &[u8], at: Time) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &(at.0 / STEP).to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 15);
    let word = tag
        .get(offset..)
        .and_then(|t| t.first_chunk())
        .map_or(0, |b| u32::from_be_bytes(*b));
    (word & 0x7fff_ffff) % 1_000_000
}

/// Whether a one-time password counts now; the one before and the one after do too, for clocks that
/// are off.
pub fn one_time_is(secret: &[u8], at: Time, shown: &str) -> bool {
    let near = [at.0.saturating_sub(STEP), at.0, at.0 + STEP];
    near.iter().any(|t| {
        format!("{:06}", one_time(secret, Time(*t)))
            .as_bytes()
            .ct_eq(shown.as_bytes())
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, the last six digits.
    #[test]
    fn rfc6238_vectors() {
        let secret = b"12345678901234567890";
        for (at, code) in [
            (59, 287_082),
            (1_111_111_109, 81_804),
            (1_234_567_890, 5_924),
            (20_000_000_000, 353_130),
        ] {
            assert_eq!(one_time(secret, Time(at)), code);
        }
        assert!(
            one_time_is(secret, Time(59 + 29), "287082")
                && !one_time_is(secret, Time(59 + 61), "287082")
        );
        assert!(!one_time_is(secret, Time(59), "28708"));
    }

    #[test]
    fn a_password_is_known_again_and_no_other() {
        let fresh = Fresh::new(Some("correct horse".into())).unwrap();
        assert!(
            password_is(&fresh.hashed, "correct horse")
                && !password_is(&fresh.hashed, "correct horsf")
        );
        assert!(!password_is("", "x"));
        assert_eq!(
            fresh
                .codes
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            CODES
        );
        assert!(
            fresh
                .uri("anna")
                .starts_with("otpauth://totp/orbsd:anna?secret=")
        );
    }

    #[test]
    fn a_token_is_read_in_its_parts() {
        let (id, shown, kept) = token().unwrap();
        let (i, secret) = parts(&shown).unwrap();
        assert_eq!((i, hash(secret.as_bytes())), (id.as_str(), kept));
        for bad in ["", "orbsd_", "orbsd_x", "basic x_y"] {
            assert!(parts(bad).is_none(), "{bad}");
        }
    }
}
