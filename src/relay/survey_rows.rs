//! The rows of the survey: one for each month.

use super::{
    batch::RelayBatch,
    policy::{Job, Trigger},
    products::products_of,
    service::{RelayError, RelayService},
    survey::{MonthlySurvey, UNKNOWN_FAMILY},
    tables::{SURVEY, TRANSCRIPTS},
    transcript::parse_transcript,
};
use crate::{model::Time, store::StoreError};

/// Counts a test of our own that has ended, in the month of its end. Repetitions of a part of a
/// test are not counted.
pub(super) fn count(batch: &mut RelayBatch<'_>, job: &Job) -> Result<(), StoreError> {
    let is_part = job.second || job.trigger == Trigger::Recheck;
    if job.remote || is_part || job.results.iter().all(|r| r.outcome.is_not_sent()) {
        return Ok(());
    }
    let transcript = batch.get_or_default(TRANSCRIPTS, &job.id)?;
    let recognised = products_of(&parse_transcript(&transcript));
    let family = recognised.first().filter(|r| !r.vague);
    let family = family.map_or(UNKNOWN_FAMILY, |r| r.product.family.as_str());
    let month = month_of(batch.now);
    batch.update(SURVEY, &month, |survey| survey.count(job, family))
}

/// The month of a time in UTC: `2026-11`.
fn month_of(time: Time) -> String {
    time.to_string().chars().take(7).collect()
}

impl RelayService {
    /// Returns what the tests of each month found, the newest month first.
    pub fn survey(&self) -> Result<Vec<(String, MonthlySurvey)>, RelayError> {
        let batch = self.batch(self.now());
        let mut out = Vec::new();
        for month in batch.scan(&SURVEY.all(), usize::MAX)? {
            let survey = batch.get_or_default(SURVEY, &month)?;
            out.push((month, survey.for_public()));
        }
        out.reverse();
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn month_is_that_of_universal_time() {
        assert_eq!(month_of("2026-11-30T23:59:59Z".parse().unwrap()), "2026-11");
        assert_eq!(month_of("2026-12-01T00:00:00Z".parse().unwrap()), "2026-12");
    }
}
