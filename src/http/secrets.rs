//! Secrets of users and programs: generated here, displayed once, stored as hashes.

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

/// The prefix of every token, so that a leaked one is recognised.
const PREFIX: &str = "orbsd_";
/// How long a one-time password is valid, in seconds (RFC 6238 section 5.2).
const STEP_SECONDS: u64 = 30;
/// How many recovery codes a user gets.
const RECOVERY_CODES: usize = 10;

/// Random bytes of the system.
pub fn random<const N: usize>() -> Result<[u8; N], String> {
    Ok(Random::system().bytes()?)
}

/// Bytes as lower-case base32: safe to read out, to type and to put in a header.
pub fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// Hashes a secret with SHA-256. These secrets are random and long, so that a slow hash would not
/// protect them better.
pub fn hash(secret: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, secret);
    digest.as_ref().try_into().unwrap_or_default()
}

/// Generates a token: its ID, the text that is displayed once, and the hash that is stored.
pub fn token() -> Result<(String, String, [u8; 32]), String> {
    let (id, secret) = (base32(&random::<5>()?), base32(&random::<32>()?));
    let token = format!("{PREFIX}{id}_{secret}");
    let hash = hash(secret.as_bytes());
    Ok((id, token, hash))
}

/// Splits the text of a token into its ID and its secret.
pub fn split_token(token: &str) -> Option<(&str, &str)> {
    token.trim().strip_prefix(PREFIX)?.split_once('_')
}

/// Whether a secret is that of a token, compared in constant time.
pub fn verify_token(token: &Token, secret: &str) -> bool {
    token.hash.ct_eq(&hash(secret.as_bytes())).into()
}

/// New secrets of a user: the texts that are displayed once, and what is stored of them.
pub struct UserSecrets {
    /// The password.
    pub password: String,
    /// The same as an argon2 string.
    pub hashed: String,
    /// The secret of one-time passwords.
    pub totp: Vec<u8>,
    /// The recovery codes.
    pub codes: Vec<String>,
}

impl UserSecrets {
    /// Generates secrets; without a password, that one too.
    pub fn new(password: Option<String>) -> Result<UserSecrets, String> {
        let password = match password {
            Some(p) => p,
            None => base32(&random::<15>()?),
        };
        let hashed = Argon2::default()
            .hash_password(password.as_bytes())
            .map_err(|e| e.to_string())?
            .to_string();
        let codes = (0..RECOVERY_CODES)
            .map(|_| Ok(base32(&random::<10>()?)))
            .collect::<Result<_, String>>()?;
        Ok(UserSecrets {
            password,
            hashed,
            totp: random::<20>()?.into(),
            codes,
        })
    }

    /// The hashes of the recovery codes, which are stored.
    pub fn hashed_codes(&self) -> Vec<[u8; 32]> {
        self.codes.iter().map(|c| hash(c.as_bytes())).collect()
    }

    /// The URI for an authenticator application (Key Uri Format).
    pub fn uri(&self, name: &str) -> String {
        format!(
            "otpauth://totp/orbsd:{name}?secret={}&issuer=orbsd",
            BASE32_NOPAD.encode(&self.totp)
        )
    }
}

/// Whether a password matches its hash. It takes tens of milliseconds and 19 MiB by design.
pub fn verify_password(hashed: &str, password: &str) -> bool {
    PasswordHash::new(hashed).is_ok_and(|h| {
        Argon2::default()
            .verify_password(password.as_bytes(), &h)
            .is_ok()
    })
}

/// The one-time password at a time (RFC 6238, RFC 4226): six digits.
pub fn totp_code(secret: &[u8], at: Time) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &(at.0 / STEP_SECONDS).to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 15);
    let truncated = tag
        .get(offset..)
        .and_then(|t| t.first_chunk())
        .map_or(0, |b| u32::from_be_bytes(*b));
    (truncated & 0x7fff_ffff) % 1_000_000
}

/// Whether a one-time password is valid at a time. The previous and the next one are valid too, for
/// clocks that differ.
pub fn verify_totp(secret: &[u8], at: Time, code: &str) -> bool {
    let near = [at.0.saturating_sub(STEP_SECONDS), at.0, at.0 + STEP_SECONDS];
    near.iter().any(|t| {
        format!("{:06}", totp_code(secret, Time(*t)))
            .as_bytes()
            .ct_eq(code.as_bytes())
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
            assert_eq!(totp_code(secret, Time(at)), code);
        }
        assert!(
            verify_totp(secret, Time(59 + 29), "287082")
                && !verify_totp(secret, Time(59 + 61), "287082")
        );
        assert!(!verify_totp(secret, Time(59), "28708"));
    }

    #[test]
    fn only_the_hashed_password_is_verified() {
        let secrets = UserSecrets::new(Some("correct horse".into())).unwrap();
        assert!(
            verify_password(&secrets.hashed, "correct horse")
                && !verify_password(&secrets.hashed, "correct horsf")
        );
        assert!(!verify_password("", "x"));
        assert_eq!(
            secrets
                .codes
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            RECOVERY_CODES
        );
        assert!(
            secrets
                .uri("anna")
                .starts_with("otpauth://totp/orbsd:anna?secret=")
        );
    }

    #[test]
    fn token_is_split_into_id_and_secret() {
        let (id, text, stored_hash) = token().unwrap();
        let (i, secret) = split_token(&text).unwrap();
        assert_eq!((i, hash(secret.as_bytes())), (id.as_str(), stored_hash));
        for bad in ["", "orbsd_", "orbsd_x", "basic x_y"] {
            assert!(split_token(bad).is_none(), "{bad}");
        }
    }
}
