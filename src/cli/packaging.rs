//! `orbsd packaging`: what the build and the scripts of packages need. The command is hidden,
//! because only they use it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, Command, Subcommand};
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use serde::Serialize;

use super::{CliError, Common, help};
use crate::{
    config,
    store::{Store, schema},
};

/// Write man pages and completions, or show the store's version, for packages
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct Packaging {
    #[command(subcommand)]
    command: PackagingCommand,
}

#[derive(Debug, Subcommand)]
enum PackagingCommand {
    HelpFiles(HelpFiles),
    StoreVersion(StoreVersion),
}

/// Write a man page of each command, and completions for bash, zsh and fish
#[derive(Debug, Args)]
struct HelpFiles {
    /// Folder; the files get their usual names in its folders man1, bash, zsh and fish
    folder: PathBuf,
}

/// Show the version of the configured store, or `none`
#[derive(Debug, Args)]
struct StoreVersion {
    /// Show the version that this program writes instead
    #[arg(long)]
    supported: bool,
}

/// The output of `orbsd packaging store-version --json`.
#[derive(Serialize)]
struct StoreVersionOutput {
    /// Null if there is no store.
    version: Option<u32>,
}

pub(super) fn run(common: &Common, c: &Packaging) -> Result<(), CliError> {
    match &c.command {
        PackagingCommand::HelpFiles(c) => write_help_files(&c.folder).map_err(CliError::from),
        PackagingCommand::StoreVersion(c) => show_store_version(common, c),
    }
}

/// The configuration may have errors elsewhere, and the store may be open or from a newer program.
fn show_store_version(common: &Common, c: &StoreVersion) -> Result<(), CliError> {
    let version = match c.supported {
        true => Some(schema::VERSION),
        false => {
            let folder = config::store_path(&common.config).map_err(CliError::Usage)?;
            let version = Store::version_in(&folder);
            version.map_err(|e| CliError::Refused(e.to_string()))?
        }
    };
    common.print(&StoreVersionOutput { version }, |output| {
        match output.version {
            Some(version) => println!("{version}"),
            None => println!("none"),
        }
    })
}

fn write_help_files(folder: &Path) -> std::io::Result<()> {
    let man = folder.join("man1");
    fs::create_dir_all(&man)?;
    let mut root = help::visible_command();
    root.build();
    write_man_pages(&root, &root, &man)?;
    for (shell, name) in [
        (Shell::Bash, "bash"),
        (Shell::Zsh, "zsh"),
        (Shell::Fish, "fish"),
    ] {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        clap_complete::generate_to(shell, &mut help::visible_command(), "orbsd", &folder)?;
    }
    Ok(())
}

/// Writes the man pages of a command and of those below it: `orbsd-relay-probe.1`.
fn write_man_pages(command: &Command, root: &Command, folder: &Path) -> std::io::Result<()> {
    for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        write_man_pages(inner, root, folder)?;
    }
    let version = env!("CARGO_PKG_VERSION");
    let page = Man::new(command.clone())
        .source(format!("orbsd {version}"))
        .manual("orbsd");
    let mut file = fs::File::create(folder.join(page.get_filename()))?;
    page.render(&mut file)?;
    let mut more = Roff::new();
    if command.get_name() == root.get_name() {
        more.control("SH", ["EXAMPLES"]);
        for (line, text) in help::examples() {
            more.control("TP", []);
            more.text([bold(*line)]);
            more.text([roman(*text)]);
        }
        more.control("SH", ["FILES"]);
        for (path, text) in FILES {
            more.control("TP", []);
            more.text([bold(path)]);
            more.text([roman(text)]);
        }
    } else {
        more.control("SH", ["SEE ALSO"]);
        more.text([bold("orbsd"), roman("(1)")]);
    }
    more.to_writer(&mut file)?;
    file.flush()
}

/// The files of a package, for the man page of the program.
const FILES: [(&str, &str); 3] = [
    ("/etc/orbsd/config.toml", "the configuration"),
    ("/var/lib/orbsd", "the store, and backups before upgrades"),
    (
        "/usr/share/doc/orbsd/examples",
        "the configuration with every key, and zones",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `check` with each visible command and the name of its man page.
    fn each(command: &Command, name: &str, check: &mut dyn FnMut(&str, &Command)) {
        check(name, command);
        for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            each(inner, &format!("{name}-{}", inner.get_name()), check);
        }
    }

    /// A man page without the escapes of roff.
    fn plain(text: &str) -> String {
        let text = text
            .replace("\\-", "-")
            .replace("\\*(Aq", "'")
            .replace("\\fB", "");
        text.replace("\\fI", "").replace("\\fR", "")
    }

    #[test]
    fn man_pages_have_every_command_and_every_option() {
        let folder = tempfile::tempdir().unwrap();
        write_help_files(folder.path()).unwrap();
        let mut wrong = Vec::new();
        let mut pages = 0;
        let mut root = help::command();
        root.build();
        each(&root, "orbsd", &mut |name, command| {
            pages += 1;
            let page = fs::read_to_string(folder.path().join(format!("man1/{name}.1")));
            let page = plain(&page.unwrap_or_default());
            for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
                if !page.contains(&format!("{name}-{}(1)", inner.get_name())) {
                    wrong.push(format!("{name}: {}", inner.get_name()));
                }
            }
            for argument in command.get_arguments().filter(|a| !a.is_hide_set()) {
                let id = argument.get_id().as_str();
                let shown = argument.get_long().map(|l| format!("--{l}"));
                let help = argument.get_help().map(ToString::to_string);
                // roff ends a sentence at a line's end, so line breaks are not compared.
                let words = help.unwrap_or_default().replace('\\', "");
                let first: Vec<&str> = words.split(' ').take(3).collect();
                if shown.is_some_and(|s| !page.contains(&s)) || !page.contains(&first.join(" ")) {
                    wrong.push(format!("{name}: {id}"));
                }
            }
        });
        assert!(wrong.is_empty(), "not in their man pages: {wrong:#?}");
        let written = fs::read_dir(folder.path().join("man1")).unwrap().count();
        assert_eq!(written, pages);
    }

    #[test]
    fn completions_have_every_visible_command_and_no_hidden_one() {
        let folder = tempfile::tempdir().unwrap();
        write_help_files(folder.path()).unwrap();
        for file in ["bash/orbsd.bash", "zsh/_orbsd", "fish/orbsd.fish"] {
            let text = fs::read_to_string(folder.path().join(file)).unwrap();
            for command in help::command().get_subcommands() {
                let found = text.contains(command.get_name());
                assert_eq!(
                    found,
                    !command.is_hide_set(),
                    "{file}: {}",
                    command.get_name()
                );
            }
        }
    }

    #[test]
    fn help_files_are_the_same_each_time() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for folder in &folders {
            write_help_files(folder.path()).unwrap();
        }
        let page = |n: usize| fs::read(folders[n].path().join("man1/orbsd.1")).unwrap();
        assert_eq!(page(0), page(1));
    }
}
