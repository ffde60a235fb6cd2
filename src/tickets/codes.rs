//! Codes: short-lived secrets that prove control of a subject or of a mail address. Only their
//! hashes are stored.
//!
//! A code is `NUMBER-SECRET`: the number of its ticket, and 26 characters for 130 bits, of which
//! 128 are random. The number finds the ticket without an index of codes.

use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::{
    model::{Time, time::Seconds},
    random::{Random, RandomError},
};

/// How long a code is valid.
pub const CODE_LIFETIME: Seconds = Seconds(24 * 3600);
/// The most codes of a ticket that are kept; the oldest is dropped.
pub const MAX_CODES: usize = 12;
/// The random bytes of a code.
const SECRET_BYTES: usize = 16;
/// The longest code, in characters.
const MAX_CODE_CHARS: usize = 64;

/// What a code is for. It is worth nothing for any other purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodePurpose {
    /// Proves control by a request from the address, or by a TXT record. The page of the ticket
    /// shows it.
    Control,
    /// Proves control by mail to a role address. Only the mail has it.
    RoleMail,
    /// Confirms the contact address of a ticket. Only the mail has it.
    Contact,
}

/// A code as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCode {
    /// What the code is for.
    pub purpose: CodePurpose,
    /// SHA-256 of the code, in hexadecimal.
    pub hash: String,
    /// When the code was issued.
    pub issued: Time,
    /// When the code expires.
    pub expires: Time,
    /// When the code was used; `None` if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Time>,
}

/// Why a code is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// No ticket has issued the code for this purpose.
    #[error("there is no such code; copy it from the page of your request again")]
    Unknown,
    /// The code has expired.
    #[error("the code has expired; the page of your request shows how to get a new one")]
    Expired,
    /// The code was used before.
    #[error("the code was used already; nothing was changed")]
    Used,
}

/// Returns the number of the ticket that issued a code; `None` if the text is not a code.
pub fn ticket_of(code: &str) -> Option<u64> {
    let (number, secret) = code.split_once('-')?;
    let is_secret = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
    let is_code = code.len() <= MAX_CODE_CHARS
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
        && !secret.is_empty()
        && secret.bytes().all(is_secret);
    is_code.then(|| number.parse().ok()).flatten()
}

/// Makes a random code of a ticket, for mail.
///
/// # Errors
///
/// The operating system provides no random numbers.
pub fn random_code(ticket: u64, random: &Random) -> Result<String, RandomError> {
    Ok(write(ticket, random.bytes::<SECRET_BYTES>()?))
}

/// Derives the code that the page of a ticket shows. The secret of the page is its key, so that
/// the page can show the code again although only its hash is stored, and no other ticket, subject
/// or time has the same one.
pub fn derived_code(ticket: u64, page_secret: &str, subject: &str, issued: Time) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, page_secret.as_bytes());
    let text = format!("orbsd-proof\0{ticket}\0{subject}\0{}", issued.0);
    let tag = hmac::sign(&key, text.as_bytes());
    let mut secret = [0; SECRET_BYTES];
    secret.copy_from_slice(&tag.as_ref()[..SECRET_BYTES]);
    write(ticket, secret)
}

fn write(ticket: u64, secret: [u8; SECRET_BYTES]) -> String {
    let text = data_encoding::BASE32_NOPAD.encode(&secret);
    format!("{ticket}-{}", text.to_ascii_lowercase())
}

fn hash(code: &str) -> String {
    let hash = digest::digest(&digest::SHA256, code.as_bytes());
    data_encoding::HEXLOWER.encode(hash.as_ref())
}

/// Ends the unused codes of a purpose.
pub fn revoke(codes: &mut Vec<StoredCode>, purpose: CodePurpose) {
    codes.retain(|c| c.purpose != purpose || c.used.is_some());
}

/// Adds a code to those of a ticket. An unused code of the same purpose ends, so that a ticket has
/// one valid code for each purpose.
pub fn issue(codes: &mut Vec<StoredCode>, purpose: CodePurpose, code: &str, now: Time) {
    revoke(codes, purpose);
    codes.push(StoredCode {
        purpose,
        hash: hash(code),
        issued: now,
        expires: now.plus(CODE_LIFETIME),
        used: None,
    });
    if codes.len() > MAX_CODES {
        codes.drain(..codes.len() - MAX_CODES);
    }
}

/// Checks that a code can be used now, without using it.
///
/// # Errors
///
/// The code is unknown, has expired or was used.
pub fn check(
    codes: &[StoredCode],
    purpose: CodePurpose,
    code: &str,
    now: Time,
) -> Result<(), CodeError> {
    position(codes, purpose, code, now).map(drop)
}

/// Uses a code once.
///
/// # Errors
///
/// The code is unknown, has expired or was used; then nothing is changed.
pub fn redeem(
    codes: &mut [StoredCode],
    purpose: CodePurpose,
    code: &str,
    now: Time,
) -> Result<(), CodeError> {
    let at = position(codes, purpose, code, now)?;
    codes[at].used = Some(now);
    Ok(())
}

