//! TSIG (RFC 8945): proves the sender of a message, and that it was not changed.
//!
//! hickory-proto encodes the record and its signed variables. The MAC is computed over the bytes as
//! they are sent, since this server writes bytes, and signs every message of a transfer.
//!
//! A server calls [`verify`] for a request, encodes the reply with [`TsigSession::size`] bytes
//! left, and calls [`TsigSession::sign`] for it and for each further message of a transfer. A
//! rejected request is answered with [`RejectedRequest::rcode`] and no records, and signed by
//! [`RejectedRequest::sign`]. A client calls [`TsigSession::request`], then [`TsigSession::check`]
//! for each message of the reply, and [`TsigSession::whole`] after the last one.
//!
//! Choices that the RFC leaves open: truncated MACs get BADTRUNC, however little is missing
//! (section 5.2.4); the time of a message may be before that of the previous one, since datagrams
//! can be reordered (section 5.2.3).

use std::sync::Arc;

use hickory_proto::{
    rr::{
        DNSClass, Name, RData, Record,
        rdata::tsig::{TSIG, TsigAlgorithm, TsigError},
    },
    serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder},
};
use ring::hmac;

use super::wire::{HEADER, RecordHead, counts, rtype, skip_name};
use crate::model::{Algorithm, Keys, Time, TsigKey};

#[cfg(test)]
mod tests;

/// By how much clocks may differ, in seconds (RFC 8945 section 10).
pub const FUDGE: u16 = 300;
/// The most unsigned messages between two signed ones of a stream (RFC 8945 section 5.3.1).
pub const MAX_UNSIGNED: usize = 99;
/// The shortest MAC that is accepted for checking, in bytes, if half of the whole one is shorter
/// (RFC 8945 section 5.2.2.1).
const MIN_MAC_BYTES: usize = 10;
/// The bytes of a record that do not depend on the key: type to length, then time, fudge, sizes, ID
/// and error.
const FIXED_BYTES: usize = 10 + 16;

/// The error of a message that cannot be read up to its TSIG, or that has one at a wrong position
/// (FORMERR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadableTsig;

/// Finds the start of a message's TSIG record; `None` if it has none. The record must be the last
/// one of the additional section, and end the message; otherwise this is an error (RFC 8945 section
/// 5.1).
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
        let record = RecordHead::read(message, skip_name(message, at)?)?;
        at = record.data.end;
        if record.rtype == rtype::TSIG {
            return (i + 1 == total && additionals > 0 && at == message.len())
                .then_some(Some(start));
        }
    }
    Some(None)
}

/// Reads the record at an offset: its owner and its data.
fn read(message: &[u8], at: usize) -> Option<(Name, TSIG)> {
    let mut decoder = BinDecoder::new(message).clone(u16::try_from(at).ok()?);
    let record = Record::read(&mut decoder).ok()?;
    let RData::TSIG(mut tsig) = record.data else {
        return None;
    };
    // Names of algorithms are domain names, whose letter case does not matter.
    if let TsigAlgorithm::Unknown(name) = tsig.algorithm {
        tsig.algorithm = TsigAlgorithm::from_name(name.to_lowercase());
    }
    (record.dns_class == DNSClass::ANY && record.ttl == 0).then_some((record.name, tsig))
}

/// Encodes a record. Its names are not compressed, so that it can follow any message. Returns
/// `None` if it is too long.
fn bytes(owner: &Name, tsig: TSIG) -> Option<Vec<u8>> {
    let mut record = Record::from_rdata(owner.clone(), 0, RData::TSIG(tsig));
    record.dns_class = DNSClass::ANY;
    let mut out = Vec::with_capacity(128);
    record.emit(&mut BinEncoder::new(&mut out)).ok()?;
    Some(out)
}

/// Appends a record to a message of `len` bytes and counts it. Returns the new length, or `None` if
/// it does not fit.
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
    /// The request cannot be read, or its TSIG is invalid (RFC 8945 sections 5.1, 5.2, 5.2.2.1).
    Format,
    /// There is no such key with this algorithm (section 5.2.1).
    BadKey,
    /// The MAC is not that of the message (section 5.2.2).
    BadSig,
    /// The time of the signature is too far in the past or future (section 5.2.3).
    BadTime,
    /// The MAC is right but truncated (section 5.2.4).
    BadTrunc,
}

/// A rejected request, and the TSIG of its reply.
#[derive(Debug)]
pub struct RejectedRequest {
    /// Why the request is rejected.
    pub fault: TsigFault,
    /// The owner and the TSIG of the reply, and the session that signs it; `None` for FORMERR.
    reply: Option<(Name, TSIG, Option<TsigSession>)>,
}

impl RejectedRequest {
    fn new(fault: TsigFault) -> Box<RejectedRequest> {
        Box::new(RejectedRequest { fault, reply: None })
    }

