//! The files of the configuration.

use super::{
    context::Context,
    finding::{Area, Examination, Finding},
};
use crate::cli::check::UNREADABLE;

/// Reports the errors and warnings of `orbsd check`.
pub(super) fn check(context: &Context) -> Vec<Finding> {
    let path = context.config_path.display().to_string();
    let examination = || Examination::new(Area::Configuration, "files", path.clone());
    let (errors, warnings) = match &context.config {
        Ok(config) => (Vec::new(), config.warnings.clone()),
        Err(e) => {
            let is_unreadable = e.0.iter().any(|line| line.contains(UNREADABLE));
            let by_daemon = context.daemon.as_ref().ok();
            let by_daemon = by_daemon.and_then(|d| d.configuration.as_ref());
            match by_daemon.filter(|_| is_unreadable) {
                Some(found) => (found.errors.clone(), found.warnings.clone()),
                None if is_unreadable => {
                    return vec![examination().not_seen(
                        e.to_string().replace('\n', "; "),
                        "run this as root or as the daemon's user",
                    )];
                }
                None => (e.0.clone(), Vec::new()),
            }
        }
    };
    if errors.is_empty() && warnings.is_empty() {
        return vec![examination().good("the configuration and all zones are valid")];
    }
    let errors = errors.iter().map(|line| {
        let (target, what) = split_place(line, &path);
        Examination::new(Area::Configuration, "files", target).fault(
            what,
            "correct the file; then `orbsd check` reports no error, and `orbsd reload` uses it",
        )
    });
    let warnings = warnings.iter().map(|line| {
        let (target, what) = split_place(line, &path);
        Examination::new(Area::Configuration, "files", target).warning(
            what,
            "change the value if this is not intended, then `orbsd reload`",
        )
    });
    errors.chain(warnings).collect()
}

/// Splits a line of a report into the file with its line, and the text. A line without a place is
/// about the file at `path`.
pub(super) fn split_place<'t>(line: &'t str, path: &'t str) -> (&'t str, &'t str) {
    match line.split_once(": ") {
        Some((place, text)) if place.contains(".toml") && !place.contains(' ') => (place, text),
        _ => (path, line),
    }
}
