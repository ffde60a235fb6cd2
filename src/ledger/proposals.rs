//! Proposals: listings that wait for another person, limited per author and day.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{error::LedgerError, map::Map};
use crate::{
    model::{
        Change, Evidence, Preconditions, Subject, Time,
        history::{Command, IdempotencyKey, OpenEnd},
        time::Seconds,
    },
    store::{StoreError, schema},
};

/// Proposals of all authors that wait at most.
const MAX_WAITING: usize = 10_000;
/// A day in seconds.
pub(super) const DAY: u64 = 86_400;
/// The audit log's name for a proposal that is made.
pub const PROPOSE: &str = "propose";

/// A listing that waits for another person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its number.
    pub id: String,
    /// Since when.
    pub at: Time,
    /// What was asked for; its author is not the one who approves.
    pub change: Change,
    /// The person behind the author: of a program, the person who made its token.
    pub person: String,
}

/// A row of a store that did not keep the person and the open end: id, time, and of the change the
/// subject, the author, the evidence, what is asked for, and the terms.
type EarlierRow = (
    String,
    Time,
    (
        Subject,
        String,
        Option<Evidence>,
        Command,
        EarlierPreconditions,
    ),
);
/// Special, breaks a hold, from, the revision, and what tells a repeated request.
type EarlierPreconditions = (bool, bool, Box<str>, Option<u64>, Option<IdempotencyKey>);

/// Reads a proposal's row.
pub(super) fn read_row(row: &[u8]) -> Result<Proposal, StoreError> {
    let earlier = || {
        let (id, at, (subject, author, evidence, command, preconditions)): EarlierRow =
            schema::decode(row)?;
        let (special, breaks_hold, from, expect, once) = preconditions;
        let preconditions = Preconditions {
            special,
            breaks_hold,
            from,
            expect,
            idempotency: once,
            open_end: OpenEnd::default(),
        };
        Some(Proposal {
            id,
            at,
            person: author.clone(),
            change: Change {
                subject,
                author,
                evidence,
                command,
                preconditions,
            },
        })
    };
    schema::decode(row)
        .or_else(earlier)
        .ok_or_else(|| StoreError::Damaged("a proposal cannot be read".into()))
}

/// How many proposals an author may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposalLimits {
    /// Proposals of one author that wait at most.
    pub waiting: u32,
    /// Proposals that one author makes in a day (UTC) at most.
    pub daily: u32,
}

impl Default for ProposalLimits {
    fn default() -> ProposalLimits {
        ProposalLimits {
            waiting: 500,
            daily: 1000,
        }
    }
}

/// What is counted of an author.
#[derive(Debug, Clone, Copy, Default)]
struct AuthorCount {
    waiting: u32,
    /// The last day with a proposal, in days since 1970, and how many there were on it.
    day: u64,
    made: u32,
}

/// All proposals that wait. A copy shares everything with the original: it costs the same for one
/// as for ten thousand.
#[derive(Debug, Clone, Default)]
pub struct Proposals {
    by_id: Map<Arc<Proposal>>,
    by_author: Map<AuthorCount>,
}

impl Proposals {
    /// A proposal by its number.
    pub fn get(&self, id: &str) -> Option<&Arc<Proposal>> {
        self.by_id.get(id)
    }

    /// All proposals, the oldest first.
    pub fn all(&self) -> Vec<Arc<Proposal>> {
        let mut all: Vec<_> = self.by_id.values().cloned().collect();
        all.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        all
    }

