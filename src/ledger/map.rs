//! A map whose copies share what they have in common.

/// A sorted map whose copies share what they have in common.
pub type Map<V> = rpds::RedBlackTreeMapSync<String, V>;
