//! How long HTTP caches may keep an answer (RFC 8484 section 5.1).

use super::wire::{HEADER, RecordHead, counts, rtype, skip_name};

/// How many seconds a reply may be cached: the least TTL of its answers, or, for a negative reply,
/// the TTL of its SOA record, which this server never sets above MINIMUM. `None` for a reply
/// without either, and for bytes that are not a message.
pub fn min_ttl(reply: &[u8]) -> Option<u32> {
    let [questions, answers, authorities, _] = counts(reply.first_chunk()?);
    let mut at = HEADER;
    for _ in 0..questions {
        at = skip_name(reply, at)? + 4;
    }
    let mut least: Option<u32> = None;
    for i in 0..answers + authorities {
        let record = RecordHead::read(reply, skip_name(reply, at)?)?;
        let authority = i >= answers;
        if !authority || least.is_none() && record.rtype == rtype::SOA {
            least = Some(least.map_or(record.ttl, |l| l.min(record.ttl)));
        }
        at = record.data.end;
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_ttl_is_the_least_ttl_of_the_answers_or_the_ttl_of_the_soa() {
        let question = [1, b'x', 0, 0, 1, 0, 1];
        let rr = |kind: u8, ttl: u8| vec![0xc0, 12, 0, kind, 0, 1, 0, 0, 1, ttl, 0, 3, 9, 9, 9];
        let reply = |an: &[Vec<u8>], ns: &[Vec<u8>]| {
            let head = [
                0,
                0,
                0x84,
                0,
                0,
                1,
                0,
                an.len() as u8,
                0,
                ns.len() as u8,
                0,
                0,
            ];
            [&head[..], &question, &an.concat(), &ns.concat()].concat()
        };
        assert_eq!(
            min_ttl(&reply(&[rr(1, 44), rr(1, 7)], &[rr(6, 1)])),
            Some(256 + 7)
        );
        assert_eq!(min_ttl(&reply(&[], &[rr(2, 1), rr(6, 60)])), Some(256 + 60));
        assert_eq!(min_ttl(&reply(&[], &[])), None);
        let whole = reply(&[rr(1, 44), rr(1, 7)], &[]);
        for cut in 0..whole.len() {
            assert!(
                min_ttl(&whole[..cut]).is_none_or(|_| cut + 3 >= whole.len()),
                "{cut}"
            );
        }
    }
}
