//! IPv4 and IPv6 prefixes as integers, as the index and the store use them.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// The shortest IPv4 prefix that can be listed without an explicit permission.
pub const MIN_LISTED_LEN4: u8 = 8;
/// The shortest IPv6 prefix that can be listed without an explicit permission. Its wildcard has
/// more labels than an IPv4 name below the origin, and so cannot match one.
pub const MIN_LISTED_LEN6: u8 = 19;

macro_rules! prefix {
    ($name:ident, $int:ty, $addr:ty, $bits:literal, $doc:literal) => {
        #[doc = $doc]
        /// Host bits are never set, so that equal prefixes are equal values. Ordered by address,
        /// then the wider prefix first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            addr: $int,
            len: u8,
        }

        impl $name {
            /// The length of a single address.
            pub const BITS: u8 = $bits;

            /// The prefix of `len` bits that contains `addr`. Host bits are cleared; a `len` beyond
            /// [`Self::BITS`] is a single address.
            pub fn new(addr: $int, len: u8) -> Self {
                let len = len.min($bits);
                Self {
                    addr: addr & Self::mask(len),
                    len,
                }
            }

            /// A prefix whose host bits are known to be clear.
            pub const fn network(addr: $int, len: u8) -> Self {
                Self { addr, len }
            }

            /// A single address.
            pub fn host(addr: $int) -> Self {
                Self { addr, len: $bits }
            }

            /// The network bits of a prefix of `len` bits.
            pub fn mask(len: u8) -> $int {
                if len == 0 {
                    0
                } else {
                    <$int>::MAX << ($bits - len)
                }
            }

            /// The first address.
            pub fn first(self) -> $int {
                self.addr
            }

            /// The last address.
            pub fn last(self) -> $int {
                self.addr | !Self::mask(self.len)
            }

            /// The length in bits.
            #[allow(clippy::len_without_is_empty)]
            pub fn len(self) -> u8 {
                self.len
            }

            /// Whether it is a single address.
            pub fn is_host(self) -> bool {
                self.len == $bits
            }

            /// Whether `other` is inside this prefix or equal to it.
            pub fn contains(self, other: Self) -> bool {
                self.len <= other.len && other.addr & Self::mask(self.len) == self.addr
            }

            /// The prefix of `len` bits that contains this one; this one if `len` is not shorter.
            pub fn widen(self, len: u8) -> Self {
                if len < self.len {
                    Self::new(self.addr, len)
                } else {
                    self
                }
            }

            /// The fewest prefixes that make up `first..=last`, in order.
            pub fn cover(first: $int, last: $int) -> impl Iterator<Item = Self> {
                let mut next = (first <= last).then_some(first);
                std::iter::from_fn(move || {
                    let at = next?;
                    let room = last - at;
                    // The widest prefix that starts here and ends within the range.
                    let aligned = at.trailing_zeros().min($bits);
                    let fits = match room.checked_add(1) {
                        Some(n) => n.ilog2(),
                        None => $bits,
                    };
                    let p = Self::new(at, $bits - aligned.min(fits) as u8);
                    next = p.last().checked_add(1).filter(|n| *n <= last);
                    Some(p)
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let a = <$addr>::from(self.addr);
                if self.is_host() {
                    write!(f, "{a}")
                } else {
                    write!(f, "{a}/{}", self.len)
                }
            }
        }
    };
}

prefix!(Prefix4, u32, Ipv4Addr, 32, "An IPv4 address or prefix.");
prefix!(Prefix6, u128, Ipv6Addr, 128, "An IPv6 address or prefix.");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cover_is_exact_and_in_order(a: u32, b: u32) {
            let (first, last) = (a.min(b), a.max(b));
            let mut next = Some(first);
            for p in Prefix4::cover(first, last) {
                prop_assert_eq!(Some(p.first()), next);
                next = p.last().checked_add(1);
            }
            prop_assert_eq!(next, last.checked_add(1));
        }

        #[test]
        fn contains_compares_address_ranges(a: u128, l in 0u8..=128, b: u128, m in 0u8..=128) {
            let (p, q) = (Prefix6::new(a, l), Prefix6::new(b, m));
            prop_assert_eq!(p.contains(q), p.first() <= q.first() && q.last() <= p.last());
        }
    }

    #[test]
    fn whole_address_space_is_one_prefix() {
        assert_eq!(
            Prefix4::cover(0, u32::MAX).collect::<Vec<_>>(),
            [Prefix4::new(0, 0)]
        );
        assert_eq!(
            Prefix6::cover(0, u128::MAX).collect::<Vec<_>>(),
            [Prefix6::new(0, 0)]
        );
    }
}
