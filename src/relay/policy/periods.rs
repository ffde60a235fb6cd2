//! The periods of the rules.

use crate::model::time::Seconds;

/// An hour, in seconds.
pub(super) const HOUR: u64 = 3600;
/// A day, in seconds.
pub(super) const DAY: u64 = 86_400;

/// Evidence that is older leads to no test (safety rule S2).
pub const EVIDENCE_LIFE: Seconds = Seconds(14 * DAY);
/// The shortest time between two tests of a host, except for claims.
pub const BETWEEN: Seconds = Seconds(DAY);
/// The same evidence leads to no second test before this (safety rule S5).
pub const SAME_EVIDENCE: Seconds = Seconds(30 * DAY);
/// The waiting period: how long after an accepted message the host is released, if none is
/// delivered.
pub const WAITING: Seconds = Seconds(5 * DAY);
/// How long after its time a claim is granted without a test.
pub const UNTESTED: Seconds = Seconds(2 * DAY);
