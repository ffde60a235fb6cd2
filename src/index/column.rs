//! Columns of numbers, each in the smallest of a few forms: most leaves have one value for all of
//! their entries.

use serde::{Deserialize, Serialize};

/// A column of values.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Column<T> {
    /// All rows have this value.
    Same(T),
    /// The different values, and for each row its place among them.
    Few(Box<Few<T>>),
    /// One value for each row.
    Each(Box<[T]>),
}

/// At most 256 different values, and for each row its place among them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Few<T> {
    kinds: Box<[T]>,
    places: Box<[u8]>,
}

impl<T: Copy + Eq> Column<T> {
    /// From the values of all rows; `none` is the value of a column without rows.
    pub fn new(all: &[T], none: T) -> Column<T> {
        let first = all.first().copied().unwrap_or(none);
        if all.iter().all(|v| *v == first) {
            return Column::Same(first);
        }
        // A place takes one byte, so the table pays if it has few values or they are wide.
        let saved = size_of::<T>().saturating_sub(1) * all.len();
        let most = (saved / size_of::<T>()).min(256);
        let mut kinds: Vec<T> = Vec::new();
        let mut places = Vec::with_capacity(all.len());
        for v in all {
            // Neighbours are most often the same.
            let place = match places.last() {
                Some(p) if kinds[usize::from(*p)] == *v => *p,
                _ => match kinds.iter().position(|k| k == v) {
                    Some(i) => i as u8,
                    None if kinds.len() < most => {
                        kinds.push(*v);
                        (kinds.len() - 1) as u8
                    }
                    None => return Column::Each(all.into()),
                },
            };
            places.push(place);
        }
        Column::Few(Box::new(Few {
            kinds: kinds.into(),
            places: places.into(),
        }))
    }

    /// The value of a row, which has to be there.
    #[inline]
    pub fn get(&self, row: usize) -> T {
        match self {
            Column::Same(v) => *v,
            Column::Few(few) => few.kinds[usize::from(few.places[row])],
            Column::Each(all) => all[row],
        }
    }

    /// Whether there is a value for each of so many rows; for a column from a file.
    pub fn has_rows(&self, rows: usize) -> bool {
        match self {
            Column::Same(_) => true,
            Column::Few(few) => {
                few.places.len() == rows
                    && few.places.iter().all(|p| usize::from(*p) < few.kinds.len())
            }
            Column::Each(all) => all.len() == rows,
        }
    }

    /// Every value that some row has, some of them more than once.
    pub fn kinds(&self) -> &[T] {
        match self {
            Column::Same(v) => std::slice::from_ref(v),
            Column::Few(few) => &few.kinds,
            Column::Each(all) => all,
        }
    }
}

/// A column of numbers of interned things.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Ids {
    /// All are below 65,536.
    Short(Column<u16>),
    /// Any.
    Long(Column<u32>),
}

impl Ids {
    /// From the numbers of all rows.
    pub fn new(all: &[u32]) -> Ids {
        if let Some(first) = all.first()
            && all.iter().all(|n| n == first)
        {
            return Ids::Long(Column::Same(*first));
        }
        let short: Option<Vec<u16>> = all.iter().map(|n| u16::try_from(*n).ok()).collect();
        match short {
            Some(short) => Ids::Short(Column::new(&short, 0)),
            None => Ids::Long(Column::new(all, 0)),
        }
    }

    /// The number of a row, which has to be there.
    #[inline]
    pub fn get(&self, row: usize) -> u32 {
        match self {
            Ids::Short(c) => u32::from(c.get(row)),
            Ids::Long(c) => c.get(row),
        }
    }

    /// Whether there is a number below `limit` for each of so many rows; for a column from a file.
    pub fn are_sound(&self, rows: usize, limit: usize) -> bool {
        let there = match self {
            Ids::Short(c) => c.has_rows(rows),
            Ids::Long(c) => c.has_rows(rows),
        };
        let mut below = true;
        self.kinds(|n| below &= (n as usize) < limit);
        there && (below || rows == 0)
    }

    /// Every number that some row has, some of them more than once.
    pub fn kinds(&self, mut tell: impl FnMut(u32)) {
        match self {
            Ids::Short(c) => c.kinds().iter().for_each(|n| tell(u32::from(*n))),
            Ids::Long(c) => c.kinds().iter().for_each(|n| tell(*n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_column_has_the_values_that_it_was_made_from(all in prop_oneof![
            prop::collection::vec(0..3u32, 0..300),
            prop::collection::vec(0..70_000u32, 0..300),
            prop::collection::vec(any::<u32>(), 0..300),
        ]) {
            let (ids, column) = (Ids::new(&all), Column::new(&all, 0));
            for (i, v) in all.iter().enumerate() {
                prop_assert_eq!((ids.get(i), column.get(i)), (*v, *v));
            }
            let mut kinds = Vec::new();
            ids.kinds(|n| kinds.push(n));
            prop_assert!(all.iter().all(|v| kinds.contains(v)));
        }
    }
}
