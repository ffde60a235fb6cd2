//! NOTIFY (RFC 1996): the message that informs a mirror of a new serial, and its reply.

use super::wire::{HEADER, OPCODE_NOTIFY, header, rtype, skip_name};
use crate::{index::ZoneView, model::Serial};

/// The bits QR and AA in the third byte of a header.
const QR: u8 = 0x80;
const AA: u8 = 0x04;

/// Encodes a NOTIFY for a new serial of a zone: the question is the SOA, and the answer section has
/// it (RFC 1996 section 3.7).
pub fn request(zone: &ZoneView, serial: Serial, id: u16) -> Vec<u8> {
    let mut out = header(id.to_be_bytes(), OPCODE_NOTIFY | AA, 1, 0).to_vec();
    out.extend(&zone.origin);
    out.extend([0, rtype::SOA as u8, 0, 1]);
    out.extend([0xc0, HEADER as u8, 0, rtype::SOA as u8, 0, 1]);
    out.extend(zone.soa_ttl().to_be_bytes());
    let data = super::transfer::soa_data(zone, serial);
    out.extend((data.len() as u16).to_be_bytes());
    out.extend(data);
    out
}

/// Whether a message has the opcode of NOTIFY.
pub fn is_notify(message: &[u8]) -> bool {
    message
        .get(2)
        .is_some_and(|flags| flags & 0xf8 == OPCODE_NOTIFY)
}

/// Encodes the reply to an accepted NOTIFY (RFC 1996 section 4.7): its question, AA and NOERROR.
pub fn acknowledge(message: &[u8]) -> Option<Vec<u8>> {
    let question = question(message)?;
    let mut out = header([message[0], message[1]], QR | OPCODE_NOTIFY | AA, 0, 0).to_vec();
    out.extend(question);
    Some(out)
}

/// The RCODE of a reply; `None` if its ID, question or QR bit is not that of a reply to this
/// request (RFC 1996 section 3.4).
pub fn reply_rcode(request: &[u8], reply: &[u8]) -> Option<u8> {
    let (ours, theirs) = (
        request.first_chunk::<HEADER>()?,
        reply.first_chunk::<HEADER>()?,
    );
    let question = question(request)?;
    let same = ours[..2] == theirs[..2]
        && theirs[2] & 0xf8 == QR | OPCODE_NOTIFY
        && theirs[4..6] == [0, 1];
    let asked = reply.get(HEADER..HEADER + question.len())?;
    (same && asked.eq_ignore_ascii_case(question)).then_some(theirs[3] & 15)
}

/// The question of a message that this server encoded.
fn question(message: &[u8]) -> Option<&[u8]> {
    let end = skip_name(message, HEADER)? + 4;
    message.get(HEADER..end)
}

/// The name of an RCODE (RFC 1035 section 4.1.1, RFC 2136 section 2.2).
pub fn rcode_name(rcode: u8) -> &'static str {
    match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        _ => "another RCODE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::tests::snapshot;
    use hickory_proto::{
        op::{Message, OpCode},
        rr::RData,
    };

    #[test]
    fn notify_is_parsed_by_hickory() {
        let snapshot = snapshot(&[]);
        let m = Message::from_vec(&request(&snapshot.zones.all()[0], Serial(77), 0x1234)).unwrap();
        assert_eq!(
            (m.metadata.id, m.metadata.op_code, m.metadata.authoritative),
            (0x1234, OpCode::Notify, true)
        );
        assert_eq!(m.queries[0].name().to_string(), "bl.orbs.example.");
        let RData::SOA(soa) = &m.answers[0].data else {
            panic!("{m:?}")
        };
        assert_eq!(
            (
                soa.serial,
                soa.mname.to_string(),
                m.answers[0].name.to_string()
            ),
            (77, "ns1.orbs.example.".into(), "bl.orbs.example.".into())
        );
    }

    #[test]
    fn reply_has_the_id_and_question_of_the_request_and_the_qr_bit() {
        let ours = request(&snapshot(&[]).zones.all()[0], Serial(1), 9);
        let mut good = ours[..ours.len()].to_vec();
        good.truncate(question(&ours).unwrap().len() + HEADER);
        (good[2], good[3], good[7]) = (0xa4, 5, 0);
        assert_eq!(reply_rcode(&ours, &good), Some(5));
        for (at, byte) in [
            (0, 1),
            (1, 8),
            (2, 0x24),
            (2, 0x84),
            (5, 0),
            (13, b'x'),
            (good.len() - 3, 1),
        ] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(reply_rcode(&ours, &bad), None, "{at}");
        }
        let mut upper = good.clone();
        upper[13] = upper[13].to_ascii_uppercase();
        assert_eq!(reply_rcode(&ours, &upper), Some(5));
        assert_eq!(reply_rcode(&ours, &good[..11]), None);
        assert_eq!(reply_rcode(&ours, &good[..good.len() - 1]), None);
    }
}
