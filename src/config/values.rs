//! Types of configuration values: shares, sizes, user ids, and addresses to test from.

use std::{fmt, marker::PhantomData, net::IpAddr, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{self, Error, MapAccess, Unexpected, Visitor},
};

use crate::{model::time::Seconds, relay::TesterSource};

/// The default pause between two messages to a tested host, and the default minimum duration of all
/// its tests (safety rule S4). A test that the host's owner asked for has a shorter pause and no
/// minimum duration ([`OWNER_PAUSE`](crate::relay::tester::OWNER_PAUSE)).
pub const DEFAULT_PAUSE: Seconds = Seconds(5);
/// See [`DEFAULT_PAUSE`].
pub const DEFAULT_MIN_DURATION: Seconds = Seconds(600);

/// The default ports of tests: SMTP, submission, submission under TLS.
pub const DEFAULT_PORTS: [u16; 3] = [25, 587, 465];

/// The error about an interval of zero.
pub(super) const NO_PAUSE: &str = "0s would check without a pause; write 1s or more";

/// A part of a listener's connections, `"1/32"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share(pub(super) usize);

/// The form of a share, for messages.
const SHARE_FORM: &str = "a share in quotes, such as \"1/32\"";

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Share, String> {
        let divisor = text.strip_prefix("1/").and_then(|n| n.trim().parse().ok());
        let divisor = divisor.filter(|n| (1..=1_000_000).contains(n));
        divisor
            .map(Share)
            .ok_or_else(|| format!("`{text}` is not {SHARE_FORM}"))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Share, D::Error> {
        from.deserialize_str(Text::new(SHARE_FORM))
    }
}

/// Parses a text in quotes; `form` is the expected form in the message about another type.
struct Text<T> {
    form: &'static str,
    value: PhantomData<T>,
}

impl<T> Text<T> {
    fn new(form: &'static str) -> Text<T> {
        Text {
            form,
            value: PhantomData,
        }
    }
}

impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// An address alone, or a table with an address and its name in EHLO.
impl<'de> Deserialize<'de> for TesterSource {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<TesterSource, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct NamedAddress {
            address: IpAddr,
            ehlo_name: String,
        }
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = TesterSource;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, such as \"192.0.2.1\", or { address = \"192.0.2.1\", ehlo_name = \"test.example\" }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<TesterSource, E> {
                let address = text
                    .parse()
                    .map_err(|_| E::invalid_value(Unexpected::Str(text), &self))?;
                Ok(TesterSource {
                    address,
                    ehlo_name: None,
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TesterSource, A::Error> {
                let named = NamedAddress::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(TesterSource {
                    address: named.address,
                    ehlo_name: Some(named.ehlo_name.trim_end_matches('.').to_ascii_lowercase()),
                })
            }
        }
        from.deserialize_any(Form)
    }
}

/// A key of `[admin] uids`: the uid of a user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Uid(pub(super) u32);

impl<'d> Deserialize<'d> for Uid {
    fn deserialize<D: Deserializer<'d>>(d: D) -> Result<Uid, D::Error> {
        let text = String::deserialize(d)?;
        let form = "a table of user ids and names, such as { 1000 = \"anna\" }";
        text.parse()
            .map(Uid)
            .map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &form))
    }
}

/// A number of bytes, written `512MiB`, `1GiB` or as a plain number in quotes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

impl FromStr for Bytes {
    type Err = String;
    fn from_str(text: &str) -> Result<Bytes, String> {
        let t = text.trim();
        let (number, unit) = t
            .find(|c: char| !c.is_ascii_digit())
            .map_or((t, ""), |i| t.split_at(i));
        let shift = match unit.trim() {
            "" | "B" => Some(0),
            "KiB" => Some(10),
            "MiB" => Some(20),
            "GiB" => Some(30),
            _ => None,
        };
        let bytes = shift.and_then(|s| number.parse::<u64>().ok()?.checked_mul(1 << s));
        bytes
            .map(Bytes)
            .ok_or_else(|| format!("`{text}` is not a size; write it as 512MiB or 1GiB"))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        from.deserialize_str(Text::new(
            "a size in quotes, such as \"1GiB\" or \"512MiB\"",
        ))
    }
}