    /// The proposal of an author that waits for the same listing: the same subject, reason and
    /// source.
    pub fn same(&self, change: &Change) -> Option<&Arc<Proposal>> {
        let asked = |c: &Change| match &c.command {
            Command::List { reason, source, .. } => Some((*reason, *source)),
            _ => None,
        };
        let listing = asked(change)?;
        let is_same = |c: &Change| {
            c.subject == change.subject && c.author == change.author && asked(c) == Some(listing)
        };
        self.by_id.values().find(|p| is_same(&p.change))
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.by_id.size()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Refuses a proposal that is one too many for its author, or for the store. One that comes
    /// again under its number takes the place of the earlier one.
    pub(super) fn check(&self, p: &Proposal, limits: ProposalLimits) -> Result<(), LedgerError> {
        if self.by_id.contains_key(&p.id) {
            return Ok(());
        }
        let author = &p.change.author;
        let count = self.by_author.get(author).copied().unwrap_or_default();
        let limit = |why: String, wait| Err(LedgerError::LimitReached { why, wait });
        if count.waiting >= limits.waiting {
            let waiting = count.waiting;
            return limit(
                format!(
                    "{waiting} proposals of {author} wait already; an editor approves, refuses or deletes them first"
                ),
                None,
            );
        }
        if count.day == p.at.0 / DAY && count.made >= limits.daily {
            let why = format!(
                "{author} made {} proposals today, which is the limit",
                count.made
            );
            return limit(why, Some(Seconds(DAY - p.at.0 % DAY)));
        }
        if self.len() >= MAX_WAITING {
            return limit(
                format!(
                    "{MAX_WAITING} proposals wait already; an editor approves, refuses or deletes some first"
                ),
                None,
            );
        }
        Ok(())
    }

    /// Adds a proposal, and counts it for its author and day where it is a `new` one.
    pub(super) fn add(&mut self, p: Proposal, new: bool) {
        let author = p.change.author.clone();
        let mut count = self.by_author.get(&author).copied().unwrap_or_default();
        if self.by_id.contains_key(&p.id) {
            count.waiting = count.waiting.saturating_sub(1);
        } else if new {
            let day = p.at.0 / DAY;
            (count.day, count.made) = if count.day == day {
                (day, count.made + 1)
            } else {
                (count.day.max(day), 1)
            };
        }
        count.waiting += 1;
        self.by_author.insert_mut(author, count);
        self.by_id.insert_mut(p.id.clone(), Arc::new(p));
    }

    /// Counts what authors proposed on a day, as the audit log has it: a restart does not forget
    /// proposals that were decided.
    pub(super) fn count_made(&mut self, day: u64, made: BTreeMap<String, u32>) {
        for (author, made) in made {
            let mut count = self.by_author.get(&author).copied().unwrap_or_default();
            if count.day < day {
                (count.day, count.made) = (day, 0);
            }
            if count.day == day {
                count.made = count.made.max(made);
                self.by_author.insert_mut(author, count);
            }
        }
    }

    /// Removes a proposal; whether it was there.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let Some(p) = self.by_id.get(id).cloned() else {
            return false;
        };
        let mut count = self
            .by_author
            .get(&p.change.author)
            .copied()
            .unwrap_or_default();
        count.waiting = count.waiting.saturating_sub(1);
        self.by_author.insert_mut(p.change.author.clone(), count);
        self.by_id.remove_mut(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ReasonId, SourceId};

    fn proposal(id: usize, author: &str, at: u64) -> Proposal {
        let command = Command::List {
            reason: ReasonId(0),
            source: SourceId::OPERATOR,
            until: None,
            text: None,
        };
        let change = Change::new("45.1.1.1".parse().unwrap(), author, command);
        Proposal {
            id: id.to_string(),
            at: Time(at),
            change,
            person: author.into(),
        }
    }

    fn add(all: &mut Proposals, p: Proposal, limits: ProposalLimits) -> Result<(), LedgerError> {
        all.check(&p, limits)?;
        all.add(p, true);
        Ok(())
    }

    #[test]
    fn proposals_are_limited_per_author_and_not_for_others() {
        let limits = ProposalLimits {
            waiting: 3,
            daily: 100,
        };
        let mut all = Proposals::default();
        (0..3).for_each(|n| add(&mut all, proposal(n, "anna", 0), limits).unwrap());
        let e = add(&mut all, proposal(3, "anna", 0), limits).unwrap_err();
        assert!(
            matches!(&e, LedgerError::LimitReached { wait: None, why } if why.contains("3 proposals of anna")),
            "{e:?}"
        );
        add(&mut all, proposal(4, "bert", 0), limits).unwrap();
        // The same number again is the same proposal.
        add(&mut all, proposal(2, "anna", 0), limits).unwrap();
        assert_eq!(all.len(), 4);
        assert!(all.remove("0") && !all.remove("0"));
        add(&mut all, proposal(5, "anna", 0), limits).unwrap();
        assert!(add(&mut all, proposal(6, "anna", 0), limits).is_err());
    }

