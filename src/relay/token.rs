//! Tokens of test messages: what ties a message that comes back to the host that was given it.
//!
//! A token is one letter, which tells the probe's recipient (`t`) from its return path (`b`), and
//! 26 characters of lower-case base32 without padding: eight random bytes, and the first eight of
//! HMAC-SHA256 over the letter and them. It has none of the characters that old mailers rewrite,
//! survives a change of case, and fits a local part (RFC 5321 section 4.5.3.1.1: 64 bytes). What it
//! was made for stands in the store under its number.

use data_encoding::{Encoding, Specification};
use ring::hmac;
use std::sync::LazyLock;

/// The characters of a token after its letter.
const LEN: usize = 26;

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut s = Specification::new();
    s.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    // 128 bits are 25.6 characters: the two bits left over have to be zero, so that a token has one
    // spelling.
    s.check_trailing_bits = true;
    s.encoding().unwrap_or(data_encoding::BASE32_NOPAD)
});

/// The address of a test message that a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenKind {
    /// The recipient: the host has relayed.
    Probe,
    /// The return path: the host has sent it back.
    Return,
}

impl TokenKind {
    fn letter(self) -> u8 {
        match self {
            TokenKind::Probe => b't',
            TokenKind::Return => b'b',
        }
    }
}

/// The number of a token in the store.
pub type TokenId = [u8; 8];

/// Makes and reads tokens.
#[derive(Clone)]
pub struct TokenCodec(hmac::Key);

impl std::fmt::Debug for TokenCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl TokenCodec {
    /// With a secret; 32 random bytes are right.
    pub fn new(secret: &[u8]) -> TokenCodec {
        TokenCodec(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    fn mac(&self, way: TokenKind, id: &TokenId) -> [u8; 8] {
        let tag = hmac::sign(&self.0, &[&[way.letter()][..], id].concat());
        let mut out = [0; 8];
        out.iter_mut().zip(tag.as_ref()).for_each(|(o, t)| *o = *t);
        out
    }

    /// The local part for a number and a way.
    pub fn text(&self, way: TokenKind, id: &TokenId) -> String {
        let bytes = [&id[..], &self.mac(way, id)].concat();
        format!("{}{}", char::from(way.letter()), BASE32.encode(&bytes))
    }

    /// Reads one token; none where it is not ours.
    pub fn read(&self, text: &[u8]) -> Option<(TokenKind, TokenId)> {
        let text = text.to_ascii_lowercase();
        let (letter, rest) = text.split_first()?;
        let way = [TokenKind::Probe, TokenKind::Return]
            .into_iter()
            .find(|w| w.letter() == *letter)?;
        let bytes = BASE32.decode(rest).ok()?;
        let (id, mac) = bytes.split_first_chunk::<8>()?;
        let fits = subtle::ConstantTimeEq::ct_eq(&self.mac(way, id)[..], mac);
        bool::from(fits).then_some((way, *id))
    }

    /// All tokens of ours that are words of a text, in order, each once.
    pub fn find(&self, text: &[u8]) -> Vec<(TokenKind, TokenId)> {
        let mut out = Vec::new();
        for word in text
            .split(|b| !b.is_ascii_alphanumeric())
            .filter(|w| w.len() == LEN + 1)
        {
            if let Some(t) = self.read(word).filter(|t| !out.contains(t)) {
                out.push(t);
            }
        }
        out
    }
}

/// A token's number as text.
pub fn hex(id: &TokenId) -> String {
    id.iter().map(|b| format!("{b:02x}")).collect()
}

/// A token's number from its text.
pub fn token_id(text: &str) -> Option<TokenId> {
    u64::from_str_radix(text, 16)
        .ok()
        .filter(|_| text.len() == 16)
        .map(u64::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_survives_case_and_company_and_no_change() {
        let t = TokenCodec::new(b"secret");
        let (p, b) = (
            t.text(TokenKind::Probe, &[7; 8]),
            t.text(TokenKind::Return, &[7; 8]),
        );
        assert_eq!((p.len(), p == b), (27, false));
        assert_eq!(
            t.read(p.to_uppercase().as_bytes()),
            Some((TokenKind::Probe, [7; 8]))
        );
        assert_eq!(t.read(b.as_bytes()), Some((TokenKind::Return, [7; 8])));
        assert_eq!(TokenCodec::new(b"other").read(p.as_bytes()), None);
        assert_eq!(
            t.read(format!("b{}", &p[1..]).as_bytes()),
            None,
            "a way does not become the other"
        );
        for form in [
            "<\"X@probe.example\"@relay>",
            "X%probe.example@relay",
            "SRS0=aa=bb=probe.example=X@l",
            "probe.example!X",
            "IMCEASMTP-X+40probe+2Eexample@l",
            "x: X\r\n",
        ] {
            assert_eq!(
                t.find(form.replace('X', &p).as_bytes()),
                [(TokenKind::Probe, [7; 8])],
                "{form}"
            );
        }
        assert_eq!(t.find(format!("{p} {b} {p}").as_bytes()).len(), 2);
        assert_eq!(t.find(format!("x{p}").as_bytes()), []);
    }

    proptest! {
        /// No text that was not made by it is a token (a random one is in one of 2^64 cases), and
        /// every one reads back.
        #[test]
        fn what_is_made_is_read_and_nothing_else(id in any::<[u8; 8]>(), place in 0usize..27, to in "[a-z2-7]") {
            let t = TokenCodec::new(b"secret");
            let text = t.text(TokenKind::Probe, &id);
            prop_assert_eq!(t.read(text.as_bytes()), Some((TokenKind::Probe, id)));
            let mut other = text.clone().into_bytes();
            other[place] = to.as_bytes()[0];
            prop_assert_eq!(t.read(&other).is_some(), other == text.as_bytes());
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(TokenCodec::new(b"secret").find(&bytes), []);
        }
    }
}