fn position(
    codes: &[StoredCode],
    purpose: CodePurpose,
    code: &str,
    now: Time,
) -> Result<usize, CodeError> {
    let hash = hash(code);
    let equal = |c: &StoredCode| bool::from(c.hash.as_bytes().ct_eq(hash.as_bytes()));
    let at = codes
        .iter()
        .position(|c| c.purpose == purpose && equal(c))
        .ok_or(CodeError::Unknown)?;
    match &codes[at] {
        c if c.used.is_some() => Err(CodeError::Used),
        c if now >= c.expires => Err(CodeError::Expired),
        _ => Ok(at),
    }
}

/// Returns the purpose of a code that a ticket has issued; `None` if it has not.
pub fn purpose_of(codes: &[StoredCode], code: &str) -> Option<CodePurpose> {
    let hash = hash(code);
    let equal = |c: &&StoredCode| bool::from(c.hash.as_bytes().ct_eq(hash.as_bytes()));
    codes.iter().find(equal).map(|c| c.purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000);

    #[test]
    fn code_is_used_once_and_only_for_its_purpose() {
        let code = random_code(7, &Random::seeded(1)).unwrap();
        let mut codes = Vec::new();
        issue(&mut codes, CodePurpose::RoleMail, &code, NOW);
        for other in [CodePurpose::Control, CodePurpose::Contact] {
            assert_eq!(
                redeem(&mut codes, other, &code, NOW),
                Err(CodeError::Unknown)
            );
        }
        assert_eq!(check(&codes, CodePurpose::RoleMail, &code, NOW), Ok(()));
        assert_eq!(
            redeem(&mut codes, CodePurpose::RoleMail, &code, NOW),
            Ok(())
        );
        let before = codes.clone();
        assert_eq!(
            redeem(&mut codes, CodePurpose::RoleMail, &code, Time(NOW.0 + 1)),
            Err(CodeError::Used)
        );
        assert_eq!(codes, before, "a replayed code does nothing");
    }

    #[test]
    fn code_is_valid_for_24_hours() {
        let code = random_code(7, &Random::seeded(1)).unwrap();
        let mut codes = Vec::new();
        issue(&mut codes, CodePurpose::Control, &code, NOW);
        let at = |now| check(&codes, CodePurpose::Control, &code, Time(NOW.0 + now));
        assert_eq!(at(24 * 3600 - 1), Ok(()));
        assert_eq!(at(24 * 3600), Err(CodeError::Expired));
    }

    #[test]
    fn newer_code_ends_the_older_one_of_its_purpose() {
        let random = Random::seeded(1);
        let [a, b, c] = [0; 3].map(|_| random_code(7, &random).unwrap());
        let mut codes = Vec::new();
        issue(&mut codes, CodePurpose::Control, &a, NOW);
        issue(&mut codes, CodePurpose::Contact, &b, NOW);
        issue(&mut codes, CodePurpose::Control, &c, NOW);
        assert_eq!(
            check(&codes, CodePurpose::Control, &a, NOW),
            Err(CodeError::Unknown)
        );
        assert_eq!(check(&codes, CodePurpose::Control, &c, NOW), Ok(()));
        assert_eq!(check(&codes, CodePurpose::Contact, &b, NOW), Ok(()));
        for _ in 0..100 {
            let code = random_code(7, &random).unwrap();
            issue(&mut codes, CodePurpose::Contact, &code, NOW);
            redeem(&mut codes, CodePurpose::Contact, &code, NOW).unwrap();
        }
        assert_eq!(codes.len(), MAX_CODES);
    }

    #[test]
    fn only_the_hash_of_a_code_is_stored() {
        let code = random_code(7, &Random::seeded(1)).unwrap();
        let mut codes = Vec::new();
        issue(&mut codes, CodePurpose::Control, &code, NOW);
        let stored = serde_json::to_string(&codes).unwrap();
        let (_, secret) = code.split_once('-').unwrap();
        assert!(!stored.contains(secret), "{stored}");
    }

    #[test]
    fn derived_code_depends_on_ticket_secret_subject_and_time() {
        let code = derived_code(7, "secret", "192.0.2.1", NOW);
        assert_eq!(code, derived_code(7, "secret", "192.0.2.1", NOW));
        assert_eq!(code.len(), "7-".len() + 26);
        for other in [
            derived_code(8, "secret", "192.0.2.1", NOW),
            derived_code(7, "Secret", "192.0.2.1", NOW),
            derived_code(7, "secret", "192.0.2.2", NOW),
            derived_code(7, "secret", "192.0.2.1", Time(NOW.0 + 1)),
        ] {
            assert_ne!(
                code.split_once('-').unwrap().1,
                other.split_once('-').unwrap().1
            );
        }
    }

    #[test]
    fn text_that_is_not_a_code_names_no_ticket() {
        assert_eq!(ticket_of("42-abcdefgh234567"), Some(42));
        for text in [
            "",
            "42",
            "42-",
            "-abc",
            "x-abc",
            "42-ABC",
            "42-a b",
            "42-a/../b",
            "42-\u{e4}",
            "99999999999999999999-abc",
            "+1-abc",
            " 42-abc",
        ] {
            assert_eq!(ticket_of(text), None, "{text}");
        }
        assert_eq!(ticket_of(&format!("1-{}", "a".repeat(200))), None);
    }
}
