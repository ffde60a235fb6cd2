//! The periods in the rules of relay testing.

use crate::model::time::Seconds;

/// An hour, in seconds.
pub(super) const HOUR: u64 = 3600;
/// A day, in seconds.
pub(super) const DAY: u64 = 86_400;

/// The greatest age of evidence that leads to a test (safety rule S2).
pub const MAX_EVIDENCE_AGE: Seconds = Seconds(14 * DAY);
/// The shortest time between two tests of a host, except for claims.
pub const MIN_TEST_INTERVAL: Seconds = Seconds(DAY);
/// The shortest time between two tests that the same evidence leads to (safety rule S5).
pub const SAME_EVIDENCE_INTERVAL: Seconds = Seconds(30 * DAY);
/// The waiting period, after which a host whose tests were accepted is released if no message is
/// delivered.
pub const WAITING_PERIOD: Seconds = Seconds(5 * DAY);
/// The time after which a claim that was not tested is granted.
pub const GRANT_UNTESTED_AFTER: Seconds = Seconds(2 * DAY);
