//! TSIG (RFC 8945): who sent a message, and that nobody changed it.
//!
//! The record and its part of what is signed are hickory-proto's; the MAC is made over the bytes as
//! they are sent, since we write bytes and sign every message of a transfer.
//!
//! A server: [`verify`] a request, encode the reply with [`TsigSession::size`] bytes of room left,
//! [`TsigSession::sign`] it, and each further message of a transfer. What `verify` rejects is answered
//! with [`RejectedRequest::rcode`] and no records, and [`RejectedRequest::sign`]. A client: [`TsigSession::request`],
//! then [`TsigSession::check`] each message of the reply, and [`TsigSession::whole`] after the last.
//!
//! Choices that the RFC leaves open: truncated MACs get BADTRUNC, however little is missing
//! (section 5.2.4); the time of a message may lie before that of the one before it, since datagrams
//! overtake each other (section 5.2.3).

use std::sync::Arc;

use hickory_proto::{
    rr::{
        DNSClass, Name, RData, Record,
        rdata::tsig::{TSIG, TsigAlgorithm, TsigError},
    },
    serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder},
};
use ring::hmac;

use super::wire::{HEADER, counts, rtype, skip_name};
use crate::model::{Algorithm, Keys, Time, TsigKey};

#[cfg(test)]
mod tests;

/// How far clocks may lie apart, in seconds (RFC 8945 section 10).
pub const FUDGE: u16 = 300;
/// How many messages of a stream may stand unsigned between signed ones (RFC 8945 section 5.3.1).
pub const MAX_UNSIGNED: usize = 99;
/// The shortest MAC that is looked at, where half of the whole one is shorter (RFC 8945 section
/// 5.2.2.1).
const MIN_MAC: usize = 10;
/// Bytes of a record that do not depend on the key: type to length, then time, fudge, sizes, ID and
/// error.
const FIXED: usize = 10 + 16;

/// A message that cannot be read as far as its TSIG, or that has one where none may be: FORMERR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadableTsig;

/// Where a message's TSIG record starts; `None` where it has none. It is the last record of the
/// additional section and the end of the message, or the message is not to be read (RFC 8945
/// section 5.1).
#[inline]
pub fn find(message: &[u8]) -> Result<Option<usize>, UnreadableTsig> {
    match message.first_chunk::<HEADER>() {
        None => Err(UnreadableTsig),
        Some(header) if header[6..] == [0; 6] => Ok(None),
        Some(header) => walk(message, header).ok_or(UnreadableTsig),
    }
}

fn walk(message: &[u8], header: &[u8; HEADER]) -> Option<Option<usize>> {
    let [questions, answers, authorities, additionals] = counts(header);
    let mut at = HEADER;
    for _ in 0..questions {
        at = skip_name(message, at)? + 4;
    }
    let total = answers + authorities + additionals;
    for i in 0..total {
        let start = at;
        at = skip_name(message, at)?;
        let fixed = message.get(at..at + 10)?;
        at += 10 + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        if at > message.len() {
            return None;
        }
        if fixed[..2] == rtype::TSIG.to_be_bytes() {
            return (i + 1 == total && additionals > 0 && at == message.len())
                .then_some(Some(start));
        }
    }
    Some(None)
}

/// Reads the record at a place: its owner and its data.
fn read(message: &[u8], at: usize) -> Option<(Name, TSIG)> {
    let mut decoder = BinDecoder::new(message).clone(u16::try_from(at).ok()?);
    let record = Record::read(&mut decoder).ok()?;
    let RData::TSIG(mut tsig) = record.data else {
        return None;
    };
    // Names of algorithms are names: their letter case is nothing.
    if let TsigAlgorithm::Unknown(name) = tsig.algorithm {
        tsig.algorithm = TsigAlgorithm::from_name(name.to_lowercase());
    }
    (record.dns_class == DNSClass::ANY && record.ttl == 0).then_some((record.name, tsig))
}

