//! Clients of trusted proxies: a PROXY header of version 2 at the start of a connection or, where
//! the operator chose it, the `Forwarded` header (RFC 7239) of each request. Never both, and never
//! a header that the client itself can write.

use std::{io, net::IpAddr};

use axum::http::{HeaderMap, header::FORWARDED};
use ppp::v2::{Addresses, Command, Header, ParseError, Protocol};
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::model::Subject;

/// The proxies of a listener, and how they name their clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Their addresses.
    pub addresses: Vec<Subject>,
    /// True if they name the client in `Forwarded`; otherwise each of their connections starts with
    /// a PROXY v2 header.
    pub forwarded: bool,
}

impl TrustedProxies {
    /// Whether an address is one of these proxies.
    pub(super) fn contain(&self, addr: IpAddr) -> bool {
        let subject = Subject::host(addr);
        self.addresses.iter().any(|t| t.covers(&subject))
    }
}

/// The bytes of a PROXY v2 header before its addresses; the last two are the length of what
/// follows.
const PREFIX_BYTES: usize = 16;
/// The longest part after [`PREFIX_BYTES`].
const MAX_REST_BYTES: usize = 4096;

/// Why a trusted proxy's connection is closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// It does not start with a PROXY v2 header, or ended before the end of one.
    Missing(String),
    /// It starts with a header that is not accepted.
    Unsupported(String),
}

/// Reads the PROXY v2 header that a trusted proxy's connection has to start with: the client's
/// address, or `None` where the proxy speaks for itself (LOCAL, as health checks do).
///
/// # Errors
///
/// The connection ended, or started with anything else: the client is not known, and the connection
/// has to be closed.
pub(super) async fn read_header(stream: &mut TcpStream) -> Result<Option<IpAddr>, HeaderError> {
    let mut header = vec![0; PREFIX_BYTES];
    let missing = |e: io::Error| HeaderError::Missing(e.to_string());
    stream.read_exact(&mut header).await.map_err(missing)?;
    // If the connection starts with anything else, no more bytes are awaited.
    if let Err(e) = Header::try_from(&header[..])
        && !matches!(e, ParseError::Partial(..))
    {
        return Err(HeaderError::Missing(e.to_string()));
    }
    let rest = usize::from(u16::from_be_bytes([
        header[PREFIX_BYTES - 2],
        header[PREFIX_BYTES - 1],
    ]));
    if rest > MAX_REST_BYTES {
        let why = format!(
            "its PROXY v2 header has {rest} bytes after the first {PREFIX_BYTES}; at most {MAX_REST_BYTES} are accepted"
        );
        return Err(HeaderError::Unsupported(why));
    }
    header.resize(PREFIX_BYTES + rest, 0);
    stream
        .read_exact(&mut header[PREFIX_BYTES..])
        .await
        .map_err(missing)?;
    client_of(&header)
}

/// The client's address in a complete header; `None` for a proxy that speaks for itself.
fn client_of(header: &[u8]) -> Result<Option<IpAddr>, HeaderError> {
    let header = Header::try_from(header).map_err(|e| HeaderError::Missing(e.to_string()))?;
    match (header.command, header.protocol, header.addresses) {
        (Command::Local, ..) => Ok(None),
        (Command::Proxy, Protocol::Stream, Addresses::IPv4(a)) => Ok(Some(a.source_address.into())),
        (Command::Proxy, Protocol::Stream, Addresses::IPv6(a)) => {
            Ok(Some(IpAddr::from(a.source_address).to_canonical()))
        }
        (_, protocol, addresses) => {
            let family = match addresses {
                Addresses::Unspecified => "UNSPEC",
                Addresses::IPv4(_) => "IPv4",
                Addresses::IPv6(_) => "IPv6",
                Addresses::Unix(_) => "UNIX",
            };
            let protocol = match protocol {
                Protocol::Unspecified => "UNSPEC",
                Protocol::Stream => "STREAM",
                Protocol::Datagram => "DGRAM",
            };
            let why = format!(
                "its PROXY v2 header names a client of {family} and {protocol}; only IPv4 or IPv6 with STREAM is accepted"
            );
            Err(HeaderError::Unsupported(why))
        }
    }
}

