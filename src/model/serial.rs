//! SOA serials, their arithmetic (RFC 1982), and the rules for jumps.

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
    /// The largest automatic jump. It leaves room for a second one.
    pub const MAX_STEP: u32 = 1 << 30;
    /// The smallest jump past serials that may have been published since they were last recorded.
    pub const MIN_STEP: u32 = 1 << 20;

    /// The serial after this one; wraps at 2³².
    #[must_use]
    pub fn next(self) -> Serial {
        Serial(self.0.wrapping_add(1))
    }

    /// Adds `n`, capped at 2³¹ − 1 (RFC 1982 section 3.1).
    #[must_use]
    pub fn advance(self, n: u32) -> Serial {
        Serial(self.0.wrapping_add(n.min(Self::HALF - 1)))
    }

    /// The newer of two serials; `self` if they have no order.
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

/// The jump after the restore of a copy that is `seconds` old: [`Serial::MIN_STEP`] and 10,000
/// serials for each second, at most [`Serial::MAX_STEP`].
///
/// The step always grows with the age of the copy, so that two restores of one copy do not give the
/// same serials. Above three quarters of the maximum it grows more slowly: by 100 serials a second
/// at first, and by one serial a second after ten months.
pub fn restore_step(seconds: u64) -> u32 {
    const RATE: u64 = 10_000;
    /// The step above which it grows more slowly, in serials.
    const KNEE: u64 = Serial::MAX_STEP as u64 / 4 * 3;
    /// The seconds after the knee in which the step covers half of the range above it.
    const HALF_LIFE: u64 = 30 * 86_400;
    /// The largest age, in seconds; a greater age counts as this.
    const MAX_AGE: u64 = 1 << 34;
    let seconds = seconds.min(MAX_AGE);
    let linear = u64::from(Serial::MIN_STEP) + seconds * RATE;
    if linear <= KNEE {
        return linear as u32;
    }
    let later = seconds - (KNEE - u64::from(Serial::MIN_STEP)) / RATE;
    (KNEE + (u64::from(Serial::MAX_STEP) - KNEE) * later / (later + HALF_LIFE)) as u32
}

/// A mirror, and the serial that it had when it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MirrorSerial {
    /// The address; with a port if the mirror is configured.
    pub address: String,
    /// The TSIG key that the mirror signs with.
    pub key: Option<String>,
    /// The serial that the mirror has.
    pub serial: Serial,
    /// The time at which the mirror was last seen.
    pub seen: Time,
}

/// A move of a serial other than the increment by one at a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// To this serial, which an operator or a zone file names.
    To(Serial),
    /// Past every known serial by this number, or by less if mirrors could not order the result.
    Past(u32),
}

/// The result of a jump: a serial, and the mirrors for which it is not newer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JumpResult {
    /// The serial.
    pub serial: Serial,
    /// Whether it is newer than all serials that the zone is known to have had.
    pub newer: bool,
    /// The indexes in `seen` of the mirrors for which it is not newer. They would keep their zone.
    pub not_newer_for: Vec<usize>,
}

/// Computes the serial that a jump leads to. `own` are the serials that the zone is known to have
/// had, `seen` those of its mirrors.
///
/// [`Jump::Past`] finds a serial that is newer for all of them (RFC 1982) if there is one. It uses
/// at most half of the distance that the oldest of them can still order, so that further jumps are
/// possible.
pub fn jump(own: &[Serial], jump: Jump, seen: &[Serial]) -> JumpResult {
    let serial = match jump {
        Jump::To(serial) => serial,
        Jump::Past(step) => past(own, step, seen),
    };
    let older = |s: &Serial| *s < serial;
    let not_newer_for = (0..seen.len()).filter(|i| !older(&seen[*i])).collect();
    JumpResult {
        serial,
        newer: own.iter().all(older),
        not_newer_for,
    }
}

