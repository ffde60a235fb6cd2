//! `[query_sample]`: a sample of the addresses that mail servers ask about.

use super::{document::Report, tables::File};
use crate::{query_sample::QuerySampleSettings, reverse_names::generic::GenericNameSettings};

/// The most queries of which one is sampled.
const MAX_ONE_IN: u32 = 65_536;
/// The shortest and the longest period, in seconds: an hour and 30 days.
const PERIODS: std::ops::RangeInclusive<u64> = 3600..=30 * 86_400;

/// Reads the settings. `generic` are those of the listings that use the sample.
pub(super) fn read(
    file: &File,
    generic: &GenericNameSettings,
    report: &mut Report,
) -> QuerySampleSettings {
    let sample = &file.query_sample;
    let mut table = report.of(&sample.place);
    table.error_if(
        sample.one_in > MAX_ONE_IN,
        "one_in",
        format_args!("write at most {MAX_ONE_IN}, or 0 to sample nothing"),
    );
    table.error_if(
        !PERIODS.contains(&sample.period.0),
        "period",
        "write 1h to 30d",
    );
    QuerySampleSettings {
        one_in: sample.one_in,
        period: sample.period,
        candidates: generic.is_enabled() && generic.queried_hosts,
        special: generic.special.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        config::tests::{ZONE, load},
        query_sample::QuerySampleSettings,
    };

    const REASONS: &str = "[[reason]]\nname='relay'\n[[reason]]\nname='generic'\n";

    #[test]
    fn queries_are_not_sampled_by_default() {
        let config = load(REASONS, ZONE).unwrap();
        assert_eq!(config.query_sample, QuerySampleSettings::default());
        assert_eq!(config.query_sample.one_in, 0);
    }

    #[test]
    fn candidates_are_collected_only_for_generic_names() {
        for (table, expected) in [
            ("", false),
            ("[generic_names]\nreason='generic'\n", false),
            ("[generic_names]\nqueried_hosts=true\n", false),
            (
                "[generic_names]\nreason='generic'\nqueried_hosts=true\n",
                true,
            ),
        ] {
            let text = format!("[query_sample]\none_in=64\n{table}{REASONS}");
            let sample = load(&text, ZONE).unwrap().query_sample;
            assert_eq!(
                (sample.one_in, sample.candidates),
                (64, expected),
                "{table}"
            );
        }
    }

    #[test]
    fn unusable_values_are_errors() {
        for (line, expected) in [
            ("one_in=65537", "at most 65536"),
            ("period='59m'", "1h to 30d"),
            ("period='31d'", "1h to 30d"),
        ] {
            let e = load(&format!("[query_sample]\n{line}\n{REASONS}"), ZONE).unwrap_err();
            assert!(e.to_string().contains(expected), "{line}: {e}");
        }
    }
}