/// The client's address of a request through a proxy that names it in `Forwarded`; `None` if the
/// header is missing, since the proxy then speaks for itself, as in a health check. Only the last
/// element counts, which the proxy wrote.
///
/// # Errors
///
/// The last line of the header is malformed, or its last element names no address (`unknown`,
/// `_hidden`).
pub(super) fn forwarded(headers: &HeaderMap) -> Result<Option<IpAddr>, &'static str> {
    let Some(line) = headers.get_all(FORWARDED).iter().next_back() else {
        return Ok(None);
    };
    // The whole line is parsed from its start, since a quote that a client left open would
    // otherwise hide where the last element begins.
    let elements = parse(line.to_str().ok().ok_or("it is not ASCII")?)
        .ok_or("it is malformed (RFC 7239 section 4)")?;
    let last = elements.last().map_or(&[][..], Vec::as_slice);
    let mut nodes = last
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("for"));
    match (nodes.next(), nodes.next()) {
        (Some((_, node)), None) => address(node)
            .map(Some)
            .ok_or("its last element names no address"),
        (Some(_), Some(_)) => Err("its last element has `for` twice"),
        (None, _) => Err("its last element has no `for`"),
    }
}

/// The parameters of one element: names and values.
type Element = Vec<(String, String)>;

/// Parses a whole `Forwarded` line (RFC 7239 section 4); `None` if it is malformed.
fn parse(line: &str) -> Option<Vec<Element>> {
    let (mut elements, mut rest) = (vec![Element::new()], line.trim_matches(BLANK));
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix([',', ';']) {
            if rest.starts_with(',') {
                elements.push(Element::new());
            }
            rest = after.trim_start_matches(BLANK);
            continue;
        }
        let (name, after) = token(rest)?;
        let after = after.strip_prefix('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => token(after).map(|(value, after)| (value.to_string(), after))?,
        };
        elements.last_mut()?.push((name.to_string(), value));
        rest = after.trim_start_matches(BLANK);
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            return None;
        }
    }
    Some(elements)
}

/// Blanks between the parts of a header field.
const BLANK: [char; 2] = [' ', '\t'];

/// The token at the start of a text (RFC 9110 section 5.6.2), and what follows it.
fn token(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The value of a quoted string after its first quote, and what follows the last one.
fn unquote(text: &str) -> Option<(String, &str)> {
    let (mut value, mut escaped) = (String::new(), false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => {
                escaped = true;
                continue;
            }
            '"' => return Some((value, &text[i + 1..])),
            _ => {}
        }
        value.push(c);
    }
    None
}

