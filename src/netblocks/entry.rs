//! An entry: a network, why it is listed, who decided, and when it ends. The rules are functions of
//! the entry and the time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ContactAnswer, NetblockContact, NetblockError, NetblockText};
use crate::model::{
    Entry, Subject, Time, history::IdempotencyKey, text::check_line, time::Seconds,
};

const DAY: u64 = 86_400;
/// The longest time from a proposal to the end that it asks for: a year, also with a leap day.
pub const MAX_PERIOD: Seconds = Seconds(366 * DAY);
/// How long a proposal waits for another person.
pub(super) const PROPOSAL_PERIOD: Seconds = Seconds(30 * DAY);
/// How long the private parts of an entry are kept after its end.
pub(super) const PRIVATE_PERIOD: Seconds = Seconds(90 * DAY);
/// How long an entry is kept after its end.
pub(super) const KEPT_PERIOD: Seconds = Seconds(365 * DAY);
/// The most contacts of an entry.
pub(super) const MAX_CONTACTS: usize = 100;
/// The most steps in the history of an entry; the oldest are dropped.
const MAX_STEPS: usize = 200;
/// The longest private text, in bytes.
const MAX_TEXT_BYTES: usize = 2000;

/// The state of an entry.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::IntoStaticStr,
    strum::EnumString,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum NetblockState {
    /// It waits for another person. Nothing is listed.
    Proposed,
    /// The network is listed.
    Listed,
    /// The entry has ended.
    Ended,
}

/// How an entry ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum NetblockEnd {
    /// A person refused the proposal.
    Refused,
    /// Nobody approved the proposal in time.
    NotApproved,
    /// Its end was reached, and no renewal was approved.
    Expired,
    /// The network was delisted, on request or by an operator.
    Delisted,
}

/// Who does something with an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetblockAuthor {
    /// The name of the user or program.
    pub name: String,
    /// The person that they act for.
    pub person: String,
    /// The address or listener that the request comes from.
    pub from: String,
    /// The key of an idempotent request.
    pub idempotency: Option<IdempotencyKey>,
}

/// Who proposed or approved something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetblockSignature {
    /// When.
    pub at: Time,
    /// The name of the user or program.
    pub name: String,
    /// The person that they act for.
    pub person: String,
}

impl NetblockSignature {
    fn of(author: &NetblockAuthor, at: Time) -> NetblockSignature {
        NetblockSignature {
            at,
            name: author.name.clone(),
            person: author.person.clone(),
        }
    }

    /// Whether it was given by the author, or by another name of the same person.
    fn is_by(&self, author: &NetblockAuthor) -> bool {
        self.name == author.name || self.person == author.person
    }
}

/// A renewal that waits for another person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetblockRenewal {
    /// Who proposed it.
    pub proposed: NetblockSignature,
    /// The end that it asks for.
    pub until: Time,
}

/// A step in the history of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetblockStep {
    /// When.
    pub at: Time,
    /// What was done: `propose`, `approve`, `renew`, `contact`, `refuse`, or how the entry ended.
    pub action: String,
    /// Who did it; empty if it happened by itself.
    pub author: String,
}

/// A request for a new entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNetblock {
    /// The network.
    pub prefix: Subject,
    /// Why it is to be listed.
    pub text: NetblockText,
    /// The end; at most [`MAX_PERIOD`] ahead.
    pub until: Time,
    /// A private note.
    pub note: String,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netblock {
    /// The network.
    pub prefix: Subject,
    /// The public text.
    pub text: NetblockText,
    /// The private note.
    pub note: String,
    /// What its owner was asked.
    pub contacts: Vec<NetblockContact>,
    /// The state.
    pub state: NetblockState,
    /// Who proposed it.
    pub proposed: NetblockSignature,
    /// Who approved it, which is when it was listed.
    pub approved: Option<NetblockSignature>,
    /// The end.
    pub until: Time,
    /// A renewal that waits for another person.
    pub renewal: Option<NetblockRenewal>,
    /// When renewals were approved.
    pub renewed: Vec<Time>,
    /// When and how it ended.
    pub ended: Option<(Time, NetblockEnd)>,
    /// What happened, the oldest step first.
    pub history: Vec<NetblockStep>,
}

impl Netblock {
    /// Proposes an entry. The history of an `earlier` entry of the same network is continued.
    pub(super) fn propose(
        new: NewNetblock,
        earlier: Option<Netblock>,
        author: &NetblockAuthor,
        now: Time,
    ) -> Result<Netblock, NetblockError> {
        if !new.prefix.is_address() || new.prefix.addresses() < 2 {
            return Err(NetblockError::Invalid(format!(
                "prefix: `{}` is not a prefix of several addresses; list a single address with `orbsd list`",
                new.prefix
            )));
        }
        new.text.check()?;
        check_text("note", &new.note)?;
        check_end(new.until, now)?;
        match earlier.as_ref().map(|e| e.state) {
            Some(NetblockState::Proposed) => {
                return Err(NetblockError::Refused(format!(
                    "an entry of {} waits for another person already; approve or refuse it first",
                    new.prefix
                )));
            }
            Some(NetblockState::Listed) => {
                return Err(NetblockError::Refused(format!(
                    "{} is listed already; renew its entry",
                    new.prefix
                )));
            }
            Some(NetblockState::Ended) | None => {}
        }
        let mut out = Netblock {
            prefix: new.prefix,
            text: new.text,
            note: new.note,
            contacts: Vec::new(),
            state: NetblockState::Proposed,
            proposed: NetblockSignature::of(author, now),
            approved: None,
            until: new.until,
            renewal: None,
            renewed: Vec::new(),
            ended: None,
            history: earlier.map(|e| e.history).unwrap_or_default(),
        };
        out.note_step("propose", &author.name, now);
        Ok(out)
    }

