//! How a command fails.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug)]
pub enum Failure {
    /// Refused, not found or not listed: exit code 1. Empty where the output has said it.
    No(String),
    /// Wrong usage or configuration: exit code 2.
    Usage(String),
    /// A list was refused and the last one stays: exit code 3.
    List(String),
    /// An exit code of its own; empty where the output has said it.
    Code(u8, String),
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Failure {
        Failure::No(e.to_string())
    }
}

impl Failure {
    /// Says it on standard error, with `json` also as JSON on standard output, and gives the exit
    /// code.
    pub(super) fn tell(&self, json: bool) -> ExitCode {
        let (code, why) = match self {
            Failure::No(why) => (1, why),
            Failure::Usage(why) => (2, why),
            Failure::List(why) => (3, why),
            Failure::Code(code, why) => (*code, why),
        };
        // First, since standard output may be full.
        print_error(why);
        if json && !why.is_empty() {
            println!("{}", serde_json::json!({"error": why, "code": code}));
        }
        ExitCode::from(code)
    }
}

/// Prints an error on standard error. Only its first line has the name: no text in an error can
/// begin a message of its own.
pub(super) fn print_error(error: &str) {
    for (i, line) in error.lines().enumerate() {
        match i {
            0 => eprintln!("orbsd: {line}"),
            _ => eprintln!("  {line}"),
        }
    }
}
