//! Properties of random sequences of edits, decisions of operators, and removals by owners.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::Hold;

/// The subjects of edits: inside and outside the ranges, delegated and not.
const SUBJECTS: [&str; 12] = [
    "127.64.8.0/23",
    "127.64.8.0/24",
    "127.64.8.0/25",
    "127.64.9.0/24",
    "127.64.8.192/28",
    "127.64.10.0/24",
    "127.64.8.9",
    "127.64.9.9",
    "127.64.9.10",
    "127.64.10.9",
    DELEGATED_HOST,
    "127.64.0.0/16",
];
/// The ranges of the two providers. The second lies within the first.
const RANGES: [&str; 2] = ["127.64.8.0/23", "127.64.9.0/24"];
/// What the zone cuts do not prove, though it lies within a range.
const UNPROVED: [&str; 2] = ["127.64.8.192/28", DELEGATED_HOST];

#[derive(Debug, Clone)]
enum Step {
    Edit(usize, EditAction, usize),
    Undo(usize, u64),
    List(usize),
    Delist(usize),
    Hold(usize),
    Exempt(usize),
    OwnName(usize),
    Check(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let action = prop_oneof![
        Just(EditAction::Add),
        Just(EditAction::Remove),
        Just(EditAction::TakeOut),
        Just(EditAction::PutBack),
    ];
    let (who, of) = (0..RANGES.len(), 0..SUBJECTS.len());
    let step = prop_oneof![
        6 => (who.clone(), action, of.clone()).prop_map(|(w, a, s)| Step::Edit(w, a, s)),
        2 => (who.clone(), 1..9u64).prop_map(|(w, n)| Step::Undo(w, n)),
        1 => of.clone().prop_map(Step::List),
        1 => of.clone().prop_map(Step::Delist),
        1 => of.clone().prop_map(Step::Hold),
        1 => of.clone().prop_map(Step::Exempt),
        1 => of.prop_map(Step::OwnName),
        1 => who.prop_map(Step::Check),
    ];
    prop::collection::vec(step, 1..25)
}

/// A part of the verdict on a subject: its entries or its holds.
type Part = (&'static str, bool);
/// The parts that a provider has changed last.
type Authors = BTreeMap<Part, usize>;

fn all(b: &Bench) -> Vec<Verdict> {
    SUBJECTS.iter().map(|s| b.verdict(s)).collect()
}

/// The parts that differ, each with whether something of it is lost.
fn differences(before: &[Verdict], after: &[Verdict]) -> Vec<(Part, bool)> {
    let mut out = Vec::new();
    for ((text, old), new) in SUBJECTS.iter().zip(before).zip(after) {
        if old.entries != new.entries {
            let is_lost = old.entries.iter().any(|e| !new.entries.contains(e));
            out.push(((*text, false), is_lost));
        }
        // A hold that lasts as long as a wider listing ends with it, whatever its author.
        let own = |v: &Verdict| -> Vec<Hold> {
            let holds = v.holds.iter().filter(|h| h.until != Hold::WITH_COVER);
            holds.cloned().collect()
        };
        let (old, new) = (own(old), own(new));
        if old != new {
            let is_lost = old.iter().any(|h| !new.contains(h));
            out.push(((*text, true), is_lost));
        }
    }
    out
}

/// Compares what a provider has changed with what a provider may change.
fn check_edit(
    who: usize,
    before: &[Verdict],
    after: &[Verdict],
    authors: &mut Authors,
) -> Result<(), TestCaseError> {
    for (old, new) in before.iter().zip(after) {
        prop_assert_eq!(&old.exempt, &new.exempt);
    }
    for ((text, is_hold), is_lost) in differences(before, after) {
        let of = subject(text);
        prop_assert!(subject(RANGES[who]).covers(&of), "{text} is outside");
        prop_assert!(!UNPROVED.contains(&text), "{text} is delegated");
        let author = authors.insert((text, is_hold), who);
        prop_assert!(!is_lost || author == Some(who), "{text} is of {author:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn provider_changes_nothing_outside_its_range_and_nothing_of_another_author(all_steps in steps()) {
        let b = Bench::new();
        let providers = RANGES.map(|range| b.proved(range));
        let mut authors = Authors::new();
        for step in all_steps {
            let before = all(&b);
            match step {
                Step::Edit(who, action, of) => {
                    let _ = b.edit(&providers[who], action, SUBJECTS[of]);
                    check_edit(who, &before, &all(&b), &mut authors)?;
                    continue;
                }
                Step::Undo(who, edit) => {
                    let _ = b.undo(&providers[who], edit);
                    check_edit(who, &before, &all(&b), &mut authors)?;
                    continue;
                }
                Step::Check(who) => {
                    b.check(&providers[who]);
                    prop_assert_eq!(before, all(&b), "a look-up renews nothing so early");
                    continue;
                }
                Step::List(of) => b.list(SUBJECTS[of]),
                Step::Delist(of) => b.change(
                    SUBJECTS[of],
                    Command::Delist { reason: None, source: None, hold: HoldFor::Usual },
                ),
                Step::Hold(of) => {
                    let command = Command::Hold { reason: b.reason(), until: None };
                    b.change(SUBJECTS[of], command);
                }
                Step::Exempt(of) => b.change(SUBJECTS[of], Command::Exempt { until: None }),
                Step::OwnName(of) => {
                    let Ok(addr) = SUBJECTS[of].parse() else { continue };
                    if b.is_listed(SUBJECTS[of]) {
                        b.tickets.open(SUBJECTS[of]);
                        let name = Some("mail.shop.example");
                        b.tickets.tickets.name_found(addr, name, b.now()).unwrap();
                    }
                }
            }
            for (part, _) in differences(&before, &all(&b)) {
                authors.remove(&part);
            }
        }
    }
}