    /// Approves the proposal, or the renewal, of another person. The network has to be listed until
    /// [`Netblock::until`] then.
    pub(super) fn approve(
        &mut self,
        author: &NetblockAuthor,
        now: Time,
    ) -> Result<(), NetblockError> {
        let (proposed, until) = self.waiting()?;
        if proposed.is_by(author) {
            return Err(NetblockError::SamePerson(format!(
                "another person has to approve this: {} proposed it, and {} acts for the same person",
                proposed.name, author.name
            )));
        }
        check_end(until, now)?;
        if self.text.needs_contact() && self.contacts.is_empty() {
            return Err(NetblockError::Refused(format!(
                "the entry of {} does not say what its owner was asked; record it with `orbsd netblock contact`",
                self.prefix
            )));
        }
        if self.renewal.take().is_some() {
            self.renewed.push(now);
        } else {
            self.state = NetblockState::Listed;
            self.approved = Some(NetblockSignature::of(author, now));
        }
        self.until = until;
        self.note_step("approve", &author.name, now);
        Ok(())
    }

    /// Who proposed what waits for another person, and its end.
    fn waiting(&self) -> Result<(&NetblockSignature, Time), NetblockError> {
        match (self.state, &self.renewal) {
            (NetblockState::Proposed, _) => Ok((&self.proposed, self.until)),
            (NetblockState::Listed, Some(renewal)) => Ok((&renewal.proposed, renewal.until)),
            (NetblockState::Listed | NetblockState::Ended, _) => Err(self.nothing_waits()),
        }
    }

    fn nothing_waits(&self) -> NetblockError {
        NetblockError::Refused(format!(
            "nothing about {} waits for a decision: its entry is {}",
            self.prefix,
            <&str>::from(self.state)
        ))
    }

    /// Proposes a later end.
    pub(super) fn renew(
        &mut self,
        until: Time,
        author: &NetblockAuthor,
        now: Time,
    ) -> Result<(), NetblockError> {
        if self.state != NetblockState::Listed {
            return Err(NetblockError::Refused(format!(
                "the entry of {} is {}; only a listed one can be renewed",
                self.prefix,
                <&str>::from(self.state)
            )));
        }
        if self.renewal.is_some() {
            return Err(NetblockError::Refused(format!(
                "a renewal of {} waits for another person already; approve or refuse it first",
                self.prefix
            )));
        }
        check_end(until, now)?;
        if until <= self.until {
            return Err(NetblockError::Invalid(format!(
                "until: {until} is not later than the present end {}",
                self.until
            )));
        }
        let proposed = NetblockSignature::of(author, now);
        self.renewal = Some(NetblockRenewal { proposed, until });
        self.note_step("renew", &author.name, now);
        Ok(())
    }

    /// Refuses the proposal or the renewal that waits.
    pub(super) fn refuse(
        &mut self,
        author: &NetblockAuthor,
        now: Time,
    ) -> Result<(), NetblockError> {
        self.waiting()?;
        self.note_step("refuse", &author.name, now);
        if self.renewal.take().is_none() {
            self.state = NetblockState::Ended;
            self.ended = Some((now, NetblockEnd::Refused));
        }
        Ok(())
    }

    /// Records what the owner was asked.
    pub(super) fn add_contact(
        &mut self,
        contact: NetblockContact,
        now: Time,
    ) -> Result<(), NetblockError> {
        self.check_open()?;
        check_text("address", &contact.address)?;
        check_text("words", &contact.words)?;
        if contact.asked_at > now {
            return Err(NetblockError::Invalid(
                "asked_at: must not be in the future".into(),
            ));
        }
        check_answer(&contact, now)?;
        if self.contacts.len() >= MAX_CONTACTS {
            return Err(NetblockError::Refused(format!(
                "the entry of {} has {MAX_CONTACTS} contacts, which is the limit",
                self.prefix
            )));
        }
        self.note_step("contact", &contact.author, now);
        self.contacts.push(contact);
        self.contacts.sort_by_key(|c| c.asked_at);
        Ok(())
    }

