//! The guards of imports: the comparison of a new list with the last accepted list of the same
//! source. Does no I/O.

use serde::{Deserialize, Serialize};

use crate::{
    model::{Time, text::counted},
    store::{
        extent::{Extent, Extents},
        schema::{AcceptedList, ListShape},
        stage::{ImportDifference, Mode},
    },
};

/// The shrink guard always accepts the removal of at most this many entries, however short the list
/// is.
const MAX_FREE_LOSS: u64 = 25;
/// The largest loss within [`DAY_HOURS`], in percent; `max_shrink` applies instead if it is larger.
const MAX_DAY_SHRINK: u8 = 80;
/// The hours within which the loss of a day is measured.
const DAY_HOURS: u64 = 24;
/// The growth guard always accepts a list of at most this many entries, however short the last one
/// was.
const MAX_FREE_GROWTH: u64 = 10_000;
/// The growth guard refuses an IPv4 prefix that is wider than this if the source had none so wide.
const WIDEST_NEW4: u8 = 12;
/// The growth guard refuses an IPv6 prefix that is wider than this if the source had none so wide.
const WIDEST_NEW6: u8 = 28;
const SECONDS_PER_HOUR: u64 = 3600;

/// How far a new list may differ from the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListLimits {
    /// The largest loss of entries or of covered addresses, in percent.
    pub max_shrink: u8,
    /// The largest growth of the number of entries, as a factor.
    pub max_growth: u64,
    /// Whether to accept a list that is smaller than `max_shrink` permits.
    pub allow_shrink: bool,
    /// Whether to accept a list that is larger than `max_growth` permits.
    pub allow_growth: bool,
}

impl Default for ListLimits {
    fn default() -> ListLimits {
        ListLimits {
            max_shrink: 50,
            max_growth: 10,
            allow_shrink: false,
            allow_growth: false,
        }
    }
}

/// A list that is compared with the last one.
#[derive(Debug, Clone, Copy)]
pub struct NewList<'a> {
    /// How the list is applied. Its shape is compared only if it replaces the last one.
    pub mode: Mode,
    /// The shape of the list.
    pub shape: &'a ListShape,
    /// The extents of the source before and after the import.
    pub extents: &'a Extents,
}

/// The guard that stopped a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guard {
    /// Too many entries or addresses would be removed.
    Shrink,
    /// Too many entries or addresses would be added.
    Growth,
}

/// A list that a guard stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardTrip {
    /// The guard.
    pub guard: Guard,
    /// The limit that the list exceeds, as a clause for users.
    pub reason: String,
    /// The extents of the source before and after the import.
    pub extents: Extents,
    /// The changes that the import would make, with samples.
    pub difference: ImportDifference,
}

impl GuardTrip {
    /// Describes the trip for users, without advice.
    pub fn describe(&self) -> String {
        let (before, after) = (extent(&self.extents.before), extent(&self.extents.after));
        let mut text = format!(
            "{}: the source lists {before}, and would list {after}; nothing was changed",
            self.reason
        );
        let samples = |verb: &str, count: u64, sample: &[String]| match sample {
            [] => String::new(),
            some => format!("\n{count} would be {verb}, such as {}", some.join(", ")),
        };
        let d = &self.difference;
        text += &match self.guard {
            Guard::Shrink => samples("removed", d.removed, &d.sample_removed),
            Guard::Growth => samples("added", d.added, &d.sample_added),
        };
        text
    }
}

/// Formats an extent for users.
fn extent(e: &Extent) -> String {
    let mut parts = vec![counted(e.entries, "entry")];
    parts.extend((e.ipv4 > 0).then(|| counted(e.ipv4, "IPv4 address")));
    parts.extend((e.ipv6 > 0).then(|| counted(e.ipv6, "IPv6 /64 network")));
    parts.extend((e.names > 0).then(|| counted(e.names, "name")));
    match parts.len() {
        1 => parts.remove(0),
        _ => format!("{} ({})", parts[0], parts[1..].join(", ")),
    }
}

