//! Who is behind a proxy: PROXY v2 in front of a connection, and `Forwarded` (RFC 7239) in a request. Both are believed of
//! the addresses of `trust` alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, header::FORWARDED};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// What a PROXY v2 header begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest rest of such a header.
const MAX_REST: usize = 4096;

/// Takes a PROXY v2 header off a connection that begins with one: the client's address, where it tells one. The error means
/// that what follows can not be read.
pub(super) async fn header(stream: &mut TcpStream) -> Result<Option<IpAddr>, std::io::Error> {
    let mut start = [0; 12];
    loop {
        let n = stream.peek(&mut start).await?;
        // Nothing of HTTP or TLS begins like it: the first bytes that differ decide.
        if n == 0 || start[..n] != SIGNATURE[..n] {
            return Ok(None);
        }
        if n == SIGNATURE.len() {
            break;
        }
        stream.readable().await?;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let mut rest = vec![0; usize::from(u16::from_be_bytes([head[14], head[15]]))];
    if rest.len() > MAX_REST {
        return Err(std::io::Error::other("the PROXY header is too long"));
    }
    stream.read_exact(&mut rest).await?;
    parse(head, &rest).map_err(std::io::Error::other)
}

/// The client's address of a header; none of a proxy that speaks for itself.
fn parse(head: [u8; 16], rest: &[u8]) -> Result<Option<IpAddr>, &'static str> {
    match (head[12], head[13]) {
        (0x20, _) => Ok(None),
        (0x21, 0x11) => {
            let addr: [u8; 4] = *rest.first_chunk().filter(|_| rest.len() >= 12).ok_or("the PROXY header is too short")?;
            Ok(Some(Ipv4Addr::from(addr).into()))
        }
        (0x21, 0x21) => {
            let addr: [u8; 16] = *rest.first_chunk().filter(|_| rest.len() >= 36).ok_or("the PROXY header is too short")?;
            Ok(Some(Ipv6Addr::from(addr).into()))
        }
        (0x21, _) => Ok(None),
        _ => Err("this is no PROXY header of version 2"),
    }
}

/// The client's address of a request: what the nearest proxy says, which is the last element (RFC 7239 section 4).
pub(super) fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all(FORWARDED).iter().next_back()?.to_str().ok()?.rsplit(',').next()?;
    let node = last.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })?;
    let node = match node.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None if node.matches(':').count() == 1 => node.split(':').next()?,
        None => node,
    };
    node.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_element_counts() {
        let of = |text: &'static str| {
            let mut h = HeaderMap::new();
            h.insert(FORWARDED, text.parse().unwrap());
            forwarded(&h).map(|a| a.to_string())
        };
        assert_eq!(of("for=1.2.3.4, for=192.0.2.1;proto=https;by=203.0.113.43").as_deref(), Some("192.0.2.1"));
        assert_eq!(of("For=\"[2001:db8::1]:4711\"").as_deref(), Some("2001:db8::1"));
        assert_eq!(of("for=\"192.0.2.1:80\"").as_deref(), Some("192.0.2.1"));
        for bad in ["", "for=unknown", "for=_hidden", "proto=https"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_proxy_header_is_read_or_refused() {
        let head = |command, family| {
            let mut out = [0; 16];
            out[..12].copy_from_slice(&SIGNATURE);
            (out[12], out[13]) = (command, family);
            out
        };
        let mut rest = vec![192, 0, 2, 1, 203, 0, 113, 1, 0, 80, 0, 81];
        assert_eq!(parse(head(0x21, 0x11), &rest), Ok(Some("192.0.2.1".parse().unwrap())));
        assert_eq!(parse(head(0x20, 0x11), &rest), Ok(None));
        assert!(parse(head(0x31, 0x11), &rest).is_err());
        rest.truncate(5);
        assert!(parse(head(0x21, 0x11), &rest).is_err() && parse(head(0x21, 0x21), &rest).is_err());
    }
}
