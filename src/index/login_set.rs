//! Log-ins in the order of their addresses, each with its end: a balanced tree whose copies share
//! what did not change.
//!
//! A node knows the earliest and the latest end below it. So whether a range has a log-in that has
//! not ended, and which one ends first, is found on one path, however many have ended.
//!
//! The tree is balanced by weight, with the parameters 3 and 2 (Hirai and Yamamoto, "Balancing
//! weight-balanced trees", 2011).

use std::{cmp::Ordering, net::IpAddr, ops::RangeInclusive, sync::Arc};

use crate::model::Uptime;

/// A subtree may weigh at most this many times as much as its sibling.
const MAX_RATIO: usize = 3;
/// If the inner grandchild weighs less than this many times the outer one, one rotation suffices.
const SINGLE_ROTATION: usize = 2;

type Link = Option<Arc<Node>>;

/// An address and the end of its log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginEntry {
    /// The address, or the first address of its prefix.
    pub address: IpAddr,
    /// When it ends.
    pub end: Uptime,
}

#[derive(Debug)]
struct Node {
    entry: LoginEntry,
    len: usize,
    /// The ends of this entry and of all below.
    earliest: Uptime,
    latest: Uptime,
    left: Link,
    right: Link,
}

/// Log-ins by address. A clone shares all of them.
#[derive(Debug, Clone, Default)]
pub struct LoginSet {
    root: Link,
}

impl LoginSet {
    /// The number of log-ins, those that have ended included.
    pub fn len(&self) -> usize {
        len(&self.root)
    }

    /// The end of an address's log-in; `None` if there is none.
    pub fn end(&self, address: IpAddr) -> Option<Uptime> {
        let mut link = &self.root;
        while let Some(node) = link {
            link = match address.cmp(&node.entry.address) {
                Ordering::Less => &node.left,
                Ordering::Greater => &node.right,
                Ordering::Equal => return Some(node.entry.end),
            };
        }
        None
    }

    /// Whether a range of addresses of one family has a log-in that ends after `now`.
    pub fn has_live(&self, range: &RangeInclusive<IpAddr>, now: Uptime) -> bool {
        let (first, last) = (*range.start(), *range.end());
        let mut link = &self.root;
        while let Some(node) = link.as_ref().filter(|n| n.latest > now) {
            if node.entry.address < first {
                link = &node.right;
            } else if node.entry.address > last {
                link = &node.left;
            } else {
                return node.entry.end > now
                    || has_live_from(&node.left, first, now)
                    || has_live_to(&node.right, last, now);
            }
        }
        false
    }

    /// The log-in that ends first.
    pub fn earliest(&self) -> Option<LoginEntry> {
        let mut node = self.root.as_ref()?;
        while node.entry.end != node.earliest {
            let is_left = |n: &&Arc<Node>| n.earliest == node.earliest;
            node = node.left.as_ref().filter(is_left).or(node.right.as_ref())?;
        }
        Some(node.entry)
    }

    /// Adds a log-in. It replaces an earlier one of the address.
    pub fn insert(&mut self, entry: LoginEntry) {
        self.root = insert(&self.root, entry);
    }

    /// Removes the log-in of an address. Returns whether there was one.
    pub fn remove(&mut self, address: IpAddr) -> bool {
        let before = self.len();
        self.root = remove(&self.root, address);
        self.len() < before
    }
}

fn len(link: &Link) -> usize {
    link.as_ref().map_or(0, |n| n.len)
}

/// The weight by which subtrees are compared.
fn weight(link: &Link) -> usize {
    len(link) + 1
}

/// Whether addresses from `first` on have a log-in that ends after `now`.
fn has_live_from(mut link: &Link, first: IpAddr, now: Uptime) -> bool {
    while let Some(node) = link.as_ref().filter(|n| n.latest > now) {
        if node.entry.address < first {
            link = &node.right;
        } else if node.entry.end > now || node.right.as_ref().is_some_and(|n| n.latest > now) {
            return true;
        } else {
            link = &node.left;
        }
    }
    false
}

