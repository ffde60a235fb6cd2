//! A vector whose copies share what did not change: a write copies a path of three small nodes.

use std::sync::Arc;

const LEAF: usize = 64;
const MID: usize = 256;

type Mid<T> = Vec<Arc<Vec<T>>>;

/// A persistent vector. Cloning it costs a pointer for every 16,384 items.
#[derive(Debug, Clone)]
pub struct PersistentVec<T> {
    top: Vec<Arc<Mid<T>>>,
    len: usize,
}

impl<T> Default for PersistentVec<T> {
    fn default() -> PersistentVec<T> {
        PersistentVec {
            top: Vec::new(),
            len: 0,
        }
    }
}

impl<T: Clone> PersistentVec<T> {
    /// The number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The item at `i`.
    pub fn get(&self, i: usize) -> Option<&T> {
        self.top
            .get(i / (LEAF * MID))?
            .get(i / LEAF % MID)?
            .get(i % LEAF)
    }

    /// Appends an item and returns its index.
    pub fn push(&mut self, item: T) -> usize {
        let i = self.len;
        if i.is_multiple_of(LEAF * MID) {
            self.top.push(Arc::default());
        }
        if let Some(mid) = self.top.last_mut() {
            let mid = Arc::make_mut(mid);
            if i.is_multiple_of(LEAF) {
                mid.push(Arc::new(Vec::with_capacity(LEAF)));
            }
            if let Some(leaf) = mid.last_mut() {
                Arc::make_mut(leaf).push(item);
            }
        }
        self.len += 1;
        i
    }

    /// Replaces the item at `i`; does nothing beyond the end.
    pub fn set(&mut self, i: usize, item: T) {
        let slot = self
            .top
            .get_mut(i / (LEAF * MID))
            .and_then(|mid| Arc::make_mut(mid).get_mut(i / LEAF % MID))
            .and_then(|leaf| Arc::make_mut(leaf).get_mut(i % LEAF));
        if let Some(slot) = slot {
            *slot = item;
        }
    }

    /// All items in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.top
            .iter()
            .flat_map(|m| m.iter())
            .flat_map(|l| l.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_its_items_when_the_other_changes() {
        let mut v = PersistentVec::default();
        for i in 0..40_000 {
            assert_eq!(v.push(i), i);
        }
        let old = v.clone();
        v.set(20_000, 7);
        v.push(8);
        assert_eq!((old.get(20_000), old.get(40_000)), (Some(&20_000), None));
        assert_eq!(
            (v.get(20_000), v.get(40_000), v.len()),
            (Some(&7), Some(&8), 40_001)
        );
        assert!(old.iter().copied().eq(0..40_000));
    }
}