    #[test]
    fn proposals_are_limited_per_day_however_quickly_they_are_decided() {
        let limits = ProposalLimits {
            waiting: 100,
            daily: 2,
        };
        let mut all = Proposals::default();
        for n in 0..2 {
            add(&mut all, proposal(n, "anna", DAY - 10), limits).unwrap();
            all.remove(&n.to_string());
        }
        let e = add(&mut all, proposal(2, "anna", DAY - 10), limits).unwrap_err();
        assert!(
            matches!(
                &e,
                LedgerError::LimitReached {
                    wait: Some(Seconds(10)),
                    ..
                }
            ),
            "{e:?}"
        );
        add(&mut all, proposal(2, "bert", DAY - 10), limits).unwrap();
        add(&mut all, proposal(3, "anna", DAY), limits).unwrap();
    }

    #[test]
    fn an_author_has_one_proposal_of_a_listing() {
        let mut all = Proposals::default();
        all.add(proposal(1, "anna", 0), true);
        let same = |all: &Proposals, p: &Proposal| all.same(&p.change).map(|p| p.id.clone());
        assert_eq!(same(&all, &proposal(2, "anna", 5)), Some("1".into()));
        assert_eq!(
            same(&all, &proposal(2, "bert", 5)),
            None,
            "of another author"
        );
        let mut other = proposal(2, "anna", 5);
        other.change.subject = "45.1.1.2".parse().unwrap();
        assert_eq!(same(&all, &other), None);
        let command = Command::List {
            reason: ReasonId(1),
            source: SourceId::OPERATOR,
            until: None,
            text: None,
        };
        other = Proposal {
            change: Change::new("45.1.1.1".parse().unwrap(), "anna", command),
            ..proposal(2, "anna", 5)
        };
        assert_eq!(same(&all, &other), None);
    }

    #[test]
    fn a_row_of_an_earlier_store_is_read() {
        let p = proposal(1, "anna", 7);
        assert_eq!(
            read_row(&schema::encode(&p).into_bytes().unwrap()).unwrap(),
            p
        );
        let Change {
            subject,
            author,
            evidence,
            command,
            preconditions,
        } = p.change.clone();
        let preconditions: EarlierPreconditions = (
            preconditions.special,
            preconditions.breaks_hold,
            preconditions.from,
            preconditions.expect,
            preconditions.idempotency,
        );
        let row: EarlierRow = (
            p.id.clone(),
            p.at,
            (subject, author, evidence, command, preconditions),
        );
        assert_eq!(
            read_row(&schema::encode(&row).into_bytes().unwrap()).unwrap(),
            p
        );
        assert!(read_row(b"x").is_err());
    }

    #[test]
    fn a_copy_of_ten_thousand_proposals_costs_no_more_than_one_of_few() {
        let limits = ProposalLimits {
            waiting: u32::MAX,
            daily: u32::MAX,
        };
        let time = |count: usize| {
            let mut all = Proposals::default();
            (0..count).for_each(|n| add(&mut all, proposal(n, "anna", 0), limits).unwrap());
            let once = |n: usize| {
                let begun = std::time::Instant::now();
                let mut copy = all.clone();
                copy.add(proposal(count + n, "anna", 0), true);
                begun.elapsed()
            };
            let mut all: Vec<_> = (0..101).map(once).collect();
            all.sort();
            all[50]
        };
        let (few, many) = (time(10), time(9_900));
        // A copy of the whole would cost some 500 times as much.
        assert!(many < few * 20, "{few:?} {many:?}");
    }
}
