//! A persistent map.

/// A persistent sorted map: its copies share the nodes that they have in common.
pub type Map<V> = rpds::RedBlackTreeMapSync<String, V>;
