//! Claims that a host is closed: what their tests showed, and when the host was released.

use crate::{
    model::{Time, time::Seconds},
    relay::{control::ClaimOutcome, policy::Job},
};

/// After this time without a decision, a claim has ended, and the next one is a new one. A claim is
/// granted after two days without a test, and its waiting period lasts five.
const MAX_CLAIM_TIME: Seconds = Seconds(8 * 86_400);

/// What the test of a claim shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimResult {
    /// Every message was refused, and the controls show that the tester was not.
    Closed,
    /// A message was delivered.
    Open,
    /// The host refused the tester.
    Blocked,
    /// None of these.
    Undecided,
}

/// A test of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClaimTest {
    /// When it was requested.
    pub at: Time,
    /// When it ended.
    pub ended: Option<Time>,
    /// What it shows.
    pub result: ClaimResult,
}

impl ClaimTest {
    /// What a job shows about a claim; `None` for a job that does not test one. The repetition from
    /// a second address is a part of the claim's test unless it finds the host open.
    pub(super) fn of(job: &Job) -> Option<ClaimTest> {
        let is_delivered = job.results.iter().any(|r| r.outcome.is_delivered());
        let result = match job.row_outcome() {
            _ if is_delivered => ClaimResult::Open,
            Some(ClaimOutcome::Failed) => ClaimResult::Open,
            Some(ClaimOutcome::Released) => ClaimResult::Closed,
            Some(ClaimOutcome::Blocked) => ClaimResult::Blocked,
            _ => ClaimResult::Undecided,
        };
        let is_counted = job.is_claim() && (!job.second || result == ClaimResult::Open);
        is_counted.then_some(ClaimTest {
            at: job.at,
            ended: job.ended,
            result,
        })
    }
}

/// A claim that was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DecidedClaim {
    /// When it was made.
    pub made: Time,
    /// When it was decided.
    pub decided: Time,
    /// What its test showed.
    pub result: ClaimResult,
    /// Whether the host was released then.
    pub released: bool,
}

/// Returns the decided claims of a host, by its tests and releases, each in order of time. A claim
/// that is repeated before it is decided is one claim.
pub(super) fn decided_claims(tests: &[ClaimTest], releases: &[Time]) -> Vec<DecidedClaim> {
    let mut out = Vec::new();
    let mut made: Option<Time> = None;
    for (i, test) in tests.iter().enumerate() {
        let next = tests.get(i + 1).map(|t| t.at);
        let since = made.filter(|m| m.plus(MAX_CLAIM_TIME) > test.at);
        let since = since.unwrap_or(test.at);
        let last = next.unwrap_or(Time(u64::MAX));
        let release = releases
            .iter()
            .find(|r| **r >= test.at && **r < last && **r <= test.at.plus(MAX_CLAIM_TIME));
        let decision = match (test.result, release, test.ended) {
            (ClaimResult::Open | ClaimResult::Blocked, None, Some(at)) => Some((at, false)),
            (ClaimResult::Open, Some(_), Some(at)) => Some((at, false)),
            (_, Some(at), _) => Some((*at, true)),
            _ => None,
        };
        made = match decision {
            Some((decided, released)) => {
                out.push(DecidedClaim {
                    made: since,
                    decided,
                    result: match (test.result, released) {
                        (ClaimResult::Blocked, true) => ClaimResult::Undecided,
                        (result, _) => result,
                    },
                    released,
                });
                None
            }
            None => Some(since),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn test(at: u64, ended: Option<u64>, result: ClaimResult) -> ClaimTest {
        ClaimTest {
            at: Time(at),
            ended: ended.map(Time),
            result,
        }
    }

    fn decided(tests: &[ClaimTest], releases: &[u64]) -> Vec<(u64, u64, ClaimResult, bool)> {
        let releases: Vec<Time> = releases.iter().copied().map(Time).collect();
        let all = decided_claims(tests, &releases).into_iter();
        all.map(|c| (c.made.0, c.decided.0, c.result, c.released))
            .collect()
    }

    #[test]
    fn claim_of_a_closed_host_ends_at_its_release() {
        let tests = [test(100, Some(900), ClaimResult::Closed)];
        assert_eq!(
            decided(&tests, &[500]),
            [(100, 500, ClaimResult::Closed, true)]
        );
    }

    #[test]
    fn delivered_message_decides_against_a_claim_although_the_host_was_released_before() {
        let tests = [test(100, Some(900), ClaimResult::Open)];
        let expected = [(100, 900, ClaimResult::Open, false)];
        assert_eq!(decided(&tests, &[]), expected);
        assert_eq!(decided(&tests, &[500]), expected);
    }

    #[test]
    fn claim_that_waits_is_not_decided() {
        let waits = [test(100, Some(900), ClaimResult::Undecided)];
        assert_eq!(decided(&waits, &[]), []);
        assert_eq!(decided(&waits, &[50]), [], "a release before the claim");
        let runs = [test(100, None, ClaimResult::Open)];
        assert_eq!(decided(&runs, &[]), []);
    }

    #[test]
    fn repeated_claim_counts_once_from_the_first_request() {
        let tests = [
            test(0, Some(60), ClaimResult::Undecided),
            test(DAY, Some(DAY + 60), ClaimResult::Undecided),
            test(2 * DAY, Some(2 * DAY + 60), ClaimResult::Closed),
        ];
        assert_eq!(
            decided(&tests, &[2 * DAY + 60]),
            [(0, 2 * DAY + 60, ClaimResult::Closed, true)]
        );
    }

    #[test]
    fn claim_after_a_decision_is_a_new_one() {
        let tests = [
            test(0, Some(60), ClaimResult::Blocked),
            test(DAY, Some(DAY + 60), ClaimResult::Open),
            test(2 * DAY, Some(2 * DAY + 60), ClaimResult::Undecided),
            // The claim before was withdrawn long ago.
            test(40 * DAY, Some(40 * DAY + 60), ClaimResult::Closed),
        ];
        assert_eq!(
            decided(&tests, &[40 * DAY + 30]),
            [
                (0, 60, ClaimResult::Blocked, false),
                (DAY, DAY + 60, ClaimResult::Open, false),
                (40 * DAY, 40 * DAY + 30, ClaimResult::Closed, true),
            ]
        );
    }

    #[test]
    fn release_of_a_blocked_host_by_an_operator_says_nothing_about_relaying() {
        let tests = [test(0, Some(60), ClaimResult::Blocked)];
        assert_eq!(
            decided(&tests, &[DAY]),
            [(0, DAY, ClaimResult::Undecided, true)]
        );
    }
}