/// Why a list must not replace the last one. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListRefusal {
    /// The list has only exclusions.
    OnlyExclusions,
    /// The list has only names, and the last one had only addresses.
    AddressesToNames,
    /// The list has only addresses, and the last one had only names.
    NamesToAddresses,
    /// The list does not end with a record about itself, as the last one did.
    FinalRecordMissing,
    /// A guard stopped the list.
    Guard(Box<GuardTrip>),
}

impl ListRefusal {
    /// Describes the refusal and the remedy for users; `source` is the name of the source.
    pub fn describe(&self, source: &str) -> String {
        let reset = format!(
            "nothing was changed. If the change is intended, run `orbsd source reset {source}` and import the list again"
        );
        match self {
            ListRefusal::OnlyExclusions => {
                "the list has only exclusions and no listings; nothing was changed. Check that it is the right file".into()
            }
            ListRefusal::AddressesToNames => format!("the list has only names, and the last one had only addresses; {reset}"),
            ListRefusal::NamesToAddresses => format!("the list has only addresses, and the last one had only names; {reset}"),
            ListRefusal::FinalRecordMissing => {
                format!("the list does not end with a final record about itself, as the last one did, and may be truncated; {reset}")
            }
            ListRefusal::Guard(trip) => trip.describe(),
        }
    }
}

/// How a list was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListAcceptance {
    /// The list is within all limits.
    Within,
    /// The list exceeds a limit, and the import permits that.
    Allowed,
}

/// Compares a list with the last accepted one of its source.
///
/// # Errors
///
/// The list must not replace the last one. The difference of a [`GuardTrip`] is still empty.
pub fn check(
    list: &NewList,
    last: Option<&AcceptedList>,
    limits: &ListLimits,
    now: Time,
) -> Result<ListAcceptance, ListRefusal> {
    if list.mode == Mode::Replace {
        check_shape(list, last)?;
    }
    let mut passed = ListAcceptance::Within;
    let shrinks = shrinks(list.extents, last, limits.max_shrink, now);
    let grows = grows(list.extents, limits.max_growth);
    for (guard, reason, allowed) in [
        (Guard::Shrink, shrinks, limits.allow_shrink),
        (Guard::Growth, grows, limits.allow_growth),
    ] {
        let Some(reason) = reason else { continue };
        if !allowed {
            return Err(ListRefusal::Guard(Box::new(GuardTrip {
                guard,
                reason,
                extents: *list.extents,
                difference: ImportDifference::default(),
            })));
        }
        passed = ListAcceptance::Allowed;
    }
    Ok(passed)
}

/// Checks the rules that no option of an import overrides.
fn check_shape(list: &NewList, last: Option<&AcceptedList>) -> Result<(), ListRefusal> {
    let shape = list.shape;
    let (addresses, labels) = (shape.addresses() > 0, shape.labels() > 0);
    if !addresses && !labels && shape.exclusions > 0 {
        return Err(ListRefusal::OnlyExclusions);
    }
    let before = &list.extents.before;
    let had = match last {
        Some(last) => (last.shape.addresses() > 0, last.shape.labels() > 0),
        // The last import was made by a version that did not record shapes.
        None => (before.addresses() > 0, before.names > 0),
    };
    match (had, (addresses, labels)) {
        ((true, false), (false, true)) => return Err(ListRefusal::AddressesToNames),
        ((false, true), (true, false)) => return Err(ListRefusal::NamesToAddresses),
        _ => {}
    }
    if last.is_some_and(|l| l.shape.final_record) && !shape.final_record {
        return Err(ListRefusal::FinalRecordMissing);
    }
    Ok(())
}

/// Whether the loss from `before` to `after` is more than `percent` of `before`.
fn falls_by_more(before: u64, after: u64, percent: u8) -> bool {
    let loss = u128::from(before.saturating_sub(after));
    loss * 100 > u128::from(before) * u128::from(percent)
}