    /// Creates a rejection with an error in the TSIG of its reply, which is signed if there is a
    /// session.
    fn with(
        fault: TsigFault,
        owner: Name,
        mut tsig: TSIG,
        session: Option<TsigSession>,
    ) -> Box<RejectedRequest> {
        tsig.mac.clear();
        // The other data of BADTIME is the time of this server.
        if fault != TsigFault::BadTime {
            tsig.other.clear();
        }
        tsig.error = match fault {
            TsigFault::Format => None,
            TsigFault::BadKey => Some(TsigError::BadKey),
            TsigFault::BadSig => Some(TsigError::BadSig),
            TsigFault::BadTime => Some(TsigError::BadTime),
            TsigFault::BadTrunc => Some(TsigError::BadTrunc),
        };
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

    /// Appends the error to a reply of `len` bytes without records: unsigned for BADKEY and BADSIG,
    /// signed for BADTIME and BADTRUNC (RFC 8945 section 5.3.2), nothing for FORMERR. Returns the
    /// new length, or `None` if it does not fit.
    pub fn sign(self, message: &mut [u8], len: usize) -> Option<usize> {
        match self.reply {
            None => Some(len),
            Some((owner, tsig, None)) => append(message, len, &bytes(&owner, tsig)?),
            Some((_, tsig, Some(mut session))) => session.append_signature(message, len, tsig),
        }
    }
}

/// Verifies the TSIG of a request. Returns the session that signs the reply, or `None` if the
/// request has no TSIG.
pub fn verify(
    keys: &Keys,
    message: &[u8],
    now: Time,
) -> Result<Option<TsigSession>, Box<RejectedRequest>> {
    let malformed = || RejectedRequest::new(TsigFault::Format);
    let Some(at) = find(message).map_err(|_| malformed())? else {
        return Ok(None);
    };
    let (owner, mut tsig) = read(message, at).ok_or_else(malformed)?;
    let known = keys
        .get(&owner.to_ascii())
        .filter(|k| wire_algorithm(k.algorithm()) == tsig.algorithm);
    let Some(key) = known else {
        tsig.time = now.0;
        return Err(RejectedRequest::with(TsigFault::BadKey, owner, tsig, None));
    };
    let mac_len = key.algorithm().mac_len();
    if tsig.mac.len() > mac_len || tsig.mac.len() < MIN_MAC_BYTES.max(mac_len / 2) {
        return Err(malformed());
    }
    let mut session = TsigSession::new(key.clone(), tsig.oid);
    let context = session.context_of(&message[..at], 1, &owner, &tsig);
    if !session.mac_matches(context, &tsig.mac) {
        tsig.time = now.0;
        return Err(RejectedRequest::with(TsigFault::BadSig, owner, tsig, None));
    }
    session.prior = std::mem::take(&mut tsig.mac);
    let fault = if now.0.abs_diff(tsig.time) > u64::from(tsig.fudge) {
        // The reply has the client's own time, so that the client can verify it (section 5.2.3).
        tsig.other = now.0.to_be_bytes()[2..].to_vec();
        TsigFault::BadTime
    } else if session.prior.len() < mac_len {
        (tsig.time, tsig.fudge) = (now.0, FUDGE);
        TsigFault::BadTrunc
    } else {
        return Ok(Some(session));
    };
    Err(RejectedRequest::with(fault, owner, tsig, Some(session)))
}

/// An invalid TSIG of a reply, or the server's error about ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TsigReplyError {
    /// The TSIG cannot be read.
    #[error("the reply's TSIG cannot be read")]
    Format,
    /// The reply has to be signed, and is not.
    #[error("the reply is not signed")]
    Unsigned,
    /// The reply is signed with another key.
    #[error("the reply is signed with another key")]
    Key,
    /// The MAC is not that of the message, or is truncated.
    #[error("the reply's signature is wrong: the secrets differ, or the reply was changed")]
    Mac,
    /// The clocks differ too much.
    #[error("the reply was signed at another time: the clocks differ")]
    Time,
    /// The server's error: BADSIG (16), BADKEY (17), BADTIME (18), BADTRUNC (22). Only the last two
    /// are signed.
    #[error("{}", server_error(*.0))]
    ServerError(u16),
}

fn server_error(code: u16) -> String {
    match code {
        16 => "BADSIG: the secrets differ".into(),
        17 => "BADKEY: the server does not know the key, or has another algorithm for it".into(),
        18 => "BADTIME: the clocks differ".into(),
        22 => "BADTRUNC: the server requires longer signatures".into(),
        code => format!("the server reports the TSIG error {code}"),
    }
}

