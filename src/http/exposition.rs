//! The text format of Prometheus.

use std::fmt::Write as _;

/// Writes a family of samples.
pub(super) fn family(
    out: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl IntoIterator<Item = (String, f64)>,
) {
    let _ = write!(
        out,
        "# HELP orbsd_{name} {help}\n# TYPE orbsd_{name} {kind}\n"
    );
    for (labels, value) in samples {
        let _ = writeln!(out, "orbsd_{name}{labels} {value}");
    }
}

/// A label of a sample; backslash, quote and line end are escaped.
pub(super) fn label(name: &str, value: &str) -> String {
    format!(
        "{name}=\"{}\"",
        value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}