/// The address of a node (RFC 7239 section 6): `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`,
/// `[2001:db8::1]:80`.
fn address(node: &str) -> Option<IpAddr> {
    let (addr, port): (IpAddr, &str) = match node.strip_prefix('[') {
        Some(v6) => {
            let (addr, port) = v6.split_once(']')?;
            (addr.parse::<std::net::Ipv6Addr>().ok()?.into(), port)
        }
        None => {
            let (addr, port) = node.split_at(node.find(':').unwrap_or(node.len()));
            (addr.parse::<std::net::Ipv4Addr>().ok()?.into(), port)
        }
    };
    let is_port = |p: &str| match p.strip_prefix('_') {
        Some(name) => {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }
        None => (1..=5).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()),
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then(|| addr.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(lines: &[&str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        lines
            .iter()
            .for_each(|l| _ = headers.append(FORWARDED, l.parse().unwrap()));
        forwarded(&headers).map(|a| a.map(|a| a.to_string()))
    }

    #[test]
    fn only_the_last_element_of_forwarded_counts() {
        for (lines, client) in [
            (&["for=192.0.2.1"][..], "192.0.2.1"),
            (
                &["for=1.2.3.4, for=192.0.2.1;proto=https;by=203.0.113.43"],
                "192.0.2.1",
            ),
            (&["proto=http; FOR=\"192.0.2.1:80\" ;by=_x"], "192.0.2.1"),
            (&["For=\"[2001:db8::1]:4711\""], "2001:db8::1"),
            (&["for=\"[::ffff:192.0.2.1]:_port\""], "192.0.2.1"),
            (&["for=\"\\192.0.2.1\""], "192.0.2.1"),
            (&["for=1.2.3.4,,for=192.0.2.1"], "192.0.2.1"),
            // Other lines and elements are written by the client and can contain anything.
            (&["for=\"", "for=192.0.2.1"], "192.0.2.1"),
            (&["for=_hidden;for=unknown, for=192.0.2.1"], "192.0.2.1"),
            (&["x=\", for=6.6.6.6\", for=192.0.2.1"], "192.0.2.1"),
        ] {
            assert_eq!(of(lines), Ok(Some(client.into())), "{lines:?}");
        }
        assert_eq!(of(&[]), Ok(None), "the proxy itself");
    }

    #[test]
    fn obfuscated_and_malformed_forwarded_elements_are_refused() {
        for line in [
            "",
            ",",
            "for=1.2.3.4,",
            "for=unknown",
            "for=_hidden",
            "for=\"_hidden:80\"",
            "proto=https",
            "for=1.2.3.4;for=192.0.2.1",
            "for=",
            "for",
            "for=2001:db8::1",
            "for=[2001:db8::1]",
            "for=192.0.2.1:80",
            "for=\"192.0.2.1",
            "for=\"192.0.2.1\"x",
            "for=\"192.0.2.1:\"",
            "for=\"192.0.2.1:123456\"",
            "for=\"192.0.2.1:x\"",
            "for=\"[192.0.2.1]\"",
            "for=\"[2001:db8::1\"",
            "for=\"[fe80::1%eth0]\"",
            "for=\"2001:db8::1\"",
            "for = 192.0.2.1",
            "for=192.0.2",
            "for=192.0.2.01",
            "for=3221225985",
            "for=example.org",
            // An open quote of the client swallows what the proxy appended.
            "x=\", for=192.0.2.1",
            "for=6.6.6.6;x=\", for=\"[2001:db8::1]\"",
        ] {
            assert!(of(&[line]).is_err(), "{line}: {:?}", of(&[line]));
        }
    }

    proptest! {
        /// Whatever a client writes before the proxy's own element, the result is the address of
        /// that element, or an error.
        #[test]
        fn a_client_cannot_choose_its_address(written in "[ -~]{0,40}|(for=|\"|,|;|\\\\|6\\.6\\.6\\.6|x=){0,12}", v6: bool) {
            let (own, addr) = if v6 { ("for=\"[2001:db8::1]\"", "2001:db8::1") } else { ("for=192.0.2.1", "192.0.2.1") };
            let appended = format!("{written}, {own}");
            if let Ok(client) = of(&[&appended]) {
                prop_assert_eq!(client, Some(addr.to_string()));
            }
            prop_assert_eq!(of(&[&written, own]), Ok(Some(addr.to_string())));
        }

        /// No header makes the parser of PROXY v2 panic, and a complete header of a TCP connection
        /// is read correctly.
        #[test]
        fn any_proxy_header_is_read_or_refused(command: u8, family: u8, rest in prop::collection::vec(any::<u8>(), 0..300), claimed: u16) {
            let whole = header(command, family, &rest);
            let read = client_of(&whole);
            match (command, family) {
                (0x21, 0x11) if rest.len() >= 12 => prop_assert_eq!(read, Ok(Some(IpAddr::from([rest[0], rest[1], rest[2], rest[3]])))),
                (0x21, _) if ![0x11, 0x21].contains(&family) => prop_assert!(read.is_err()),
                _ => {}
            }
            let mut cut = whole;
            cut[14..16].copy_from_slice(&claimed.to_be_bytes());
            let _ = client_of(&cut);
        }
    }

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [
            &b"\r\n\r\n\0\r\nQUIT\n"[..],
            &[command, family],
            &length,
            rest,
        ]
        .concat()
    }

    #[test]
    fn a_proxy_header_names_a_client_of_tcp_or_the_proxy_itself() {
        let v4 = [192, 0, 2, 1, 203, 0, 113, 1, 0, 80, 0, 81];
        let mapped: std::net::Ipv6Addr = "::ffff:192.0.2.1".parse().unwrap();
        let v6 = [&mapped.octets()[..], &[0; 16], &[0, 80, 0, 81]].concat();
        let client = Ok(Some("192.0.2.1".parse().unwrap()));
        assert_eq!(client_of(&header(0x21, 0x11, &v4)), client);
        assert_eq!(
            client_of(&header(
                0x21,
                0x11,
                &[&v4[..], &[3, 0, 4, 0, 0, 0, 0]].concat()
            )),
            client,
            "with a TLV"
        );
        assert_eq!(client_of(&header(0x21, 0x21, &v6)), client);
        assert_eq!(client_of(&header(0x20, 0x11, &v4)), Ok(None), "LOCAL");
        assert_eq!(client_of(&header(0x20, 0x00, &[])), Ok(None), "LOCAL");
        for (command, family, rest) in [
            (0x21, 0x00, &v4[..]),   // no family
            (0x21, 0x12, &v4),       // UDP
            (0x21, 0x31, &[0; 216]), // a Unix socket
            (0x21, 0x11, &v4[..5]),
            (0x21, 0x21, &v4),
            (0x11, 0x11, &v4), // version 1
            (0x22, 0x11, &v4),
        ] {
            assert!(
                client_of(&header(command, family, rest)).is_err(),
                "{command:x} {family:x}"
            );
        }
    }
}