/// A record's bytes. Names are whole, so that it can stand behind any message. `None`: it is longer
/// than a record can be.
fn bytes(owner: &Name, tsig: TSIG) -> Option<Vec<u8>> {
    let mut record = Record::from_rdata(owner.clone(), 0, RData::TSIG(tsig));
    record.dns_class = DNSClass::ANY;
    let mut out = Vec::with_capacity(128);
    record.emit(&mut BinEncoder::new(&mut out)).ok()?;
    Some(out)
}

/// Puts a record behind a message of `len` bytes and counts it; the new length. `None`: there is no
/// room.
fn append(message: &mut [u8], len: usize, record: &[u8]) -> Option<usize> {
    let end = len + record.len();
    message.get_mut(len..end)?.copy_from_slice(record);
    let count = u16::from_be_bytes([message[10], message[11]]).checked_add(1)?;
    message[10..HEADER].copy_from_slice(&count.to_be_bytes());
    Some(end)
}

/// Why a request is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TsigFault {
    /// It cannot be read, or its TSIG is none (RFC 8945 sections 5.1, 5.2, 5.2.2.1).
    Format,
    /// There is no such key with this algorithm (section 5.2.1).
    BadKey,
    /// The MAC is not that of the message (section 5.2.2).
    BadSig,
    /// It was signed too long ago, or will be (section 5.2.3).
    BadTime,
    /// The MAC is right and cut short (section 5.2.4).
    BadTrunc,
}

/// A rejected request, and what its reply has to say.
#[derive(Debug)]
pub struct RejectedRequest {
    /// Why.
    pub fault: TsigFault,
    /// The TSIG of the reply, and who signs it; none for FORMERR.
    reply: Option<(Name, TSIG, Option<TsigSession>)>,
}

impl RejectedRequest {
    fn new(fault: TsigFault) -> Box<RejectedRequest> {
        Box::new(RejectedRequest { fault, reply: None })
    }

    /// With an error in its reply's TSIG; signed where there is a session.
    fn with(
        fault: TsigFault,
        error: TsigError,
        owner: Name,
        mut tsig: TSIG,
        session: Option<TsigSession>,
    ) -> Box<RejectedRequest> {
        tsig.mac.clear();
        tsig.other.clear();
        tsig.error = Some(error);
        Box::new(RejectedRequest {
            fault,
            reply: Some((owner, tsig, session)),
        })
    }

    /// The reply's RCODE: FORMERR (1) or NOTAUTH (9).
    pub fn rcode(&self) -> u8 {
        if self.fault == TsigFault::Format {
            1
        } else {
            9
        }
    }

    /// How many bytes [`RejectedRequest::sign`] adds.
    pub fn size(&self) -> usize {
        let Some((owner, tsig, session)) = &self.reply else {
            return 0;
        };
        bytes(owner, tsig.clone()).map_or(0, |b| b.len())
            + session.as_ref().map_or(0, |s| s.key.algorithm().mac_len())
    }

    /// Puts the error behind a reply of `len` bytes without records: unsigned for BADKEY and
    /// BADSIG, signed for BADTIME and BADTRUNC (RFC 8945 section 5.3.2), nothing for FORMERR. The
    /// new length; `None` where there is no room.
    pub fn sign(self, message: &mut [u8], len: usize) -> Option<usize> {
        match self.reply {
            None => Some(len),
            Some((owner, tsig, None)) => append(message, len, &bytes(&owner, tsig)?),
            Some((_, tsig, Some(mut session))) => session.append_signature(message, len, tsig),
        }
    }
}

