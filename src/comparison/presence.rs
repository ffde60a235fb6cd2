//! How far the other list has an entry.

/// The list that an entry is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The other list.
    Theirs,
    /// Our list.
    Ours,
}

/// How far the other list has an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It lists the whole entry.
    Whole,
    /// It lists a part of a prefix, or of the names that a domain stands for.
    Part,
    /// It lists nothing of it.
    None,
}

/// What was seen of an entry so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Presences {
    inside: bool,
    outside: bool,
}

impl Presences {
    /// Notes that the other list has a part of the entry, or has not.
    pub(super) fn mark(&mut self, is_listed: bool) {
        match is_listed {
            true => self.inside = true,
            false => self.outside = true,
        }
    }

    /// Adds what was seen of an entry inside it.
    pub(super) fn add(&mut self, inner: Presences) {
        self.inside |= inner.inside;
        self.outside |= inner.outside;
    }

    /// The presence of the entry; `None` if other entries of its own list exclude all of it.
    pub(super) fn presence(self) -> Option<Presence> {
        match (self.inside, self.outside) {
            (true, false) => Some(Presence::Whole),
            (true, true) => Some(Presence::Part),
            (false, true) => Some(Presence::None),
            (false, false) => None,
        }
    }
}
