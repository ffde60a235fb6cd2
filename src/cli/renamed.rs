//! The commands and options of earlier versions, with the names that they have today.

/// Renamed commands: the old and the new words. A word in capitals stands for any argument.
const COMMANDS: [(&str, &str); 11] = [
    ("holds", "hold list"),
    ("person", "user"),
    ("key NAME", "key create NAME"),
    ("status mirrors", "mirror list"),
    ("nominate", "relay nominate"),
    ("jobs", "relay jobs"),
    ("claim", "relay claim"),
    ("optout", "relay opt-out"),
    ("evidence", "relay evidence"),
    ("tests", "relay catalogue"),
    ("probe", "relay probe"),
];

/// Renamed options: the command, the old and the new name.
const OPTIONS: [(&str, &str, &str); 21] = [
    ("list", "--special", "--allow-special-ranges"),
    ("list", "--unpublished", "--allow-unpublished"),
    ("list", "--host-bits", "--clear-host-bits"),
    ("delist", "--host-bits", "--clear-host-bits"),
    ("exempt", "--host-bits", "--clear-host-bits"),
    ("import", "--special", "--allow-special-ranges"),
    ("import", "--unpublished", "--allow-unpublished"),
    ("import", "--host-bits", "--clear-host-bits"),
    ("import", "--codes", "--code-zone"),
    ("transfer", "--special", "--allow-special-ranges"),
    ("transfer", "--codes", "--code-zone"),
    ("watch", "--since", "--after"),
    ("audit", "--who", "--author"),
    ("audit", "--what", "--action"),
    ("audit", "--about", "--target"),
    ("token create", "--for", "--owner"),
    ("restore", "--removals", "--removal-log"),
    ("restore", "--without-removals", "--without-removal-log"),
    ("retire", "--empty", "--empty-at"),
    ("retire", "--soon", "--short-notice"),
    ("relay probe", "--collect", "--collector"),
];

/// The error about an old command: `word` is the argument that was not understood, `arguments` all
/// of them.
pub(super) fn command(arguments: &[String], word: &str) -> Option<String> {
    let at = arguments.iter().position(|a| a == word)?;
    let before = at.checked_sub(1).and_then(|i| arguments.get(i));
    COMMANDS.iter().find_map(|(old, new)| {
        let found = match old.split_once(' ') {
            None => *old == word,
            Some((first, second)) => {
                let any = second.bytes().all(|b| b.is_ascii_uppercase());
                before.is_some_and(|b| b == first) && (any || second == word)
            }
        };
        found.then(|| format!("the command `orbsd {old}` is now called `orbsd {new}`"))
    })
}

/// The error about an old option.
pub(super) fn option(arguments: &[String], option: &str) -> Option<String> {
    OPTIONS.iter().find_map(|(command, old, new)| {
        let words: Vec<&str> = command.split(' ').collect();
        let used = arguments.windows(words.len()).any(|w| w == words);
        (used && *old == option).then(|| format!("the option `{old}` is now called `{new}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::help;

    #[test]
    fn changelog_has_every_renamed_command_and_option() {
        let commands =
            COMMANDS.map(|(old, new)| (format!("`orbsd {old}`"), format!("`orbsd {new}`")));
        let options = OPTIONS.map(|(command, old, new)| {
            (
                format!("`orbsd {command} {old}`"),
                format!("`orbsd {command} {new}`"),
            )
        });
        let changelog = std::fs::read_to_string("CHANGELOG.md").unwrap();
        let mut rows = changelog.lines().filter(|l| l.starts_with("| command |"));
        for (old, new) in commands.iter().chain(&options) {
            let row = format!("| command | {old} | {new} |");
            assert_eq!(rows.next(), Some(&*row), "the row of CHANGELOG.md");
        }
        assert_eq!(rows.next(), None);
    }

    #[test]
    fn new_names_exist_and_old_ones_do_not() {
        let root = help::command();
        let find = |words: &str| {
            words
                .split(' ')
                .take_while(|w| !w.bytes().all(|b| b.is_ascii_uppercase()))
                .try_fold(&root, |c, w| c.find_subcommand(w))
        };
        for (old, new) in COMMANDS {
            assert!(find(new).is_some(), "{new}");
            assert!(old.contains("NAME") || find(old).is_none(), "{old}");
        }
        for (command, old, new) in OPTIONS {
            let found = find(command).unwrap();
            let has = |name: &str| {
                found
                    .get_arguments()
                    .any(|a| a.get_long() == Some(&name[2..]))
            };
            assert!(has(new) && !has(old), "{command} {old} {new}");
        }
    }

    #[test]
    fn old_command_or_option_is_refused_with_its_new_name() {
        for (line, error) in [
            (
                "orbsd holds add 192.0.2.1",
                "`orbsd holds` is now called `orbsd hold list`",
            ),
            (
                "orbsd --json key mirror",
                "`orbsd key NAME` is now called `orbsd key create NAME`",
            ),
            (
                "orbsd status mirrors",
                "`orbsd status mirrors` is now called `orbsd mirror list`",
            ),
            ("orbsd audit --who anna", "`--who` is now called `--author`"),
            (
                "orbsd token create --for=anna",
                "`--for` is now called `--owner`",
            ),
        ] {
            let arguments: Vec<String> = line.split(' ').map(String::from).collect();
            let e = help::command()
                .try_get_matches_from(&arguments)
                .unwrap_err();
            let text = crate::cli::renamed_error(&arguments, &e).unwrap();
            assert!(text.contains(error), "{line}: {text}");
        }
        let arguments: Vec<String> = ["orbsd", "frob"].map(String::from).into();
        let e = help::command()
            .try_get_matches_from(&arguments)
            .unwrap_err();
        assert_eq!(crate::cli::renamed_error(&arguments, &e), None);
    }
}
