//! The output of `orbsd doctor`: a table for people, JSON, or one line for monitoring.

use super::finding::{Finding, State};
use crate::{
    cli::{CliError, DoctorExit, output},
    model::text::counted,
};

/// How findings are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// By area; good findings only if `all` is set.
    Table { all: bool },
    /// An array of all findings.
    Json,
    /// One line with the counts and the worst finding.
    Nagios,
}

/// Sorts findings: by area, the worst first.
pub(super) fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (f.area, std::cmp::Reverse(f.state));
        key(a)
            .cmp(&key(b))
            .then_with(|| (a.check, &a.target).cmp(&(b.check, &b.target)))
    });
}

/// Shows sorted findings. The error has the exit code of the worst one.
pub(super) fn show(findings: &[Finding], form: Form) -> Result<(), CliError> {
    match form {
        Form::Json => output::json(&findings),
        Form::Nagios => println!("{}", nagios_line(findings)),
        Form::Table { all } => print_table(findings, all),
    }
    match worst_exit(findings) {
        None => Ok(()),
        Some(exit) => Err(CliError::Doctor(exit)),
    }
}

/// The exit code of the worst finding; `None` if all are good.
pub(super) fn worst_exit(findings: &[Finding]) -> Option<DoctorExit> {
    match findings.iter().map(|f| f.state).max()? {
        State::Good => None,
        State::NotSeen => Some(DoctorExit::Unknown),
        State::Warning => Some(DoctorExit::Warning),
        State::Fault => Some(DoctorExit::Fault),
    }
}

/// How many findings have a state.
fn count(findings: &[Finding], state: State) -> usize {
    findings.iter().filter(|f| f.state == state).count()
}

/// The counts of all states.
fn counts(findings: &[Finding]) -> String {
    format!(
        "{}, {}, {} not seen, {} good",
        counted(count(findings, State::Fault), "fault"),
        counted(count(findings, State::Warning), "warning"),
        count(findings, State::NotSeen),
        count(findings, State::Good)
    )
}

/// The line for Nagios and programs that read the output of its plugins.
pub(super) fn nagios_line(findings: &[Finding]) -> String {
    let status = match worst_exit(findings) {
        None => "OK",
        Some(DoctorExit::Warning) => "WARNING",
        Some(DoctorExit::Fault) => "CRITICAL",
        Some(DoctorExit::Unknown) => "UNKNOWN",
    };
    // The first of the worst, in the order of the areas.
    let worst = findings.iter().map(|f| f.state).max();
    let first = findings
        .iter()
        .find(|f| Some(f.state) == worst && f.state != State::Good);
    // A bar would begin performance data.
    let first = first.map(|f| format!("; {} {}: {}", f.check, f.target, f.what).replace('|', "/"));
    let data = [
        ("faults", State::Fault),
        ("warnings", State::Warning),
        ("not_seen", State::NotSeen),
        ("good", State::Good),
    ];
    let data = data.map(|(name, state)| format!("{name}={}", count(findings, state)));
    format!(
        "ORBSD {status}: {}{} | {}",
        counts(findings),
        first.unwrap_or_default(),
        data.join(" ")
    )
}

/// Prints findings by area.
fn print_table(findings: &[Finding], all: bool) {
    let shown = findings.iter().filter(|f| all || f.state != State::Good);
    let mut area = None;
    for finding in shown {
        if area.replace(finding.area) != Some(finding.area) {
            println!("{}", finding.area);
        }
        let (check, target) = (finding.check, &finding.target);
        let state = finding.state.to_string();
        let line = format!("  {state:<8} {check} {target}: {}", finding.what);
        match finding.state {
            State::Fault => output::coloured_line("31", format_args!("{line}")),
            State::Warning => output::coloured_line("33", format_args!("{line}")),
            State::NotSeen | State::Good => println!("{line}"),
        }
        if !finding.remedy.is_empty() {
            println!("           -> {}", finding.remedy);
        }
    }
    println!("{}", counts(findings));
}
