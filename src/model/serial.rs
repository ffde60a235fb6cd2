//! Serial: the SOA serial, its arithmetic (RFC 1982), and how it may jump.

use std::cmp::Ordering;

use super::Time;

/// A zone's SOA serial. Ordered by RFC 1982: two serials exactly 2³¹ apart have no order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
pub struct Serial(pub u32);

impl Serial {
    /// Half of the number space; the largest step that RFC 1982 section 3.1 allows is one less.
    pub const HALF: u32 = 1 << 31;
    /// The largest jump that is taken without being told: it leaves room for a second one.
    pub const MAX_STEP: u32 = 1 << 30;
    /// The smallest jump past serials that may have been handed out since they were last recorded.
    pub const MIN_STEP: u32 = 1 << 20;

    /// The serial after this one; wraps at 2³².
    #[must_use]
    pub fn next(self) -> Serial {
        Serial(self.0.wrapping_add(1))
    }

    /// Adds `n`, at most 2³¹ − 1 (RFC 1982 section 3.1); a larger `n` counts as that.
    #[must_use]
    pub fn advance(self, n: u32) -> Serial {
        Serial(self.0.wrapping_add(n.min(Self::HALF - 1)))
    }

    /// The newer of two; `self` where they have no order.
    #[must_use]
    pub fn max(self, other: Serial) -> Serial {
        if self.partial_cmp(&other) == Some(Ordering::Less) {
            other
        } else {
            self
        }
    }
}

impl PartialOrd for Serial {
    fn partial_cmp(&self, other: &Serial) -> Option<Ordering> {
        match other.0.wrapping_sub(self.0) {
            0 => Some(Ordering::Equal),
            Serial::HALF => None,
            d if d < Serial::HALF => Some(Ordering::Less),
            _ => Some(Ordering::Greater),
        }
    }
}

impl std::fmt::Display for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How far a zone may have come in so many seconds: [`Serial::MIN_STEP`] and 10,000 serials a
/// second, at most [`Serial::MAX_STEP`].
///
/// The step grows with the age of a copy, so that two restores of one copy do not give the same
/// serials: above three quarters of the most it still grows, by 100 serials a second at first and
/// by one after ten months.
pub fn restore_step(seconds: u64) -> u32 {
    const RATE: u64 = 10_000;
    /// Where the step grows slower, in serials.
    const KNEE: u64 = Serial::MAX_STEP as u64 / 4 * 3;
    /// When half of what is left above the knee is used, in seconds after it.
    const HALF_LIFE: u64 = 30 * 86_400;
    /// An age above this one counts as this one, in seconds.
    const MAX_AGE: u64 = 1 << 34;
    let seconds = seconds.min(MAX_AGE);
    let linear = u64::from(Serial::MIN_STEP) + seconds * RATE;
    if linear <= KNEE {
        return linear as u32;
    }
    let later = seconds - (KNEE - u64::from(Serial::MIN_STEP)) / RATE;
    (KNEE + (u64::from(Serial::MAX_STEP) - KNEE) * later / (later + HALF_LIFE)) as u32
}

/// A mirror, and the serial that it was last seen to have.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SeenMirror {
    /// Its address; with a port where it is configured.
    pub address: String,
    /// The TSIG key that it is known by.
    pub key: Option<String>,
    /// The serial that it has.
    pub serial: Serial,
    /// When it was seen last.
    pub seen: Time,
}

/// How a serial is to move where it does not move by one with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// To this serial, which a person or a zone file names.
    To(Serial),
    /// Past every known serial, by this many, or by fewer where mirrors could not order that.
    Past(u32),
}

/// The serial that a jump comes to, and for whom it is newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jumped {
    /// The serial.
    pub serial: Serial,
    /// Whether it is newer than all that the zone itself is known to have had.
    pub newer: bool,
    /// The places in `seen` of the mirrors for which it is not newer: they would keep what they
    /// have.
    pub not_newer_for: Vec<usize>,
}

impl Jumped {}

/// Decides every jump of a serial. `own` are serials that the zone itself is known to have had,
/// `seen` those that mirrors were seen to have.
///
/// [`Jump::Past`] finds a serial that is newer for all of them by RFC 1982 wherever there is one,
/// and never takes more than half of what the mirror that is furthest behind can still order, so
/// that further jumps are possible.
pub fn jump(own: &[Serial], jump: Jump, seen: &[Serial]) -> Jumped {
    let serial = match jump {
        Jump::To(serial) => serial,
        Jump::Past(step) => past(own, step, seen),
    };
    let older = |s: &Serial| *s < serial;
    let not_newer_for = (0..seen.len()).filter(|i| !older(&seen[*i])).collect();
    Jumped {
        serial,
        newer: own.iter().all(older),
        not_newer_for,
    }
}

