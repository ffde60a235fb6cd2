//! A comparison of two lists: counts, samples, and the entries that only the other list has.

use std::io::{self, Write};

use super::{
    entries::{Entry, EntrySet},
    figures::{ComparisonCounts, ComparisonFigures},
    names::compare_names,
    presence::{Owner, Presence},
    samples::{SampleGroup, Sampler},
    spans::compare_spans,
    tested::{TestedHost, TestedHosts, TestedState},
};

/// Where the lines of a comparison are written to: one entry a line.
pub struct ComparisonLines<'w> {
    /// Gets the entries of the other list in order: IPv4, IPv6, names. Those that are in the list
    /// twice, or are excluded by the same list, are not repeated.
    pub list: &'w mut dyn Write,
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
    sampler: Sampler,
    closed_by_us: u64,
    tested: &'c TestedHosts,
    only_theirs: &'w mut dyn Write,
    closed: &'w mut dyn Write,
    closed_by_us_lines: &'w mut dyn Write,
    /// The line that is written.
    line: Vec<u8>,
}

impl Counter<'_, '_> {
    fn add(&mut self, owner: Owner, presence: Presence, entry: Entry) -> io::Result<()> {
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
                self.add_only_theirs(entry)?;
            }
        }
        Ok(())
    }

    fn add_only_theirs(&mut self, entry: Entry) -> io::Result<()> {
        self.sampler.add(entry);
        write_line(entry, &mut self.line, self.only_theirs)?;
        // A test is one of a host, and says nothing about a prefix or a name.
        let host = entry.host().and_then(|address| self.tested.get(address));
        match host {
            None => self.counts.untested += 1,
            Some(TestedHost {
                state: TestedState::Open,
                ..
            }) => self.counts.tested_open += 1,
            Some(TestedHost { is_own, .. }) => {
                self.counts.tested_closed += 1;
                self.closed.write_all(&self.line)?;
                if is_own {
                    self.closed_by_us += 1;
                    self.closed_by_us_lines.write_all(&self.line)?;
                }
            }
        }
        Ok(())
    }

    /// Returns what was counted since the last call.
    fn take_counts(&mut self) -> ComparisonCounts {
        std::mem::take(&mut self.counts)
    }
}

/// Writes the line of an entry, and keeps it in `line`.
fn write_line(entry: Entry, line: &mut Vec<u8>, out: &mut dyn Write) -> io::Result<()> {
    line.clear();
    entry.write(line)?;
    line.push(b'\n');
    out.write_all(line)
}

/// Compares two lists. An entry is in a list as a whole if the list has all of its addresses or
/// names, by whichever entries.
///
/// # Errors
///
/// A line cannot be written, or a list cannot be read.
pub fn compare(
    theirs: &EntrySet,
    ours: &EntrySet,
    tested: &TestedHosts,
    lines: ComparisonLines<'_>,
) -> io::Result<ComparedLists> {
    let (list, mut listed_line) = (lines.list, Vec::new());
    let mut write_listed = |entry: Entry| write_line(entry, &mut listed_line, list);
    let mut counter = Counter {
        counts: ComparisonCounts::default(),
        sampler: Sampler::default(),
        closed_by_us: 0,
        tested,
        only_theirs: lines.only_theirs,
        closed: lines.closed,
        closed_by_us_lines: lines.closed_by_us,
        line: Vec::new(),
    };
    let mut figures = ComparisonFigures {
        ipv4_addresses: compare_spans(
            theirs.ip4(),
            ours.ip4(),
            &mut |span| write_listed(Entry::Ip4(span)),
            &mut |owner, span, presence| counter.add(owner, presence, Entry::Ip4(span)),
        )?,
        ..ComparisonFigures::default()
    };
    figures.ipv4 = counter.take_counts();
    figures.ipv6_addresses = compare_spans(
        theirs.ip6(),
        ours.ip6(),
        &mut |span| write_listed(Entry::Ip6(span)),
        &mut |owner, span, presence| counter.add(owner, presence, Entry::Ip6(span)),
    )?;
    figures.ipv6 = counter.take_counts();
    compare_names(
        theirs.names(),
        ours.names(),
        &mut |labels, scope| write_listed(Entry::Name(labels, scope)),
        &mut |owner, (labels, scope), presence| {
            counter.add(owner, presence, Entry::Name(labels, scope))
        },
    )?;
    figures.names = counter.take_counts();
    theirs.check()?;
    ours.check()?;
    Ok(ComparedLists {
        figures,
        samples: counter.sampler.finish(),
        closed_by_us: counter.closed_by_us,
    })
}