/// Looks at a request's TSIG: `None` where it has none, the session that signs the reply where it
/// is right.
pub fn verify(
    keys: &Keys,
    message: &[u8],
    now: Time,
) -> Result<Option<TsigSession>, Box<RejectedRequest>> {
    let Some(at) = find(message).map_err(|_| RejectedRequest::new(TsigFault::Format))? else {
        return Ok(None);
    };
    let (owner, mut tsig) =
        read(message, at).ok_or_else(|| RejectedRequest::new(TsigFault::Format))?;
    let known = keys
        .get(&owner.to_ascii())
        .filter(|k| wire_algorithm(k.algorithm()) == tsig.algorithm);
    let Some(key) = known else {
        tsig.time = now.0;
        return Err(RejectedRequest::with(
            TsigFault::BadKey,
            TsigError::BadKey,
            owner,
            tsig,
            None,
        ));
    };
    let whole = key.algorithm().mac_len();
    if tsig.mac.len() > whole || tsig.mac.len() < MIN_MAC.max(whole / 2) {
        return Err(RejectedRequest::new(TsigFault::Format));
    }
    let mut session = TsigSession::new(key.clone(), tsig.oid);
    let mut context = session.context();
    context.update(&head(message, tsig.oid, 1));
    context.update(&message[HEADER..at]);
    context.update(&variables(&owner, &tsig));
    if !session.mac_matches(context, &tsig.mac) {
        tsig.time = now.0;
        return Err(RejectedRequest::with(
            TsigFault::BadSig,
            TsigError::BadSig,
            owner,
            tsig,
            None,
        ));
    }
    session.prior = std::mem::take(&mut tsig.mac);
    if now.0.abs_diff(tsig.time) > u64::from(tsig.fudge) {
        // With the client's own time, so that the client can believe it (section 5.2.3).
        let mut rejected = RejectedRequest::with(
            TsigFault::BadTime,
            TsigError::BadTime,
            owner,
            tsig,
            Some(session),
        );
        if let Some((_, tsig, _)) = &mut rejected.reply {
            tsig.other = now.0.to_be_bytes()[2..].to_vec();
        }
        return Err(rejected);
    }
    if session.prior.len() < whole {
        (tsig.time, tsig.fudge) = (now.0, FUDGE);
        return Err(RejectedRequest::with(
            TsigFault::BadTrunc,
            TsigError::BadTrunc,
            owner,
            tsig,
            Some(session),
        ));
    }
    Ok(Some(session))
}

/// What is wrong with a reply's TSIG, or what the server says is wrong with ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TsigReplyError {
    /// It cannot be read.
    Format,
    /// It is not signed and has to be.
    Unsigned,
    /// It is signed with another key.
    Key,
    /// The MAC is not that of the message, or cut short.
    Mac,
    /// Our clocks lie too far apart.
    Time,
    /// The server's error: BADSIG (16), BADKEY (17), BADTIME (18), BADTRUNC (22). Only the latter
    /// two are proven.
    ServerError(u16),
}

impl std::fmt::Display for TsigReplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TsigReplyError::Format => "the reply's TSIG cannot be read",
            TsigReplyError::Unsigned => "the reply is not signed",
            TsigReplyError::Key => "the reply is signed with another key",
            TsigReplyError::Mac => {
                "the reply's signature is wrong: the secrets differ, or somebody changed it"
            }
            TsigReplyError::Time => "the reply was signed at another time: the clocks differ",
            TsigReplyError::ServerError(16) => "BADSIG: the secrets differ",
            TsigReplyError::ServerError(17) => {
                "BADKEY: the server does not know the key, or has another algorithm for it"
            }
            TsigReplyError::ServerError(18) => "BADTIME: the clocks differ",
            TsigReplyError::ServerError(22) => "BADTRUNC: the server wants longer signatures",
            TsigReplyError::ServerError(code) => {
                return write!(f, "the server reports the TSIG error {code}");
            }
        })
    }
}

/// A talk under a key: what comes next is signed over what came before.
#[derive(Debug, Clone)]
pub struct TsigSession {
    key: Arc<TsigKey>,
    hmac: hmac::Key,
    owner: Name,
    id: u16,
    /// The MAC before: the request's, then the last message's. Empty before there is one.
    prior: Vec<u8>,
    /// A reply has been signed, or checked: later ones have only their times in the MAC (RFC 8945
    /// section 5.3.1).
    later: bool,
    /// Messages since the last signed one, and what they have put into the next MAC.
    unsigned: usize,
    pending: Option<hmac::Context>,
}

