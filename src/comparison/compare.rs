//! A comparison of two lists: counts, samples, and the entries that only the other list has.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use super::{
    entries::{EntrySet, name_subject},
    figures::{ComparisonCounts, ComparisonFigures},
    names::compare_names,
    presence::{Owner, Presence},
    samples::{SampleGroup, Sampler},
    spans::compare_spans,
    tested::{TestedHost, TestedHosts, TestedState},
};
use crate::model::Subject;

/// Where the lines of a comparison are written to: one entry a line.
pub struct ComparisonLines<'w> {
    /// Gets the entries that only the other list has.
    pub only_theirs: &'w mut dyn Write,
    /// Gets those that tests found closed.
    pub closed: &'w mut dyn Write,
    /// Gets those that our own tests found closed.
    pub closed_by_us: &'w mut dyn Write,
}

/// The result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComparedLists {
    /// The figures.
    pub figures: ComparisonFigures,
    /// Samples of the entries that only the other list has, by network.
    pub samples: Vec<SampleGroup>,
    /// Entries that only the other list has and that our own tests found closed.
    pub closed_by_us: u64,
}

/// Counts the entries of a kind.
struct Counter<'c, 'w> {
    counts: ComparisonCounts,
    sampler: &'c mut Sampler,
    closed_by_us: &'c mut u64,
    tested: &'c TestedHosts,
    lines: &'c mut ComparisonLines<'w>,
}

impl Counter<'_, '_> {
    /// Counts an entry. Its subject is made only if it is shown.
    fn add(
        &mut self,
        owner: Owner,
        presence: Presence,
        subject: impl FnOnce() -> Subject,
    ) -> io::Result<()> {
        let counts = &mut self.counts;
        match (owner, presence) {
            (Owner::Ours, Presence::Whole) => counts.ours += 1,
            (Owner::Ours, _) => {
                counts.ours += 1;
                counts.only_ours += 1;
            }
            (Owner::Theirs, Presence::Whole) => {
                counts.theirs += 1;
                counts.both += 1;
            }
            (Owner::Theirs, presence) => {
                counts.theirs += 1;
                counts.only_theirs += 1;
                counts.partly_ours += u64::from(presence == Presence::Part);
                self.add_only_theirs(&subject())?;
            }
        }
        Ok(())
    }

    fn add_only_theirs(&mut self, subject: &Subject) -> io::Result<()> {
        self.sampler.add(subject);
        writeln!(self.lines.only_theirs, "{subject}")?;
        // A test is one of a host, and says nothing about a prefix or a name.
        let host = host(subject).and_then(|address| self.tested.get(address));
        match host {
            None => self.counts.untested += 1,
            Some(TestedHost {
                state: TestedState::Open,
                ..
            }) => self.counts.tested_open += 1,
            Some(TestedHost { is_own, .. }) => {
                self.counts.tested_closed += 1;
                writeln!(self.lines.closed, "{subject}")?;
                if is_own {
                    *self.closed_by_us += 1;
                    writeln!(self.lines.closed_by_us, "{subject}")?;
                }
            }
        }
        Ok(())
    }
}

/// The address of a subject that is a single one.
fn host(subject: &Subject) -> Option<IpAddr> {
    match subject {
        Subject::V4(p) if p.is_host() => Some(IpAddr::V4(p.first().into())),
        Subject::V6(p) if p.is_host() => Some(IpAddr::V6(p.first().into())),
        _ => None,
    }
}

/// Compares two lists. An entry is in a list as a whole if the list has all of its addresses or
/// names, by whichever entries.
///
/// # Errors
///
/// A line cannot be written.
pub fn compare(
    theirs: &EntrySet,
    ours: &EntrySet,
    tested: &TestedHosts,
    lines: &mut ComparisonLines<'_>,
) -> io::Result<ComparedLists> {
    let (mut out, mut sampler) = (ComparedLists::default(), Sampler::default());
    let mut counter = Counter {
        counts: ComparisonCounts::default(),
        sampler: &mut sampler,
        closed_by_us: &mut out.closed_by_us,
        tested,
        lines,
    };
    out.figures.ipv4_addresses =
        compare_spans(theirs.ip4(), ours.ip4(), &mut |owner, span, presence| {
            counter.add(owner, presence, || span.ip4())
        })?;
    out.figures.ipv4 = std::mem::take(&mut counter.counts);
    out.figures.ipv6_addresses =
        compare_spans(theirs.ip6(), ours.ip6(), &mut |owner, span, presence| {
            counter.add(owner, presence, || span.ip6())
        })?;
    out.figures.ipv6 = std::mem::take(&mut counter.counts);
    compare_names(
        theirs.names(),
        ours.names(),
        &mut |owner, (labels, scope), presence| {
            counter.add(owner, presence, || name_subject(labels, scope))
        },
    )?;
    out.figures.names = counter.counts;
    out.samples = sampler.finish();
    Ok(out)
}
