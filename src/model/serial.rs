//! Serial: the SOA serial and its arithmetic (RFC 1982).

use std::cmp::Ordering;

/// A zone's SOA serial. Ordered by RFC 1982: two serials exactly 2³¹ apart have no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Serial(pub u32);

impl Serial {
    /// Half of the number space; the largest step that RFC 1982 section 3.1 allows is one less.
    pub const HALF: u32 = 1 << 31;
    /// What a restore adds, so that every mirror sees a newer serial whatever it held before.
    pub const RESTORE_STEP: u32 = 1 << 30;

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
        if self.partial_cmp(&other) == Some(Ordering::Less) { other } else { self }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
}
