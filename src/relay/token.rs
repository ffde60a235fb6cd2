//! The tokens of test messages, which connect a delivered message with the test that sent it.
//!
//! A token is a letter, which distinguishes the probe's recipient (`t`) from its return path (`b`),
//! and 26 characters of lower-case base32 without padding. They encode the identifier, which is
//! eight random bytes, and the first eight bytes of HMAC-SHA256 over the letter and the identifier.
//! A token has no characters that old mail servers rewrite, does not depend on case, and fits a
//! local part (RFC 5321 section 4.5.3.1.1: 64 bytes). The store has the record of each token under
//! its identifier.

use data_encoding::{Encoding, Specification};
use ring::hmac;
use std::sync::LazyLock;

/// The characters of a token after its letter.
const ENCODED_CHARS: usize = 26;

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut s = Specification::new();
    s.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    // 128 bits are 25.6 characters. The two unused bits have to be zero, so that each token has one
    // spelling.
    s.check_trailing_bits = true;
    s.encoding().unwrap_or(data_encoding::BASE32_NOPAD)
});

/// The address of a test message that has the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenKind {
    /// The recipient. Mail to it shows that the host relays.
    Probe,
    /// The return path. Mail to it shows that the message bounced.
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

/// The identifier of a token, its key in the store.
pub type TokenId = [u8; 8];

/// Encodes and decodes tokens.
#[derive(Clone)]
pub struct TokenCodec(hmac::Key);

impl std::fmt::Debug for TokenCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenCodec")
    }
}

impl TokenCodec {
    /// Creates a codec with a secret, which should be 32 random bytes.
    pub fn new(secret: &[u8]) -> TokenCodec {
        TokenCodec(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    fn mac(&self, kind: TokenKind, id: &TokenId) -> [u8; 8] {
        let tag = hmac::sign(&self.0, &[&[kind.letter()][..], id].concat());
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// Encodes the token of an identifier.
    pub fn text(&self, kind: TokenKind, id: &TokenId) -> String {
        let bytes = [&id[..], &self.mac(kind, id)].concat();
        format!("{}{}", char::from(kind.letter()), BASE32.encode(&bytes))
    }

    /// Encodes both tokens of an identifier: that of the recipient and that of the return path.
    pub fn pair(&self, id: &TokenId) -> (String, String) {
        (
            self.text(TokenKind::Probe, id),
            self.text(TokenKind::Return, id),
        )
    }

    /// Decodes one token; `None` if it is not valid.
    pub fn read(&self, text: &[u8]) -> Option<(TokenKind, TokenId)> {
        let text = text.to_ascii_lowercase();
        let (letter, rest) = text.split_first()?;
        let kind = [TokenKind::Probe, TokenKind::Return]
            .into_iter()
            .find(|w| w.letter() == *letter)?;
        let bytes = BASE32.decode(rest).ok()?;
        let (id, mac) = bytes.split_first_chunk::<8>()?;
        let fits = subtle::ConstantTimeEq::ct_eq(&self.mac(kind, id)[..], mac);
        bool::from(fits).then_some((kind, *id))
    }

    /// Finds the valid tokens that are words of a text, in order, each once.
    pub fn find(&self, text: &[u8]) -> Vec<(TokenKind, TokenId)> {
        let mut out = Vec::new();
        let words = text.split(|b| !b.is_ascii_alphanumeric());
        for word in words.filter(|w| w.len() == ENCODED_CHARS + 1) {
            out.extend(self.read(word).filter(|t| !out.contains(t)));
        }
        out
    }
}

/// Formats the identifier of a token in hexadecimal.
pub fn hex(id: &TokenId) -> String {
    data_encoding::HEXLOWER.encode(id)
}

/// Parses the identifier of a token from hexadecimal.
pub fn token_id(text: &str) -> Option<TokenId> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    bytes.ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn token_is_found_in_any_case_and_form_and_not_if_changed() {
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
            "the letter is signed"
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
        /// Each encoded token is decoded to its identifier, and a changed token is not valid.
        #[test]
        fn encoded_token_is_decoded_and_changed_one_is_not(id in any::<[u8; 8]>(), place in 0usize..27, to in "[a-z2-7]") {
            let t = TokenCodec::new(b"secret");
            let text = t.text(TokenKind::Probe, &id);
            prop_assert_eq!(t.read(text.as_bytes()), Some((TokenKind::Probe, id)));
            let mut other = text.clone().into_bytes();
            other[place] = to.as_bytes()[0];
            prop_assert_eq!(t.read(&other).is_some(), other == text.as_bytes());
        }

        #[test]
        fn random_bytes_contain_no_token(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(TokenCodec::new(b"secret").find(&bytes), []);
        }
    }
}