/// Whether addresses up to `last` have a log-in that ends after `now`.
fn has_live_to(mut link: &Link, last: IpAddr, now: Uptime) -> bool {
    while let Some(node) = link.as_ref().filter(|n| n.latest > now) {
        if node.entry.address > last {
            link = &node.left;
        } else if node.entry.end > now || node.left.as_ref().is_some_and(|n| n.latest > now) {
            return true;
        } else {
            link = &node.right;
        }
    }
    false
}

fn node(left: Link, entry: LoginEntry, right: Link) -> Link {
    let below = || left.iter().chain(&right);
    let earliest = below().map(|n| n.earliest).fold(entry.end, Uptime::min);
    let latest = below().map(|n| n.latest).fold(entry.end, Uptime::max);
    let len = below().map(|n| n.len).sum::<usize>() + 1;
    Some(Arc::new(Node {
        entry,
        len,
        earliest,
        latest,
        left,
        right,
    }))
}

/// A node of two subtrees, one of which may have gained or lost one entry.
fn balance(left: Link, entry: LoginEntry, right: Link) -> Link {
    match (&left, &right) {
        (_, Some(r)) if weight(&right) > MAX_RATIO * weight(&left) => match &r.left {
            Some(inner) if weight(&r.left) >= SINGLE_ROTATION * weight(&r.right) => node(
                node(left, entry, inner.left.clone()),
                inner.entry,
                node(inner.right.clone(), r.entry, r.right.clone()),
            ),
            inner => node(node(left, entry, inner.clone()), r.entry, r.right.clone()),
        },
        (Some(l), _) if weight(&left) > MAX_RATIO * weight(&right) => match &l.right {
            Some(inner) if weight(&l.right) >= SINGLE_ROTATION * weight(&l.left) => node(
                node(l.left.clone(), l.entry, inner.left.clone()),
                inner.entry,
                node(inner.right.clone(), entry, right),
            ),
            inner => node(l.left.clone(), l.entry, node(inner.clone(), entry, right)),
        },
        _ => node(left, entry, right),
    }
}

fn insert(link: &Link, entry: LoginEntry) -> Link {
    let Some(n) = link else {
        return node(None, entry, None);
    };
    match entry.address.cmp(&n.entry.address) {
        Ordering::Less => balance(insert(&n.left, entry), n.entry, n.right.clone()),
        Ordering::Greater => balance(n.left.clone(), n.entry, insert(&n.right, entry)),
        Ordering::Equal => node(n.left.clone(), entry, n.right.clone()),
    }
}

fn remove(link: &Link, address: IpAddr) -> Link {
    let n = link.as_ref()?;
    match address.cmp(&n.entry.address) {
        Ordering::Less => balance(remove(&n.left, address), n.entry, n.right.clone()),
        Ordering::Greater => balance(n.left.clone(), n.entry, remove(&n.right, address)),
        Ordering::Equal => match (&n.left, &n.right) {
            (None, other) | (other, None) => other.clone(),
            (Some(l), Some(r)) if l.len > r.len => {
                let (last, rest) = take_last(l);
                balance(rest, last, n.right.clone())
            }
            (Some(_), Some(r)) => {
                let (first, rest) = take_first(r);
                balance(n.left.clone(), first, rest)
            }
        },
    }
}

/// The first entry of a subtree, and the rest of it.
fn take_first(n: &Arc<Node>) -> (LoginEntry, Link) {
    let Some(left) = &n.left else {
        return (n.entry, n.right.clone());
    };
    let (first, rest) = take_first(left);
    (first, balance(rest, n.entry, n.right.clone()))
}