/// A signed exchange: each signature also covers the previous one.
#[derive(Debug, Clone)]
pub struct TsigSession {
    key: Arc<TsigKey>,
    hmac: hmac::Key,
    owner: Name,
    id: u16,
    /// The previous MAC: that of the request, then that of the last message; empty before the
    /// first.
    prior: Vec<u8>,
    /// Whether a reply was signed or checked: the MAC of later messages covers only their times
    /// (RFC 8945 section 5.3.1).
    later: bool,
    /// The number of messages since the last signed one.
    unsigned: usize,
    /// The next MAC, with the unsigned messages.
    pending: Option<hmac::Context>,
}

impl TsigSession {
    fn new(key: Arc<TsigKey>, id: u16) -> TsigSession {
        let algorithm = match key.algorithm() {
            Algorithm::HmacSha256 => hmac::HMAC_SHA256,
            Algorithm::HmacSha384 => hmac::HMAC_SHA384,
            Algorithm::HmacSha512 => hmac::HMAC_SHA512,
        };
        let mut owner = Name::from_ascii(key.name()).unwrap_or_default(); // a key's name is valid: `model::key::key_name`
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

    /// The name of the key, for permissions.
    pub fn key(&self) -> &str {
        self.key.name()
    }

    /// How many bytes a signature has, in every message of the session.
    pub fn size(&self) -> usize {
        // A name's wire form has a length before the first label and the root after the last one.
        self.key.name().len()
            + 2
            + self.key.algorithm().name().len()
            + 2
            + FIXED_BYTES
            + self.key.algorithm().mac_len()
    }

    /// Signs a reply of `len` bytes, or the next message of a transfer: appends the TSIG and counts
    /// it. Returns the new length, or `None` if there are not [`TsigSession::size`] bytes left.
    pub fn sign(&mut self, message: &mut [u8], len: usize, now: Time) -> Option<usize> {
        let end = self.append_signature(message, len, self.blank(now))?;
        self.later = true;
        Some(end)
    }

    /// Signs a message that can grow, as [`TsigSession::sign`] does. Returns false if that fails.
    pub fn sign_message(&mut self, message: &mut Vec<u8>, now: Time) -> bool {
        let len = message.len();
        message.resize(len + self.size(), 0);
        let signed = self.sign(message, len, now);
        message.truncate(signed.unwrap_or(len));
        signed.is_some()
    }

    /// Signs a request of `len` bytes. Returns the session that checks its reply, and the new
    /// length; `None` if the signature does not fit.
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

    /// Checks the next message of a reply. Returns whether the message itself is signed. After an
    /// error, the whole reply is untrusted. The caller compares the message's ID.
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
        let context = self.context_of(&message[..at], 1, &owner, &tsig);
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

    /// Whether all checked messages are covered by a signature; the last message of a reply has to
    /// be signed.
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

    /// Starts a MAC with the previous one.
    fn context(&self) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.hmac);
        if !self.prior.is_empty() {
            context.update(&(self.prior.len() as u16).to_be_bytes());
            context.update(&self.prior);
        }
        context
    }

    /// The MAC of a message without its TSIG; its header counts `own` TSIG records.
    fn context_of(&mut self, message: &[u8], own: u16, owner: &Name, tsig: &TSIG) -> hmac::Context {
        let mut context = self.pending.take().unwrap_or_else(|| self.context());
        context.update(&head(message, tsig.oid, own));
        context.update(&message[HEADER..]);
        match self.later {
            false => context.update(&variables(owner, tsig)),
            true => context.update(&timers(tsig)),
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
        let owner = self.owner.clone();
        let context = self.context_of(body, 0, &owner, &tsig);
        tsig.mac = context.sign().as_ref().to_vec();
        let mac = tsig.mac.clone();
        let end = append(message, len, &bytes(&self.owner, tsig)?)?;
        self.prior = mac;
        Some(end)
    }

    /// Whether a MAC begins with `theirs`. Both are hashed once more before they are compared, so
    /// that the comparison takes constant time, also with a truncated MAC.
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

/// A message's header as it is signed: with the original ID, and without counting the TSIG (RFC
/// 8945 section 4.3.2).
fn head(message: &[u8], id: u16, own: u16) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out.copy_from_slice(&message[..HEADER]);
    out[..2].copy_from_slice(&id.to_be_bytes());
    let count = u16::from_be_bytes([out[10], out[11]]).wrapping_sub(own);
    out[10..].copy_from_slice(&count.to_be_bytes());
    out
}

/// The signed variables of a TSIG record (RFC 8945 section 4.3.3).
fn variables(owner: &Name, tsig: &TSIG) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    // Writing to a vector cannot fail.
    let _ = tsig.emit_tsig_for_mac(&mut BinEncoder::new(&mut out), owner);
    out
}

/// The signed variables of a later message's record (RFC 8945 section 5.3.1).
fn timers(tsig: &TSIG) -> [u8; 8] {
    let mut out = [0; 8];
    out[..6].copy_from_slice(&tsig.time.to_be_bytes()[2..]);
    out[6..].copy_from_slice(&tsig.fudge.to_be_bytes());
    out
}