/// Describes the count that falls too far, if there is one.
fn shrinks(
    extents: &Extents,
    last: Option<&AcceptedList>,
    max_shrink: u8,
    now: Time,
) -> Option<String> {
    let Extents { before, after, .. } = *extents;
    let hour = now.0 / SECONDS_PER_HOUR;
    let peaks = last.map_or(&[][..], |l| &l.peaks);
    let peak = peaks
        .iter()
        .filter(|(h, _)| h + DAY_HOURS > hour)
        .fold(before, |all, (_, e)| all.max(*e));
    let day_shrink = MAX_DAY_SHRINK.max(max_shrink);
    // Each count, and the number of removed entries of that kind.
    type Count = fn(&Extent) -> u64;
    let counts: [(&str, Count, u64); 3] = [
        ("entries", |e| e.entries, extents.gone()),
        ("covered IPv4 addresses", |e| e.ipv4, extents.gone4),
        ("covered IPv6 networks", |e| e.ipv6, extents.gone6),
    ];
    for (what, count, gone) in counts {
        let (was, is, most) = (count(&before), count(&after), count(&peak));
        if gone > MAX_FREE_LOSS && falls_by_more(was, is, max_shrink) {
            return Some(format!(
                "the {what} fall by more than {max_shrink} %, from {was} to {is}"
            ));
        }
        let lost = peak.entries.saturating_sub(after.entries).max(gone);
        if is < was && lost > MAX_FREE_LOSS && falls_by_more(most, is, day_shrink) {
            return Some(format!(
                "the {what} fall by more than {day_shrink} % within {DAY_HOURS} hours, from {most} to {is}"
            ));
        }
    }
    None
}

/// Describes the count that grows too far, if there is one. The first list of a source is not
/// limited.
fn grows(extents: &Extents, max_growth: u64) -> Option<String> {
    let Extents { before, after, .. } = extents;
    if before.entries == 0 {
        return None;
    }
    if after.entries > MAX_FREE_GROWTH && after.entries > before.entries.saturating_mul(max_growth)
    {
        let (was, is) = (before.entries, after.entries);
        return Some(format!(
            "the entries grow to more than {max_growth} times their number, from {was} to {is}"
        ));
    }
    for (was, is, widest, family) in [
        (before.widest4, after.widest4, WIDEST_NEW4, "IPv4"),
        (before.widest6, after.widest6, WIDEST_NEW6, "IPv6"),
    ] {
        let wider = |len: Option<u8>| len.is_some_and(|l| l < widest);
        if wider(is) && !wider(was) {
            let is = is.unwrap_or_default();
            return Some(format!(
                "an {family} prefix of /{is} would be added, and the source had none wider than /{widest}"
            ));
        }
    }
    None
}