/// The last entry of a subtree, and the rest of it.
fn take_last(n: &Arc<Node>) -> (LoginEntry, Link) {
    let Some(right) = &n.right else {
        return (n.entry, n.left.clone());
    };
    let (last, rest) = take_last(right);
    (last, balance(n.left.clone(), n.entry, rest))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    /// Few addresses of both families, so that ranges and replacements meet.
    fn address(n: u8) -> IpAddr {
        match n % 2 {
            0 => Ipv4Addr::new(192, 0, n % 4, n).into(),
            _ => std::net::Ipv6Addr::new(0x2001, 0xdb8, u16::from(n % 4), 0, 0, 0, 0, n.into())
                .into(),
        }
    }

    /// Checks order, weights and ends of a subtree; returns its entries.
    fn check(link: &Link) -> Vec<LoginEntry> {
        let Some(n) = link else { return Vec::new() };
        let (l, r) = (weight(&n.left), weight(&n.right));
        assert!(l <= MAX_RATIO * r && r <= MAX_RATIO * l, "{l} {r}");
        let mut all = check(&n.left);
        all.push(n.entry);
        all.extend(check(&n.right));
        assert!(all.is_sorted_by(|a, b| a.address < b.address));
        assert_eq!(all.len(), n.len);
        assert_eq!(all.iter().map(|e| e.end).min(), Some(n.earliest));
        assert_eq!(all.iter().map(|e| e.end).max(), Some(n.latest));
        all
    }

    proptest! {
        #[test]
        fn set_equals_a_map_after_any_log_ins_and_log_outs(
            steps in prop::collection::vec((any::<u8>(), prop::option::weighted(0.7, 0u64..40)), 0..300),
            now in 0u64..42,
        ) {
            let now = Uptime(now);
            let (mut set, mut model) = (LoginSet::default(), BTreeMap::new());
            for (n, end) in steps {
                let (address, before) = (address(n), set.clone());
                let earlier = model.len();
                match end {
                    Some(end) => {
                        set.insert(LoginEntry { address, end: Uptime(end) });
                        model.insert(address, Uptime(end));
                    }
                    None => prop_assert_eq!(set.remove(address), model.remove(&address).is_some()),
                }
                prop_assert_eq!(before.len(), earlier, "a copy does not change");
                prop_assert_eq!(set.end(address), model.get(&address).copied());
                prop_assert_eq!(set.earliest().map(|e| e.end), model.values().min().copied());
            }
            let all: Vec<_> = model.iter().map(|(a, end)| LoginEntry { address: *a, end: *end }).collect();
            prop_assert_eq!(check(&set.root), all);
            prop_assert_eq!(set.len(), model.len());
            for (first, last) in [(0, 255), (0, 0), (7, 7), (10, 200), (3, 31), (4, 252)] {
                let (first, last) = (address(first), address(last));
                if first > last || first.is_ipv4() != last.is_ipv4() {
                    continue;
                }
                let live = model.range(first..=last).any(|(_, end)| *end > now);
                prop_assert_eq!(set.has_live(&(first..=last), now), live, "{} {}", first, last);
            }
        }
    }

    #[test]
    fn addresses_in_order_make_no_deep_tree() {
        fn depth(link: &Link) -> usize {
            let deeper = |n: &Arc<Node>| depth(&n.left).max(depth(&n.right)) + 1;
            link.as_ref().map_or(0, deeper)
        }
        let mut set = LoginSet::default();
        for n in 0..20_000u32 {
            let (address, end) = (Ipv4Addr::from(n).into(), Uptime(u64::from(n)));
            set.insert(LoginEntry { address, end });
        }
        assert!(depth(&set.root) <= 35, "{}", depth(&set.root));
        for n in 0..19_000u32 {
            let first = set.earliest().unwrap();
            assert_eq!(first.address, IpAddr::from(Ipv4Addr::from(n)));
            assert!(set.remove(first.address));
        }
        check(&set.root);
        assert!(depth(&set.root) <= 25, "{}", depth(&set.root));
    }
}
