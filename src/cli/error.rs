//! Errors and exit codes of commands.

use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub enum CliError {
    /// The command was refused, or something was not found or not listed. The text is empty if the
    /// output has it.
    Refused(String),
    /// Wrong usage or configuration. The text is empty if the output has it.
    Usage(String),
    /// A list was refused, and the last one stays.
    ListRefused(String),
    /// The result of `orbsd relay probe`, which the output has.
    Probe(ProbeExit),
    /// Wrong usage of `orbsd relay probe`.
    ProbeUsage(String),
    /// The result of `orbsd doctor`, which the output has.
    Doctor(DoctorExit),
    /// Wrong usage of `orbsd doctor`.
    DoctorUsage(String),
}

/// The results of `orbsd relay probe` that have an exit code of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeExit {
    /// A test message was delivered.
    Delivered,
    /// A test message was accepted, and none was delivered.
    Accepted,
    /// The tests have no verdict.
    NoVerdict,
}

/// The results of `orbsd doctor` that have an exit code of their own, as plugins of Nagios do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoctorExit {
    /// There is a warning, and no fault.
    Warning,
    /// There is a fault.
    Fault,
    /// Something was not seen, and all else is good; or the command line is wrong.
    Unknown,
}

/// The exit code of an incomplete standard output (`EX_IOERR` of sysexits.h).
pub(super) const OUTPUT_FAILED: u8 = 74;

impl From<std::io::Error> for CliError {
    fn from(e: std::io::Error) -> CliError {
        CliError::Refused(e.to_string())
    }
}

impl CliError {
    /// The exit code; `docs/commands.md` has a table of them.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            CliError::Refused(_) => 1,
            CliError::Usage(_) => 2,
            CliError::ListRefused(_) => 3,
            CliError::Probe(ProbeExit::Delivered) => 2,
            CliError::Probe(ProbeExit::Accepted) => 3,
            CliError::Probe(ProbeExit::NoVerdict) => 4,
            // EX_USAGE of sysexits.h: 2 is a result of this command.
            CliError::ProbeUsage(_) => 64,
            // The codes of Nagios: wrong usage leaves the state unknown.
            CliError::Doctor(DoctorExit::Warning) => 1,
            CliError::Doctor(DoctorExit::Fault) => 2,
            CliError::Doctor(DoctorExit::Unknown) | CliError::DoctorUsage(_) => 3,
        }
    }

    /// The text; empty if the output has it.
    pub(super) fn text(&self) -> &str {
        match self {
            CliError::Refused(text)
            | CliError::Usage(text)
            | CliError::ListRefused(text)
            | CliError::ProbeUsage(text)
            | CliError::DoctorUsage(text) => text,
            CliError::Probe(_) | CliError::Doctor(_) => "",
        }
    }

    /// Prints the error on standard error, with `json` also as JSON on standard output, and returns
    /// the exit code.
    pub(super) fn report(&self, json: bool) -> ExitCode {
        let (code, text) = (self.exit_code(), self.text());
        // First, since standard output may be full.
        print_error(text);
        if json && !text.is_empty() {
            println!("{}", serde_json::json!({"error": text, "code": code}));
        }
        ExitCode::from(code)
    }
}

/// Prints an error on standard error. Only its first line has the program's name: no text in an
/// error can begin a message of its own.
pub(super) fn print_error(error: &str) {
    for (i, line) in error.lines().enumerate() {
        match i {
            0 => eprintln!("orbsd: {line}"),
            _ => eprintln!("  {line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_has_every_exit_code() {
        let text = String::new;
        let errors = [
            CliError::Refused(text()),
            CliError::Usage(text()),
            CliError::ListRefused(text()),
            CliError::Probe(ProbeExit::Delivered),
            CliError::Probe(ProbeExit::Accepted),
            CliError::Probe(ProbeExit::NoVerdict),
            CliError::ProbeUsage(text()),
            CliError::Doctor(DoctorExit::Warning),
            CliError::Doctor(DoctorExit::Fault),
            CliError::Doctor(DoctorExit::Unknown),
            CliError::DoctorUsage(text()),
        ];
        let mut codes: Vec<u8> = errors.iter().map(CliError::exit_code).collect();
        codes.extend([0, OUTPUT_FAILED]);
        codes.sort_unstable();
        codes.dedup();
        let page = std::fs::read_to_string("docs/commands.md").unwrap();
        let rows = page.lines().filter_map(|l| {
            let cell = l.strip_prefix("| ")?.split(' ').next()?;
            cell.parse::<u8>().ok()
        });
        assert_eq!(rows.collect::<Vec<_>>(), codes);
    }
}