fn past(own: &[Serial], step: u32, seen: &[Serial]) -> Serial {
    let known = || own.iter().chain(seen);
    let newest = known().find(|n| known().all(|k| k <= n));
    let Some(newest) = newest else {
        // They are too far apart for any serial to be newer than all: the zone's own count.
        return own
            .iter()
            .copied()
            .reduce(Serial::max)
            .unwrap_or_default()
            .advance(step.max(1));
    };
    let behind = known()
        .map(|k| newest.0.wrapping_sub(k.0))
        .max()
        .unwrap_or_default();
    let room = Serial::HALF - 1 - behind;
    newest.advance(step.min(room.div_ceil(2)).max(1))
}

/// The commands that let a mirror take a zone whatever its serial: software and command.
pub fn forced_transfers(zone: &str) -> [(&'static str, String); 4] {
    [
        ("NSD", format!("nsd-control force_transfer {zone}")),
        ("Knot", format!("knotc zone-retransfer {zone}")),
        ("BIND", format!("rndc retransfer {zone}")),
        ("PowerDNS", format!("pdns_control retrieve {zone}")),
    ]
}

/// Names the mirrors that keep what they have because a zone's serial is not newer for them, and
/// what to do there.
pub fn left_behind(zone: &str, serial: Serial, mirrors: &[SeenMirror]) -> String {
    let one = |m: &SeenMirror| {
        let key = m
            .key
            .as_ref()
            .map_or(String::new(), |k| format!(" (key {k})"));
        format!("{}{key} has {}", m.address, m.serial)
    };
    let named: Vec<String> = mirrors.iter().map(one).collect();
    let commands: Vec<String> = forced_transfers(zone)
        .iter()
        .map(|(software, c)| format!("`{c}` on {software}"))
        .collect();
    format!(
        "zone {zone}: serial {serial} is not newer (RFC 1982) for: {}; each keeps its old zone until a transfer is forced there: {}",
        named.join(", "),
        commands.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Jumped {
        /// Whether nobody is left behind.
        pub fn is_accepted(&self) -> bool {
            self.newer && self.not_newer_for.is_empty()
        }
    }

    #[test]
    fn rfc1982_examples_hold_at_the_wrap() {
        assert!(Serial(u32::MAX) < Serial(0));
        assert!(Serial(0) < Serial(1));
        assert!(Serial(0) < Serial(Serial::HALF - 1));
        assert_eq!(Serial(0).partial_cmp(&Serial(Serial::HALF)), None);
        assert_eq!(Serial(u32::MAX).next(), Serial(0));
    }

    proptest! {
        #[test]
        fn a_sum_is_greater(s: u32, n in 1..Serial::HALF) {
            prop_assert!(Serial(s).advance(n) > Serial(s));
            prop_assert!(Serial(s) < Serial(s).advance(n));
            prop_assert_eq!(Serial(s).max(Serial(s).advance(n)), Serial(s).advance(n));
        }

        #[test]
        fn order_is_antisymmetric(a: u32, b: u32) {
            let there = Serial(a).partial_cmp(&Serial(b));
            prop_assert_eq!(there.map(Ordering::reverse), Serial(b).partial_cmp(&Serial(a)));
        }
    }

    #[test]
    fn a_restore_counts_ten_thousand_serials_a_second_within_its_limits() {
        let least = Serial::MIN_STEP;
        assert_eq!(
            [0, 104, 3600, 80_000].map(restore_step),
            [
                least,
                least + 1_040_000,
                least + 36_000_000,
                least + 800_000_000
            ]
        );
        for age in [0, 105, 80_400, 86_400, 1 << 20, 1 << 30, u64::MAX] {
            let bound = age
                .saturating_mul(10_000)
                .clamp(Serial::MIN_STEP.into(), (Serial::MAX_STEP / 4 * 3).into());
            assert!(
                (bound..=Serial::MAX_STEP.into()).contains(&restore_step(age).into()),
                "{age}"
            );
        }
    }

    #[test]
    fn a_later_restore_of_the_same_copy_gives_a_newer_serial() {
        const DAY: u64 = 86_400;
        for age in [
            0,
            50,
            104,
            3600,
            80_421,
            80_422,
            107_374,
            2 * DAY,
            30 * DAY,
            300 * DAY,
        ] {
            assert!(restore_step(age + 1) > restore_step(age), "{age} seconds");
        }
        assert!(restore_step(31 * DAY) - restore_step(30 * DAY) > 1_000_000);
    }

    #[test]
    fn restoring_twice_in_a_row_moves_forward_for_the_mirror_that_followed_the_first() {
        let first = jump(&[Serial(2)], Jump::Past(Serial::MIN_STEP), &[Serial(2)]);
        let followed = first.serial.advance(17);
        let second = jump(&[Serial(2)], Jump::Past(Serial::MIN_STEP), &[followed]);
        assert!(first.is_accepted() && second.is_accepted());
        assert!(
            second.serial > followed && second.serial > Serial(2),
            "{second:?}"
        );
    }

    #[test]
    fn a_serial_that_is_named_is_not_newer_for_those_that_are_ahead_or_half_way_round() {
        let seen = [
            Serial(5),
            Serial(6),
            Serial(7),
            Serial(6 + Serial::HALF),
            Serial(7 + Serial::HALF),
        ];
        let found = jump(&[Serial(5)], Jump::To(Serial(6)), &seen);
        assert_eq!((found.newer, found.not_newer_for), (true, vec![1, 2, 3]));
        assert!(!jump(&[Serial(6)], Jump::To(Serial(6)), &[]).newer);
        let text = left_behind(
            "bl.example",
            Serial(6),
            &[SeenMirror {
                address: "192.0.2.1:53".into(),
                key: Some("k".into()),
                serial: Serial(7),
                seen: Time(0),
            }],
        );
        for part in [
            "192.0.2.1:53 (key k) has 7",
            "force_transfer bl",
            "zone-retransfer bl",
            "rndc retransfer bl",
            "pdns_control retrieve bl",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    /// What happens to a zone and its mirrors.
    #[derive(Debug, Clone)]
    enum Event {
        Commits(u32),
        /// A mirror looks, and follows where our serial is newer for it.
        Follow(usize),
        Backup,
        /// The store is put back to the last copy; whether the log says what was handed out.
        Restore {
            seconds: u32,
            logged: bool,
        },
        /// Commits are lost, and the image says so.
        Lost,
        /// The zone was away, and comes back.
        Back,
        Named(u32),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (1u32..50_000_000).prop_map(Event::Commits),
            (0usize..4).prop_map(Event::Follow),
            Just(Event::Backup),
            (any::<u32>(), any::<bool>()).prop_map(|(seconds, logged)| Event::Restore {
                seconds: seconds % 200_000,
                logged
            }),
            Just(Event::Lost),
            Just(Event::Back),
            any::<u32>().prop_map(Event::Named),
        ]
    }

    proptest! {
        #[test]
        fn an_accepted_jump_is_newer_for_every_mirror_seen(
            start: u32,
            events in proptest::collection::vec(event(), 1..60),
        ) {
            let (mut zone, mut copy, mut mirrors) = (Serial(start), Serial(start), [Serial(start); 4]);
            for e in events {
                let (own, how) = match e {
                    Event::Commits(n) => {
                        zone = zone.advance(n);
                        continue;
                    }
                    Event::Follow(i) => {
                        mirrors[i] = if mirrors[i] < zone { zone } else { mirrors[i] };
                        continue;
                    }
                    Event::Backup => {
                        copy = zone;
                        continue;
                    }
                    Event::Restore { logged: true, .. } => (vec![copy, zone], Jump::Past(1)),
                    Event::Restore { seconds, logged: false } => (vec![copy], Jump::Past(restore_step(seconds.into()))),
                    Event::Lost => (vec![copy], Jump::Past(Serial::MAX_STEP)),
                    Event::Back => (vec![zone], Jump::Past(1)),
                    Event::Named(n) => (vec![zone], Jump::To(Serial(n))),
                };
                let found = jump(&own, how, &mirrors);
                if !found.is_accepted() {
                    continue;
                }
                for m in mirrors {
                    let ahead = found.serial.0.wrapping_sub(m.0);
                    prop_assert!((1..1 << 31).contains(&ahead), "{found:?} after {m}, {how:?}");
                }
                prop_assert!(own.iter().all(|o| *o < found.serial));
                zone = found.serial;
            }
        }

        #[test]
        fn a_jump_past_all_is_refused_only_where_no_serial_is_newer_for_all(
            base: u32,
            spread in proptest::collection::vec(any::<u32>(), 1..6),
            step in 1u32..=Serial::MAX_STEP,
        ) {
            let known: Vec<Serial> = spread.iter().map(|d| Serial(base.wrapping_add(*d))).collect();
            let found = jump(&known[..1], Jump::Past(step), &known[1..]);
            // Some serial suits all exactly if one next to a known one does.
            let suits = |s: Serial| known.iter().all(|k| *k < s);
            prop_assert_eq!(found.is_accepted(), known.iter().any(|k| suits(k.next())));
        }
    }
}