fn past(own: &[Serial], step: u32, seen: &[Serial]) -> Serial {
    let known = || own.iter().chain(seen);
    let newest = known().find(|n| known().all(|k| k <= n));
    let Some(newest) = newest else {
        // The serials are too far apart for one to be newer than all: follow the zone's own.
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

/// The commands that make a mirror transfer a zone whatever its serial: pairs of software and
/// command.
pub fn forced_transfers(zone: &str) -> [(&'static str, String); 4] {
    [
        ("NSD", format!("nsd-control force_transfer {zone}")),
        ("Knot", format!("knotc zone-retransfer {zone}")),
        ("BIND", format!("rndc retransfer {zone}")),
        ("PowerDNS", format!("pdns_control retrieve {zone}")),
    ]
}

/// A message that names the mirrors for which a zone's serial is not newer, and the commands that
/// force a transfer there.
pub fn left_behind(zone: &str, serial: Serial, mirrors: &[MirrorSerial]) -> String {
    let one = |m: &MirrorSerial| {
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
        "zone {zone}: serial {serial} is not newer (RFC 1982) for: {}; each keeps its old zone until you force a transfer there: {}",
        named.join(", "),
        commands.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl JumpResult {
        /// Whether no mirror is left behind.
        pub fn is_accepted(&self) -> bool {
            self.newer && self.not_newer_for.is_empty()
        }
    }

    #[test]
    fn serials_are_ordered_across_the_wrap() {
        assert!(Serial(u32::MAX) < Serial(0));
        assert!(Serial(0) < Serial(1));
        assert!(Serial(0) < Serial(Serial::HALF - 1));
        assert_eq!(Serial(0).partial_cmp(&Serial(Serial::HALF)), None);
        assert_eq!(Serial(u32::MAX).next(), Serial(0));
    }

    proptest! {
        #[test]
        fn advanced_serial_is_newer(s: u32, n in 1..Serial::HALF) {
            prop_assert!(Serial(s).advance(n) > Serial(s));
            prop_assert!(Serial(s) < Serial(s).advance(n));
            prop_assert_eq!(Serial(s).max(Serial(s).advance(n)), Serial(s).advance(n));
        }

        #[test]
        fn order_is_antisymmetric(a: u32, b: u32) {
            let order = Serial(a).partial_cmp(&Serial(b));
            prop_assert_eq!(order.map(Ordering::reverse), Serial(b).partial_cmp(&Serial(a)));
        }
    }

    #[test]
    fn restore_step_is_ten_thousand_serials_a_second_within_limits() {
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
    fn later_restore_of_the_same_copy_gives_a_newer_serial() {
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
    fn second_restore_is_newer_for_a_mirror_that_followed_the_first() {
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
    fn named_serial_is_not_newer_for_mirrors_ahead_of_it_or_half_the_space_away() {
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
            &[MirrorSerial {
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

    /// An event of a zone and its mirrors.
    #[derive(Debug, Clone)]
    enum Event {
        Commits(u32),
        /// A mirror polls, and transfers the zone if the serial is newer for it.
        Follow(usize),
        Backup,
        /// The last copy is restored; `logged`: the removal log has the published serials.
        Restore {
            seconds: u32,
            logged: bool,
        },
        /// Commits are lost, which the image shows.
        Lost,
        /// The zone was removed from the configuration and returns.
        Returned,
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
            Just(Event::Returned),
            any::<u32>().prop_map(Event::Named),
        ]
    }

    proptest! {
        #[test]
        fn accepted_jump_is_newer_for_every_mirror(
            start: u32,
            events in proptest::collection::vec(event(), 1..60),
        ) {
            let (mut zone, mut copy, mut mirrors) = (Serial(start), Serial(start), [Serial(start); 4]);
            for e in events {
                let (own, requested) = match e {
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
                    Event::Returned => (vec![zone], Jump::Past(1)),
                    Event::Named(n) => (vec![zone], Jump::To(Serial(n))),
                };
                let found = jump(&own, requested, &mirrors);
                if !found.is_accepted() {
                    continue;
                }
                for m in mirrors {
                    let ahead = found.serial.0.wrapping_sub(m.0);
                    prop_assert!((1..1 << 31).contains(&ahead), "{found:?} after {m}, {requested:?}");
                }
                prop_assert!(own.iter().all(|o| *o < found.serial));
                zone = found.serial;
            }
        }

        #[test]
        fn jump_past_all_is_refused_only_if_no_serial_is_newer_for_all(
            base: u32,
            spread in proptest::collection::vec(any::<u32>(), 1..6),
            step in 1u32..=Serial::MAX_STEP,
        ) {
            let known: Vec<Serial> = spread.iter().map(|d| Serial(base.wrapping_add(*d))).collect();
            let found = jump(&known[..1], Jump::Past(step), &known[1..]);
            // A serial newer than all exists exactly if the successor of a known one is.
            let newer_than_all = |s: Serial| known.iter().all(|k| *k < s);
            prop_assert_eq!(found.is_accepted(), known.iter().any(|k| newer_than_all(k.next())));
        }
    }
}
