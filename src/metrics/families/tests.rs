use std::{collections::BTreeSet, fmt::Write as _, fs};

use super::*;

const PAGE: &str = "docs/metrics.md";

const HEAD: &str = "# Metrics

<!-- This page is made from src/metrics/families.rs: `make snapshots` renews it. -->

`GET /metrics` on `[admin] listen` returns all metrics in the text format of Prometheus. The request needs a token with the role reader; [Monitoring](monitoring.md#by-prometheus) has the commands, the scrape job, the alert rules and the dashboard.

A metric about something that is not configured (a certificate, a feed, a webhook) has no samples. A counter begins at 0 when the daemon starts.
";

fn all() -> impl Iterator<Item = &'static MetricDescription> {
    GROUPS.iter().flat_map(|g| g.metrics().iter().copied())
}

/// The page as the table has it.
fn page() -> String {
    let mut out = HEAD.to_string();
    for group in GROUPS {
        let _ = write!(out, "\n## {}\n\n", group.title());
        if !group.introduction().is_empty() {
            let _ = write!(out, "{}\n\n", group.introduction());
        }
        out.push_str("| metric | type | labels | unit | meaning | what to do |\n| --- | --- | --- | --- | --- | --- |\n");
        for m in group.metrics() {
            let mut labels: Vec<String> = m.labels().iter().map(|l| format!("`{l}`")).collect();
            if m.metric_type() == MetricType::Histogram {
                labels.push("`le`".into());
            }
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {} | {} | {} |",
                m.name(),
                m.metric_type().as_str(),
                labels.join(", "),
                m.unit(),
                m.meaning(),
                m.action()
            );
        }
    }
    out
}

#[test]
fn page_of_metrics_is_that_of_the_snapshot() {
    let found = page();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(PAGE, &found).unwrap();
    }
    let expected = fs::read_to_string(PAGE).unwrap_or_default();
    let first = found.lines().zip(expected.lines()).find(|(f, e)| f != e);
    assert!(
        found == expected,
        "the table differs from {PAGE} ({first:?}); `make snapshots` renews the page"
    );
}

#[test]
fn every_metric_has_a_name_of_its_own_in_the_form_of_prometheus() {
    let mut names = BTreeSet::new();
    for m in all() {
        let name = m.name();
        let is_word = |b: u8| b.is_ascii_lowercase() || b == b'_';
        assert!(names.insert(name), "{name} is in the table twice");
        assert!(
            name.starts_with("orbsd_") && name.bytes().all(is_word),
            "{name}"
        );
        let is_counter = m.metric_type() == MetricType::Counter;
        assert_eq!(
            name.ends_with("_total"),
            is_counter,
            "{name}: only counters end with _total"
        );
    }
    assert!(names.len() > 80, "{}", names.len());
}

#[test]
fn name_has_the_unit() {
    for m in all() {
        let (name, unit) = (m.name().trim_end_matches("_total"), m.unit());
        for (ending, units) in [
            ("_seconds", &["seconds", "seconds since 1970"][..]),
            ("_days", &["days"]),
        ] {
            assert_eq!(
                name.ends_with(ending),
                units.contains(&unit),
                "{name}: {unit}"
            );
        }
        assert!(!name.ends_with("_bytes") || unit == "bytes", "{name}");
    }
}

#[test]
fn every_metric_is_described_by_sentences() {
    for m in all() {
        let (name, meaning, action) = (m.name(), m.meaning(), m.action());
        assert!(!m.unit().is_empty(), "{name} has no unit");
        // The meaning is the HELP line too, which has neither Markdown links nor line ends.
        assert!(
            !meaning.is_empty() && !meaning.ends_with('.') && !meaning.contains("]("),
            "{name}: {meaning}"
        );
        assert!(action.ends_with('.'), "{name}: {action}");
        assert!(
            ![meaning, action]
                .iter()
                .any(|t| t.contains(['|', '\n', '\\'])),
            "{name}"
        );
    }
}
