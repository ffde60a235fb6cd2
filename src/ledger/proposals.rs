//! Proposals: listings that wait for another person's approval, limited per author and day.

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

/// The most proposals of all authors that wait.
const MAX_WAITING: usize = 10_000;
/// A day in seconds.
pub(super) const DAY: u64 = 86_400;
/// The name of a new proposal in the audit log.
pub const PROPOSE: &str = "propose";

/// A listing that waits for another person's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The ID.
    pub id: String,
    /// The time of the proposal.
    pub at: Time,
    /// The requested change. Its author cannot approve it.
    pub change: Change,
    /// The person behind the author; for a program, the person who created its token.
    pub person: String,
}

/// The row of an earlier version, without the person and the open end: the ID, the time, and the
/// change as subject, author, evidence, command and preconditions.
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
/// The preconditions of an earlier version: special, breaks_hold, from, expect and idempotency.
type EarlierPreconditions = (bool, bool, Box<str>, Option<u64>, Option<IdempotencyKey>);

/// Reads a proposal's row.
pub(super) fn read_row(row: &[u8]) -> Result<Proposal, StoreError> {
    let earlier = || {
        let (id, at, (subject, author, evidence, command, preconditions)): EarlierRow =
            schema::decode(row)?;
        let (special, breaks_hold, from, expect, idempotency) = preconditions;
        let preconditions = Preconditions {
            special,
            breaks_hold,
            from,
            expect,
            idempotency,
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

/// The limits of the proposals of one author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposalLimits {
    /// The most proposals that wait.
    pub waiting: u32,
    /// The most proposals in a day (UTC).
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

/// The counts of proposals of an author.
#[derive(Debug, Clone, Copy, Default)]
struct AuthorCount {
    waiting: u32,
    /// The last day with a proposal, in days since 1970.
    day: u64,
    /// The number of proposals on that day.
    on_day: u32,
}

/// All proposals that wait. A copy shares its data with the original, so that the cost of a copy
/// does not depend on the number of proposals.
#[derive(Debug, Clone, Default)]
pub struct Proposals {
    by_id: Map<Arc<Proposal>>,
    by_author: Map<AuthorCount>,
}

impl Proposals {
    /// A proposal by its ID.
    pub fn get(&self, id: &str) -> Option<&Arc<Proposal>> {
        self.by_id.get(id)
    }

    /// All proposals, the oldest first.
    pub fn all(&self) -> Vec<Arc<Proposal>> {
        let mut all: Vec<_> = self.by_id.values().cloned().collect();
        all.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        all
    }

    /// The waiting proposal of the same author for the same listing: the same subject, reason and
    /// source.
    pub fn same(&self, change: &Change) -> Option<&Arc<Proposal>> {
        let listing_of = |c: &Change| match &c.command {
            Command::List { reason, source, .. } => Some((*reason, *source)),
            _ => None,
        };
        let listing = listing_of(change)?;
        let is_same = |c: &Change| {
            c.subject == change.subject
                && c.author == change.author
                && listing_of(c) == Some(listing)
        };
        self.by_id.values().find(|p| is_same(&p.change))
    }

    /// The number of proposals.
    pub fn len(&self) -> usize {
        self.by_id.size()
    }

    /// Whether there are no proposals.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn count(&self, author: &str) -> AuthorCount {
        self.by_author.get(author).copied().unwrap_or_default()
    }

    /// Refuses a proposal that exceeds a limit of its author or of the store. A proposal with the
    /// ID of another one replaces it, and is not refused.
    pub(super) fn check(&self, p: &Proposal, limits: ProposalLimits) -> Result<(), LedgerError> {
        if self.by_id.contains_key(&p.id) {
            return Ok(());
        }
        let author = &p.change.author;
        let count = self.count(author);
        let refuse = |why, wait| Err(LedgerError::LimitReached { why, wait });
        const REMEDY: &str = "an editor has to approve, refuse or delete some first";
        if count.waiting >= limits.waiting {
            let n = count.waiting;
            let why = format!("{author} has {n} proposals that wait, which is the limit; {REMEDY}");
            return refuse(why, None);
        }
        if count.day == p.at.0 / DAY && count.on_day >= limits.daily {
            let n = count.on_day;
            let why = format!("{author} made {n} proposals today, which is the limit");
            return refuse(why, Some(Seconds(DAY - p.at.0 % DAY)));
        }
        if self.len() >= MAX_WAITING {
            let why = format!("{MAX_WAITING} proposals wait, which is the limit; {REMEDY}");
            return refuse(why, None);
        }
        Ok(())
    }

    /// Adds a proposal, and counts it for its author and day if it is `new`.
    pub(super) fn add(&mut self, p: Proposal, new: bool) {
        let author = p.change.author.clone();
        let mut count = self.count(&author);
        if self.by_id.contains_key(&p.id) {
            count.waiting = count.waiting.saturating_sub(1);
        } else if new {
            let day = p.at.0 / DAY;
            (count.day, count.on_day) = if count.day == day {
                (day, count.on_day + 1)
            } else {
                (count.day.max(day), 1)
            };
        }
        count.waiting += 1;
        self.by_author.insert_mut(author, count);
        self.by_id.insert_mut(p.id.clone(), Arc::new(p));
    }

    /// Restores the counts of a day from the audit log, so that a restart counts proposals that
    /// were decided meanwhile.
    pub(super) fn restore_day_counts(&mut self, day: u64, counts: BTreeMap<String, u32>) {
        for (author, proposals) in counts {
            let mut count = self.count(&author);
            if count.day < day {
                (count.day, count.on_day) = (day, 0);
            }
            if count.day == day {
                count.on_day = count.on_day.max(proposals);
                self.by_author.insert_mut(author, count);
            }
        }
    }

    /// Removes a proposal. Returns whether there was one.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let Some(p) = self.by_id.get(id).cloned() else {
            return false;
        };
        let mut count = self.count(&p.change.author);
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
            text: Default::default(),
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
    fn waiting_proposals_are_limited_per_author() {
        let limits = ProposalLimits {
            waiting: 3,
            daily: 100,
        };
        let mut all = Proposals::default();
        (0..3).for_each(|n| add(&mut all, proposal(n, "anna", 0), limits).unwrap());
        let e = add(&mut all, proposal(3, "anna", 0), limits).unwrap_err();
        assert!(
            matches!(&e, LedgerError::LimitReached { wait: None, why } if why.contains("anna has 3 proposals")),
            "{e:?}"
        );
        add(&mut all, proposal(4, "bert", 0), limits).unwrap();
        // A proposal with the same ID replaces the first.
        add(&mut all, proposal(2, "anna", 0), limits).unwrap();
        assert_eq!(all.len(), 4);
        assert!(all.remove("0") && !all.remove("0"));
        add(&mut all, proposal(5, "anna", 0), limits).unwrap();
        assert!(add(&mut all, proposal(6, "anna", 0), limits).is_err());
    }

    #[test]
    fn decided_proposals_count_for_the_limit_of_the_day() {
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
    fn same_finds_the_proposal_of_an_author_for_a_listing() {
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
            text: Default::default(),
        };
        other = Proposal {
            change: Change::new("45.1.1.1".parse().unwrap(), "anna", command),
            ..proposal(2, "anna", 5)
        };
        assert_eq!(same(&all, &other), None);
    }

    #[test]
    fn row_of_an_earlier_version_is_read() {
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
    fn cost_of_a_copy_does_not_grow_with_the_number_of_proposals() {
        let limits = ProposalLimits {
            waiting: u32::MAX,
            daily: u32::MAX,
        };
        let time = |count: usize| {
            let mut all = Proposals::default();
            (0..count).for_each(|n| add(&mut all, proposal(n, "anna", 0), limits).unwrap());
            let measure = |n: usize| {
                let start = std::time::Instant::now();
                let mut copy = all.clone();
                copy.add(proposal(count + n, "anna", 0), true);
                start.elapsed()
            };
            let mut times: Vec<_> = (0..101).map(measure).collect();
            times.sort();
            times[50]
        };
        let (few, many) = (time(10), time(9_900));
        // A deep copy would cost some 500 times as much.
        assert!(many < few * 20, "{few:?} {many:?}");
    }
}
