//! The help of the program: its commands under headings, and examples.

use std::fmt::Write as _;

use clap::{ArgMatches, Command, CommandFactory};

use super::{Cli, CliError};

/// A heading and the commands under it.
type Group = (&'static str, &'static [&'static str]);

/// All commands, under headings.
const GROUPS: [Group; 6] = [
    (
        "List management",
        &[
            "list", "delist", "exempt", "lookup", "hold", "proposal", "netblock", "provider",
            "purge", "undo",
        ],
    ),
    (
        "Data",
        &[
            "import",
            "export",
            "transfer",
            "compare",
            "feed",
            "source",
            "reason",
            "zone",
            "mirror",
            "retire",
            "logins",
            "generic-names",
        ],
    ),
    ("Public site", &["tickets", "notice", "privacy"]),
    (
        "Operation",
        &[
            "init", "serve", "check", "doctor", "reload", "status", "watch", "clock", "backup",
            "restore", "scrub",
        ],
    ),
    (
        "Users and keys",
        &["user", "token", "audit", "webhook", "key"],
    ),
    (RELAY_TESTING, &["relay"]),
];

/// The heading under which the commands of `orbsd relay` are listed.
const RELAY_TESTING: &str = "Relay testing";

/// Examples: a command line, and what it does.
const EXAMPLES: [(&str, &str); 9] = [
    ("orbsd init", "write a first configuration"),
    ("orbsd check", "report errors of the configuration"),
    ("orbsd list 192.0.2.1 --reason relay", "list an address"),
    ("orbsd lookup 192.0.2.1", "show why it is listed"),
    (
        "orbsd delist 192.0.2.1",
        "delist it, and hold it for 30 days",
    ),
    (
        "orbsd import --source xbl --reason relay xbl.txt",
        "replace the list of a source",
    ),
    (
        "orbsd export relays --format rbldnsd",
        "print a zone as a file",
    ),
    ("orbsd user add anna --role operator", "add a user"),
    ("orbsd status", "show zones, serials and problems"),
];

/// The command tree with the help of the program.
pub(super) fn command() -> Command {
    let root = Cli::command();
    let mut text = String::from("{about}\n\n{usage-heading} {usage}\n");
    for (heading, names) in GROUPS {
        let _ = writeln!(text, "\n{heading}:");
        for name in names {
            let Some(found) = root.find_subcommand(name) else {
                continue;
            };
            match heading {
                RELAY_TESTING => {
                    let inner = found.get_subcommands();
                    inner.for_each(|c| line(&mut text, &format!("{name} {}", c.get_name()), c));
                }
                _ => line(&mut text, name, found),
            }
        }
    }
    text += "\nExamples:\n";
    for (example, what) in EXAMPLES {
        let _ = writeln!(text, "  {example:<49} {what}");
    }
    text +=
        "\nOptions of all commands:\n{options}\n\n`orbsd COMMAND --help` describes a command.\n";
    root.help_template(text)
}

/// The usage error of the command that the arguments name.
pub(super) fn usage_error(arguments: &[String]) -> CliError {
    let lenient = command().ignore_errors(true);
    let matches = lenient.try_get_matches_from(arguments).ok();
    match matches.as_ref().and_then(ArgMatches::subcommand) {
        Some(("doctor", _)) => CliError::DoctorUsage(String::new()),
        Some(("relay", m)) if m.subcommand_name() == Some("probe") => {
            CliError::ProbeUsage(String::new())
        }
        _ => CliError::Usage(String::new()),
    }
}

/// The command tree without hidden commands, for man pages and completions of shells.
pub(super) fn visible_command() -> Command {
    let root = command();
    let visible = root.get_subcommands().filter(|c| !c.is_hide_set()).cloned();
    let subcommands: Vec<Command> = visible.collect();
    let about = root.get_about().cloned().unwrap_or_default();
    Command::new("orbsd")
        .about(about)
        .version(env!("CARGO_PKG_VERSION"))
        .arg_required_else_help(true)
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .args(root.get_arguments().cloned())
        .subcommands(subcommands)
}

/// The examples of the help: command lines, each with what it does.
pub(super) const fn examples() -> &'static [(&'static str, &'static str)] {
    &EXAMPLES
}

/// Adds the line of a command.
fn line(text: &mut String, name: &str, command: &Command) {
    let about = command.get_about().map(ToString::to_string);
    let _ = writeln!(text, "  {name:<16} {}", about.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    /// The file with the help of all commands.
    const SNAPSHOT: &str = "tests/help.txt";

    /// The output of `--help` of each command.
    fn all_help() -> String {
        let mut out = String::new();
        each(&command(), "orbsd", &mut |path, _| {
            let arguments = path.split(' ').chain(["--help"]);
            let help = command().try_get_matches_from(arguments).unwrap_err();
            let help = help.to_string();
            let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
            let _ = writeln!(out, "$ {path} --help\n{}\n", lines.join("\n"));
        });
        out
    }

    /// Calls `check` with each command and its path.
    fn each(command: &Command, path: &str, check: &mut dyn FnMut(&str, &Command)) {
        check(path, command);
        let inner = command.get_subcommands();
        for inner in inner.filter(|c| c.get_name() != "help" && !c.is_hide_set()) {
            each(inner, &format!("{path} {}", inner.get_name()), check);
        }
    }

    #[test]
    fn every_command_is_under_one_heading() {
        let root = command();
        let names: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        let unique: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(unique.len(), names.len());
        let commands: BTreeSet<&str> = root
            .get_subcommands()
            .filter(|c| !c.is_hide_set())
            .map(Command::get_name)
            .collect();
        assert_eq!(unique, commands);
    }

    #[test]
    fn examples_are_accepted() {
        for (example, _) in EXAMPLES {
            let result = command().try_get_matches_from(example.split(' '));
            assert!(result.is_ok(), "{example}: {result:?}");
        }
    }

    #[test]
    fn help_is_that_of_the_snapshot() {
        let found = all_help();
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            fs::write(SNAPSHOT, &found).unwrap();
        }
        let expected = fs::read_to_string(SNAPSHOT).unwrap_or_default();
        let first = found.lines().zip(expected.lines()).find(|(f, e)| f != e);
        assert!(
            found == expected,
            "the help differs from {SNAPSHOT} ({first:?}); `make snapshots` renews the file"
        );
    }

    #[test]
    fn help_texts_are_one_imperative_line() {
        let mut wrong = Vec::new();
        each(&command(), "orbsd", &mut |path, c| {
            let about = c.get_about().map(ToString::to_string).unwrap_or_default();
            let is_text = |t: &str| !t.is_empty() && !t.contains('\n') && !t.ends_with('.');
            let verb = about.split(' ').next().unwrap_or_default();
            if path != "orbsd" && (!is_text(&about) || about.len() > 75 || verb.ends_with('s')) {
                wrong.push(format!("{path}: {about:?}"));
            }
            for a in c.get_arguments().filter(|a| !a.is_hide_set()) {
                let help = a.get_help().map(ToString::to_string).unwrap_or_default();
                if !is_text(&help) {
                    wrong.push(format!("{path} {}: {help:?}", a.get_id()));
                }
            }
        });
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