    /// Records what came back to a contact, by its number from 1.
    pub(super) fn answer_contact(
        &mut self,
        number: usize,
        answer: ContactAnswer,
        answered_at: Option<Time>,
        author: &NetblockAuthor,
        now: Time,
    ) -> Result<(), NetblockError> {
        self.check_open()?;
        let (prefix, count) = (self.prefix.clone(), self.contacts.len());
        let found = number.checked_sub(1).and_then(|i| self.contacts.get_mut(i));
        let contact = found.ok_or_else(|| {
            NetblockError::Invalid(format!(
                "number: the entry of {prefix} has {count} contacts, and no contact {number}"
            ))
        })?;
        let changed = NetblockContact {
            answer,
            answered_at,
            ..contact.clone()
        };
        check_answer(&changed, now)?;
        *contact = changed;
        self.note_step("contact", &author.name, now);
        Ok(())
    }

    fn check_open(&self) -> Result<(), NetblockError> {
        match self.state {
            NetblockState::Proposed | NetblockState::Listed => Ok(()),
            NetblockState::Ended => Err(NetblockError::Refused(format!(
                "the entry of {} has ended; propose a new one",
                self.prefix
            ))),
        }
    }

    /// Ends the entry if its time is over, or if the network is not listed any more. `listing` is
    /// the network's listing for the reason of netblocks. Returns whether the entry has changed.
    pub(super) fn settle(&mut self, listing: Option<&Entry>, now: Time) -> bool {
        let proposal_ends = self.until.min(self.proposed.at.plus(PROPOSAL_PERIOD));
        let ended = match self.state {
            NetblockState::Proposed if proposal_ends <= now => {
                (proposal_ends, NetblockEnd::NotApproved)
            }
            NetblockState::Listed if self.until <= now => (self.until, NetblockEnd::Expired),
            NetblockState::Listed if listing.is_none() => (now, NetblockEnd::Delisted),
            NetblockState::Proposed | NetblockState::Listed | NetblockState::Ended => return false,
        };
        self.state = NetblockState::Ended;
        self.renewal = None;
        self.ended = Some(ended);
        self.note_step(ended.1.into(), "", ended.0);
        true
    }

    /// Erases the private parts of an entry that ended long ago. Returns whether it had any.
    pub(super) fn erase_private_parts(&mut self, now: Time) -> bool {
        let is_old = self
            .ended
            .is_some_and(|(at, _)| at.plus(PRIVATE_PERIOD) <= now);
        let mut has_any = false;
        if is_old {
            for text in self.private_texts_mut() {
                has_any |= !text.is_empty();
                text.clear();
            }
        }
        has_any
    }

    /// The private texts: the note, and the addresses and words of contacts.
    pub(super) fn private_texts(&self) -> impl Iterator<Item = &String> {
        let of_contacts = self.contacts.iter().flat_map(|c| [&c.address, &c.words]);
        std::iter::once(&self.note).chain(of_contacts)
    }

    /// As [`Netblock::private_texts`], to change them.
    pub(super) fn private_texts_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let contacts = self.contacts.iter_mut();
        let of_contacts = contacts.flat_map(|c| [&mut c.address, &mut c.words]);
        std::iter::once(&mut self.note).chain(of_contacts)
    }

    /// Whether the entry ended so long ago that it is not kept.
    pub(super) fn is_over(&self, now: Time) -> bool {
        self.ended
            .is_some_and(|(at, _)| at.plus(KEPT_PERIOD) <= now)
    }

    /// Whether the entry has a public page: it is listed, or was.
    pub fn is_public(&self) -> bool {
        self.approved.is_some()
    }

    fn note_step(&mut self, action: &str, author: &str, at: Time) {
        if self.history.len() >= MAX_STEPS {
            self.history.remove(0);
        }
        self.history.push(NetblockStep {
            at,
            action: action.into(),
            author: author.into(),
        });
    }
}

/// Refuses an end that is over or too far ahead.
fn check_end(until: Time, now: Time) -> Result<(), NetblockError> {
    if until <= now {
        return Err(NetblockError::Invalid(format!(
            "until: {until} is in the past; write a later time"
        )));
    }
    let last = now.plus(MAX_PERIOD);
    if until > last {
        return Err(NetblockError::Invalid(format!(
            "until: {until} is more than a year ahead; write {last} or earlier, and renew the entry before it ends"
        )));
    }
    Ok(())
}

/// Refuses an answer without its time, and one before the request.
fn check_answer(contact: &NetblockContact, now: Time) -> Result<(), NetblockError> {
    let invalid = |why: &str| Err(NetblockError::Invalid(format!("answered_at: {why}")));
    match (contact.answer, contact.answered_at) {
        (ContactAnswer::None, None) => Ok(()),
        (ContactAnswer::None, Some(_)) => invalid("name it only with an answer"),
        (_, None) => invalid("required with an answer"),
        (_, Some(at)) if at < contact.asked_at => invalid("must not be before the request"),
        (_, Some(at)) if at > now => invalid("must not be in the future"),
        (_, Some(_)) => Ok(()),
    }
}

fn check_text(field: &str, text: &str) -> Result<(), NetblockError> {
    let invalid = |why: String| NetblockError::Invalid(format!("{field}: {why}"));
    if text.len() > MAX_TEXT_BYTES {
        return Err(invalid(format!("at most {MAX_TEXT_BYTES} bytes")));
    }
    check_line(text).map_err(invalid)
}
