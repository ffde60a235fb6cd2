//! Prints a job of relay tests.

use super::text::some;
use crate::api::JobResponse;

/// Prints a job in a few lines.
pub(super) fn print(j: &JobResponse) {
    let waiting = some(": ", j.waiting_for.as_ref());
    println!("job {} {} {}{waiting}", j.id, j.target, j.state.as_str());
    if let Some(a) = j.assessment {
        let row = j
            .row
            .as_ref()
            .map_or_else(String::new, |r| format!(" ({r})"));
        println!("  {}{row}", a.as_str());
    }
    for r in &j.results {
        let d = &r.detail;
        let more = [&d.output, &d.text, &d.cause];
        let more = more.into_iter().flatten().next().map_or("", String::as_str);
        let code = d.code.map_or(String::new(), |c| {
            format!(" {c} at {}", d.stage.as_deref().unwrap_or_default())
        });
        println!("  {:<28} {}{code} {more}", r.test, r.outcome.as_str());
    }
}