impl TsigSession {
    fn new(key: Arc<TsigKey>, id: u16) -> TsigSession {
        let algorithm = match key.algorithm() {
            Algorithm::HmacSha256 => hmac::HMAC_SHA256,
            Algorithm::HmacSha384 => hmac::HMAC_SHA384,
            Algorithm::HmacSha512 => hmac::HMAC_SHA512,
        };
        let mut owner = Name::from_ascii(key.name()).unwrap_or_default(); // a key's name is one: `model::key::key_name`
        owner.set_fqdn(true);
        let hmac = hmac::Key::new(algorithm, key.secret());
        TsigSession {
            hmac,
            owner,
            id,
            key,
            prior: Vec::new(),
            later: false,
            unsigned: 0,
            pending: None,
        }
    }

    /// The key's name, for rights.
    pub fn key(&self) -> &str {
        self.key.name()
    }

    /// How many bytes a signature takes, in every message of the talk.
    pub fn size(&self) -> usize {
        // A name's wire form has a length before the first label and the root behind the last one.
        self.key.name().len()
            + 2
            + self.key.algorithm().name().len()
            + 2
            + FIXED
            + self.key.algorithm().mac_len()
    }

    /// Signs a reply of `len` bytes, or the next message of a transfer: the TSIG is put behind it
    /// and counted. The new length; `None` where there are not [`TsigSession::size`] bytes of room.
    pub fn sign(&mut self, message: &mut [u8], len: usize, now: Time) -> Option<usize> {
        let end = self.append_signature(message, len, self.blank(now))?;
        self.later = true;
        Some(end)
    }

    /// Signs a message that can grow, as [`TsigSession::sign`] does. False where that cannot be.
    pub fn sign_message(&mut self, message: &mut Vec<u8>, now: Time) -> bool {
        let len = message.len();
        message.resize(len + self.size(), 0);
        let signed = self.sign(message, len, now);
        message.truncate(signed.unwrap_or(len));
        signed.is_some()
    }

    /// Signs a request of `len` bytes: the session that checks its reply, and the new length.
    /// `None`: there is no room.
    pub fn request(
        key: Arc<TsigKey>,
        message: &mut [u8],
        len: usize,
        now: Time,
    ) -> Option<(TsigSession, usize)> {
        let id = u16::from_be_bytes([*message.first()?, *message.get(1)?]);
        let mut session = TsigSession::new(key, id);
        let end = session.append_signature(message, len, session.blank(now))?;
        Some((session, end))
    }

    /// Looks at the next message of a reply: whether it is signed itself. Where it is wrong,
    /// nothing of the reply is to be believed any more. The caller compares the message's ID.
    pub fn check(&mut self, message: &[u8], now: Time) -> Result<bool, TsigReplyError> {
        let Some(at) = find(message).map_err(|_| TsigReplyError::Format)? else {
            if !self.later || self.unsigned >= MAX_UNSIGNED {
                return Err(TsigReplyError::Unsigned);
            }
            self.unsigned += 1;
            let mut context = self.pending.take().unwrap_or_else(|| self.context());
            context.update(message);
            self.pending = Some(context);
            return Ok(false);
        };
        let (owner, tsig) = read(message, at).ok_or(TsigReplyError::Format)?;
        let server_error = tsig.error.map(|e| TsigReplyError::ServerError(e.into()));
        if let (Some(server_error), true) = (server_error, tsig.mac.is_empty()) {
            return Err(server_error);
        }
        if owner.to_lowercase() != self.owner
            || tsig.algorithm != wire_algorithm(self.key.algorithm())
        {
            return Err(TsigReplyError::Key);
        }
        let mut context = self.pending.take().unwrap_or_else(|| self.context());
        context.update(&head(message, tsig.oid, 1));
        context.update(&message[HEADER..at]);
        match self.later {
            false => context.update(&variables(&owner, &tsig)),
            true => context.update(&timers(&tsig)),
        }
        if tsig.mac.len() != self.key.algorithm().mac_len() || !self.mac_matches(context, &tsig.mac)
        {
            return Err(TsigReplyError::Mac);
        }
        if let Some(server_error) = server_error {
            return Err(server_error);
        }
        if now.0.abs_diff(tsig.time) > u64::from(tsig.fudge) {
            return Err(TsigReplyError::Time);
        }
        (self.prior, self.later, self.unsigned) = (tsig.mac, true, 0);
        Ok(true)
    }

