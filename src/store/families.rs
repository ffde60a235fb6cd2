//! The names of the column families on disk, which never change. The table in
//! [`super::schema`] has the meaning of each.

/// All column families.
pub const FAMILIES: [&str; 17] = [
    VERDICTS,
    FEEDS,
    RECORDS,
    EVENTS,
    FEED_EVENTS,
    DUE,
    HOLDS,
    JOURNAL,
    META,
    ACCOUNTS,
    AUDIT,
    IDEMPOTENCY,
    OUTBOX,
    RELAY,
    TICKETS,
    NETBLOCKS,
    DYNAMIC_RANGES,
];
/// The name of a column family; see the table of [`super::schema`].
pub const VERDICTS: &str = "verdicts";
/// The name of a column family; see the table of [`super::schema`].
pub const FEEDS: &str = "feeds";
/// The name of a column family; see the table of [`super::schema`].
pub const RECORDS: &str = "records";
/// The name of a column family; see the table of [`super::schema`].
pub const EVENTS: &str = "events";
/// The name of a column family; see the table of [`super::schema`].
pub const FEED_EVENTS: &str = "churn";
/// The name of a column family; see the table of [`super::schema`].
pub const DUE: &str = "due";
/// The name of a column family; see the table of [`super::schema`].
pub const HOLDS: &str = "holds";
/// The name of a column family; see the table of [`super::schema`].
pub const JOURNAL: &str = "journal";
/// The name of a column family; see the table of [`super::schema`].
pub const META: &str = "meta";
/// The name of a column family; see the table of [`super::schema`].
pub const ACCOUNTS: &str = "people";
/// The name of a column family; see the table of [`super::schema`].
pub const AUDIT: &str = "audit";
/// The name of a column family; see the table of [`super::schema`].
pub const IDEMPOTENCY: &str = "once";
/// The name of a column family; see the table of [`super::schema`].
pub const OUTBOX: &str = "outbox";
/// The name of a column family; see the table of [`super::schema`].
pub const RELAY: &str = "probes";
/// The name of a column family; see the table of [`super::schema`].
pub const TICKETS: &str = "tickets";
/// The name of a column family; see the table of [`super::schema`].
pub const NETBLOCKS: &str = "netblocks";
/// The name of a column family; see the table of [`super::schema`].
pub const DYNAMIC_RANGES: &str = "dynamic_ranges";

/// A family whose rows a feature reads and writes, and the ledger only stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureFamily {
    /// Rows of relay tests.
    Relay,
    /// Rows of tickets.
    Tickets,
    /// Rows of netblocks.
    Netblocks,
    /// Rows of dynamic ranges.
    DynamicRanges,
}

impl FeatureFamily {
    /// The name of the family on disk.
    pub fn name(self) -> &'static str {
        match self {
            FeatureFamily::Relay => RELAY,
            FeatureFamily::Tickets => TICKETS,
            FeatureFamily::Netblocks => NETBLOCKS,
            FeatureFamily::DynamicRanges => DYNAMIC_RANGES,
        }
    }
}
