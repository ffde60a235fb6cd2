//! Runs a script with a mail host: orbsd, a resolver and real mail servers in namespaces of their own.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::peers::peers;

/// A mail host that a script has run, with what it printed.
pub struct MailHost {
    dir: TempDir,
    /// The results that the script printed.
    pub printed: String,
    errors: String,
}

impl MailHost {
    /// Runs a script of `tests/` in an empty folder `dir` until it ends. `recipes` is the folder of
    /// the settings that its servers use, and `more` has more variables of its environment.
    pub fn run(dir: TempDir, script: &str, recipes: &Path, more: &[(&str, String)]) -> MailHost {
        // Servers need users besides root: root has them, other users need a range of subordinate
        // IDs.
        let own = fs::metadata("/proc/self").unwrap();
        let is_root = std::os::unix::fs::MetadataExt::uid(&own) == 0;
        let ways: &[&str] = match is_root {
            true => &["-mn"],
            false => &["-rmn", "--map-auto"],
        };
        let out = Command::new("unshare")
            .args(ways)
            .arg("sh")
            .arg(std::env::current_dir().unwrap().join("tests").join(script))
            .env("ORBSD", env!("CARGO_BIN_EXE_orbsd"))
            .env("PEERS", peers())
            .env("RECIPES", recipes)
            .envs(more.iter().map(|(name, value)| (name, value)))
            .current_dir(dir.path())
            .output()
            .unwrap();
        MailHost {
            dir,
            printed: String::from_utf8_lossy(&out.stdout).into_owned(),
            errors: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }

    /// What the script and its servers printed and logged: the results, the errors, and some files.
    pub fn logs(&self, files: &[&str]) -> String {
        let read = |f: &&str| fs::read_to_string(self.dir.path().join(f)).unwrap_or_default();
        let logs: Vec<String> = files.iter().map(read).collect();
        format!("{}\n{}\n{}", self.printed, self.errors, logs.join("\n"))
    }
}