    /// Whether all that was checked is signed: the last message of a reply has to be.
    pub fn whole(&self) -> bool {
        self.later && self.unsigned == 0
    }

    fn blank(&self, now: Time) -> TSIG {
        TSIG::new(
            wire_algorithm(self.key.algorithm()),
            now.0,
            FUDGE,
            Vec::new(),
            self.id,
            None,
            Vec::new(),
        )
    }

    /// What a MAC starts with: the one before.
    fn context(&self) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.hmac);
        if !self.prior.is_empty() {
            context.update(&(self.prior.len() as u16).to_be_bytes());
            context.update(&self.prior);
        }
        context
    }

    fn append_signature(
        &mut self,
        message: &mut [u8],
        len: usize,
        mut tsig: TSIG,
    ) -> Option<usize> {
        let body = message.get(..len).filter(|b| b.len() >= HEADER)?;
        let mut context = self.context();
        context.update(&head(body, tsig.oid, 0));
        context.update(&body[HEADER..]);
        match self.later {
            false => context.update(&variables(&self.owner, &tsig)),
            true => context.update(&timers(&tsig)),
        }
        tsig.mac = context.sign().as_ref().to_vec();
        let mac = tsig.mac.clone();
        let end = append(message, len, &bytes(&self.owner, tsig)?)?;
        self.prior = mac;
        Some(end)
    }

    /// Whether a MAC is `theirs`, as far as that goes. Both are hashed once more before they are
    /// compared, so that the comparison takes the same time wherever they differ, and a truncated
    /// one can be compared too.
    fn mac_matches(&self, context: hmac::Context, theirs: &[u8]) -> bool {
        let ours = context.sign();
        let ours = ours.as_ref().get(..theirs.len());
        ours.is_some_and(|ours| {
            hmac::verify(&self.hmac, ours, hmac::sign(&self.hmac, theirs).as_ref()).is_ok()
        })
    }
}

fn wire_algorithm(algorithm: Algorithm) -> TsigAlgorithm {
    match algorithm {
        Algorithm::HmacSha256 => TsigAlgorithm::HmacSha256,
        Algorithm::HmacSha384 => TsigAlgorithm::HmacSha384,
        Algorithm::HmacSha512 => TsigAlgorithm::HmacSha512,
    }
}

/// A message's header as it is signed: with the ID of the original, without the TSIG that it counts
/// (RFC 8945 section 4.3.2).
fn head(message: &[u8], id: u16, own: u16) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out.copy_from_slice(&message[..HEADER]);
    out[..2].copy_from_slice(&id.to_be_bytes());
    let count = u16::from_be_bytes([out[10], out[11]]).wrapping_sub(own);
    out[10..].copy_from_slice(&count.to_be_bytes());
    out
}

/// What of the record itself is signed (RFC 8945 section 4.3.3).
fn variables(owner: &Name, tsig: &TSIG) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    // A vector has room for all that can be read: nothing here can fail.
    let _ = tsig.emit_tsig_for_mac(&mut BinEncoder::new(&mut out), owner);
    out
}

/// What of a later message's record is signed (RFC 8945 section 5.3.1).
fn timers(tsig: &TSIG) -> [u8; 8] {
    let mut out = [0; 8];
    out[..6].copy_from_slice(&tsig.time.to_be_bytes()[2..]);
    out[6..].copy_from_slice(&tsig.fudge.to_be_bytes());
    out
}