/// The properties of an accepted list that are stored for the comparison with the next one.
pub fn accepted(
    list: &NewList,
    last: Option<AcceptedList>,
    passed: ListAcceptance,
    now: Time,
) -> AcceptedList {
    let mut out = last.unwrap_or_default();
    let listed = list.shape.addresses() > 0 || list.shape.labels() > 0;
    if list.mode == Mode::Replace && listed {
        out.shape = *list.shape;
    }
    let hour = now.0 / SECONDS_PER_HOUR;
    let Extents { before, after, .. } = *list.extents;
    // The next list is not compared with peaks before a change that was permitted.
    let newest = match passed {
        ListAcceptance::Within => before.max(after),
        ListAcceptance::Allowed => {
            out.peaks.clear();
            after
        }
    };
    out.peaks
        .retain(|(h, _)| h + DAY_HOURS > hour && *h <= hour);
    match out.peaks.last_mut().filter(|(h, _)| *h == hour) {
        Some((_, peak)) => *peak = peak.max(newest),
        None => out.peaks.push((hour, newest)),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000);

    fn hosts(n: u64) -> Extent {
        Extent {
            entries: n,
            ipv4: n,
            widest4: (n > 0).then_some(32),
            ..Extent::default()
        }
    }

    fn shape(addresses: u64, names: u64) -> ListShape {
        ListShape {
            ipv4: addresses,
            names,
            ..ListShape::default()
        }
    }

    fn extents(before: Extent, after: Extent, gone4: u64) -> Extents {
        Extents {
            before,
            after,
            gone4,
            gone6: 0,
            gone_names: 0,
        }
    }

    fn compare(
        before: Extent,
        after: Extent,
        gone: u64,
        last: Option<&AcceptedList>,
        limits: &ListLimits,
    ) -> Result<ListAcceptance, ListRefusal> {
        let (shape, extents) = (shape(after.entries, 0), extents(before, after, gone));
        check(
            &NewList {
                mode: Mode::Replace,
                shape: &shape,
                extents: &extents,
            },
            last,
            limits,
            NOW,
        )
    }

    fn guard(result: Result<ListAcceptance, ListRefusal>) -> Option<Guard> {
        match result {
            Err(ListRefusal::Guard(trip)) => Some(trip.guard),
            _ => None,
        }
    }

    #[test]
    fn list_may_shrink_by_half_or_by_25_entries() {
        let limits = ListLimits::default();
        for (before, after, trips) in [
            (100, 50, false),
            (100, 49, true),
            (26, 0, true),
            (25, 0, false),
            (51, 26, false),
            (51, 25, true),
            (1_000_000, 499_999, true),
            (0, 0, false),
        ] {
            let result = compare(hosts(before), hosts(after), before - after, None, &limits);
            assert_eq!(
                guard(result),
                trips.then_some(Guard::Shrink),
                "{before} to {after}"
            );
        }
        let allowed = ListLimits {
            allow_shrink: true,
            ..limits
        };
        assert_eq!(
            compare(hosts(100), hosts(1), 99, None, &allowed),
            Ok(ListAcceptance::Allowed)
        );
        let most = ListLimits {
            max_shrink: 90,
            ..limits
        };
        assert_eq!(
            compare(hosts(100), hosts(10), 90, None, &most),
            Ok(ListAcceptance::Within)
        );
        assert_eq!(
            guard(compare(hosts(100), hosts(9), 91, None, &most)),
            Some(Guard::Shrink)
        );
        let off = ListLimits {
            max_shrink: 100,
            ..limits
        };
        assert_eq!(
            compare(hosts(100), hosts(1), 99, None, &off),
            Ok(ListAcceptance::Within)
        );
    }

    #[test]
    fn shrink_guard_also_counts_covered_addresses() {
        let limits = ListLimits::default();
        let nets = Extent {
            entries: 30,
            ipv4: 30 << 16,
            widest4: Some(16),
            ..Extent::default()
        };
        let result = compare(nets, hosts(30), 30, None, &limits);
        assert!(
            matches!(&result, Err(ListRefusal::Guard(t)) if t.reason.contains("covered IPv4")),
            "{result:?}"
        );
        assert_eq!(
            compare(nets, hosts(30), 25, None, &limits),
            Ok(ListAcceptance::Within),
            "few entries are removed"
        );
        let nets = Extent {
            entries: 60,
            ipv6: 60 << 16,
            ipv4: 0,
            widest6: Some(48),
            ..Extent::default()
        };
        let fewer = Extent { ipv6: 60, ..nets };
        let gone6 = Extents {
            before: nets,
            after: fewer,
            gone6: 60,
            ..Extents::default()
        };
        let list = NewList {
            mode: Mode::Replace,
            shape: &shape(60, 0),
            extents: &gone6,
        };
        assert!(
            matches!(check(&list, None, &limits, NOW), Err(ListRefusal::Guard(t)) if t.reason.contains("IPv6"))
        );
    }

    /// Removed entries of another family do not count.
    #[test]
    fn covered_addresses_of_a_family_shrink_only_by_its_own_entries() {
        let both = Extent {
            entries: 1003,
            ipv4: 1000,
            ipv6: 3,
            ..Extent::default()
        };
        let one = Extent {
            entries: 1000,
            ipv4: 1000,
            ..Extent::default()
        };
        let extents = Extents {
            before: both,
            after: one,
            gone4: 30,
            gone6: 3,
            gone_names: 0,
        };
        let list = NewList {
            mode: Mode::Replace,
            shape: &shape(1000, 0),
            extents: &extents,
        };
        assert_eq!(
            check(&list, None, &ListLimits::default(), NOW),
            Ok(ListAcceptance::Within)
        );
    }

    /// Without this rule a list that halves every few hours would be empty within a day.
    #[test]
    fn list_does_not_shrink_by_80_percent_within_a_day() {
        let limits = ListLimits::default();
        let mut last = None;
        let mut is = hosts(1000);
        let step = |last: Option<AcceptedList>, is: Extent, to: u64, at: Time| {
            let (shape, extents) = (
                shape(to, 0),
                extents(is, hosts(to), is.entries.saturating_sub(to)),
            );
            let list = NewList {
                mode: Mode::Replace,
                shape: &shape,
                extents: &extents,
            };
            let passed = check(&list, last.as_ref(), &limits, at)?;
            Ok::<_, ListRefusal>(accepted(&list, last, passed, at))
        };
        let hours = |n: u64| Time(NOW.0 + n * 3600);
        for (to, at) in [(600, 0), (350, 5), (210, 10)] {
            last = Some(step(last, is, to, hours(at)).unwrap());
            is = hosts(to);
        }
        let refused = step(last.clone(), is, 150, hours(20));
        assert!(
            matches!(&refused, Err(ListRefusal::Guard(t)) if t.reason.contains("24 hours, from 1000 to 150")),
            "{refused:?}"
        );
        assert!(
            step(last.clone(), is, 210, hours(20)).is_ok(),
            "an unchanged list does not shrink"
        );
        assert!(
            step(last.clone(), is, 150, hours(24)).is_ok(),
            "a day later the peak is lower"
        );
        // After a permitted loss the next list is compared with the smaller one.
        let (shape, cut) = (shape(10, 0), extents(is, hosts(10), 200));
        let list = NewList {
            mode: Mode::Replace,
            shape: &shape,
            extents: &cut,
        };
        let passed = check(
            &list,
            last.as_ref(),
            &ListLimits {
                allow_shrink: true,
                ..limits
            },
            hours(20),
        )
        .unwrap();
        assert_eq!(passed, ListAcceptance::Allowed);
        let kept = accepted(&list, last, passed, hours(20));
        assert_eq!(kept.peaks.len(), 1);
        assert!(step(Some(kept), hosts(10), 9, hours(21)).is_ok());
    }

    #[test]
    fn stored_peaks_are_at_most_one_for_each_hour_of_a_day() {
        let mut last = None;
        for minute in 0..3000u64 {
            let extents = extents(hosts(100), hosts(100), 0);
            let shape = shape(100, 0);
            let list = NewList {
                mode: Mode::Replace,
                shape: &shape,
                extents: &extents,
            };
            last = Some(accepted(
                &list,
                last,
                ListAcceptance::Within,
                Time(NOW.0 + minute * 60),
            ));
        }
        assert!(last.unwrap().peaks.len() <= 24);
    }

    #[test]
    fn list_may_grow_tenfold_or_to_10000_entries() {
        let limits = ListLimits::default();
        for (before, after, trips) in [
            (100, 10_000, false),
            (100, 10_001, true),
            (2000, 20_000, false),
            (2000, 20_001, true),
            (0, 1_000_000, false),
        ] {
            let result = compare(hosts(before), hosts(after), 0, None, &limits);
            assert_eq!(
                guard(result),
                trips.then_some(Guard::Growth),
                "{before} to {after}"
            );
        }
        let allowed = ListLimits {
            allow_growth: true,
            ..limits
        };
        assert_eq!(
            compare(hosts(100), hosts(20_000), 0, None, &allowed),
            Ok(ListAcceptance::Allowed)
        );
    }

    #[test]
    fn first_very_wide_prefix_of_a_source_trips_the_growth_guard() {
        let with = |widest4, widest6| Extent {
            entries: 10,
            ipv4: 10,
            widest4,
            widest6,
            ..Extent::default()
        };
        for (before, after, trips) in [
            (with(Some(24), None), with(Some(11), None), true),
            (with(Some(24), None), with(Some(12), None), false),
            (with(Some(10), None), with(Some(9), None), false),
            (with(Some(24), None), with(Some(24), Some(27)), true),
            (with(Some(24), None), with(Some(24), Some(28)), false),
            (hosts(0), with(Some(8), None), false),
        ] {
            let result = compare(before, after, 0, None, &ListLimits::default());
            assert_eq!(guard(result), trips.then_some(Guard::Growth), "{after:?}");
        }
    }

    #[test]
    fn change_between_addresses_and_names_is_refused() {
        let allowed = ListLimits {
            allow_shrink: true,
            allow_growth: true,
            ..ListLimits::default()
        };
        let last = |addresses, names| {
            Some(AcceptedList {
                shape: shape(addresses, names),
                peaks: vec![],
            })
        };
        let names = |n| Extent {
            entries: n,
            names: n,
            ..Extent::default()
        };
        let run = |last: Option<AcceptedList>, before, list: ListShape, mode| {
            let extents = extents(before, hosts(0), 0);
            check(
                &NewList {
                    mode,
                    shape: &list,
                    extents: &extents,
                },
                last.as_ref(),
                &allowed,
                NOW,
            )
        };
        let replace = Mode::Replace;
        assert_eq!(
            run(last(40, 0), hosts(40), shape(0, 3), replace),
            Err(ListRefusal::AddressesToNames)
        );
        assert_eq!(
            run(last(0, 40), names(40), shape(3, 0), replace),
            Err(ListRefusal::NamesToAddresses)
        );
        assert_eq!(
            run(None, hosts(40), shape(0, 3), replace),
            Err(ListRefusal::AddressesToNames),
            "no shape was recorded"
        );
        assert!(run(last(40, 0), hosts(40), shape(3, 3), replace).is_ok());
        assert!(run(last(40, 1), hosts(40), shape(0, 3), replace).is_ok());
        assert!(run(last(40, 0), hosts(40), shape(0, 3), Mode::Add).is_ok());
        assert!(
            run(last(0, 0), hosts(40), shape(0, 3), replace).is_ok(),
            "after a reset"
        );
        let only = ListShape {
            exclusions: 2,
            ..ListShape::default()
        };
        assert_eq!(
            run(last(0, 0), hosts(0), only, replace),
            Err(ListRefusal::OnlyExclusions)
        );
        // An empty list does not change the shape.
        let empty = accepted(
            &NewList {
                mode: replace,
                shape: &shape(0, 0),
                extents: &Extents::default(),
            },
            last(40, 0),
            ListAcceptance::Within,
            NOW,
        );
        assert_eq!(
            run(Some(empty), hosts(0), shape(0, 3), replace),
            Err(ListRefusal::AddressesToNames)
        );
    }

    #[test]
    fn final_record_is_required_if_the_last_list_had_one() {
        let ended = ListShape {
            final_record: true,
            ..shape(4, 0)
        };
        let last = AcceptedList {
            shape: ended,
            peaks: vec![],
        };
        let extents = extents(hosts(4), hosts(4), 0);
        let run = |shape: &ListShape, last: &AcceptedList| {
            check(
                &NewList {
                    mode: Mode::Replace,
                    shape,
                    extents: &extents,
                },
                Some(last),
                &ListLimits::default(),
                NOW,
            )
        };
        assert_eq!(
            run(&shape(4, 0), &last),
            Err(ListRefusal::FinalRecordMissing)
        );
        assert_eq!(run(&ended, &last), Ok(ListAcceptance::Within));
        assert_eq!(
            run(&shape(4, 0), &AcceptedList::default()),
            Ok(ListAcceptance::Within)
        );
        let text = ListRefusal::FinalRecordMissing.describe("drop");
        assert!(
            text.contains("`orbsd source reset drop`") && text.contains("nothing was changed"),
            "{text}"
        );
    }

    #[test]
    fn guard_trip_names_the_numbers_and_samples() {
        let Err(ListRefusal::Guard(mut trip)) =
            compare(hosts(100), hosts(10), 90, None, &ListLimits::default())
        else {
            panic!()
        };
        trip.difference = ImportDifference {
            removed: 90,
            sample_removed: vec!["45.1.1.1".into(), "45.1.1.2".into()],
            ..ImportDifference::default()
        };
        let text = trip.describe();
        for part in [
            "fall by more than 50 %, from 100 to 10",
            "100 entries",
            "10 entries",
            "90 would be removed, such as 45.1.1.1, 45.1.1.2",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
