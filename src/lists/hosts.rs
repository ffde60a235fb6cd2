//! Hosts files: an address and its names. The names are listed; the address is only the target of
//! the redirection.

use super::{Input, report::Omission};

/// Reads a hosts file. Names of one label and the machine's own names are left out.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.split('#').next().unwrap_or("");
        let mut words = Words::new(text);
        let Some((column, address)) = words.next() else {
            continue;
        };
        if address
            .split('%')
            .next()
            .is_none_or(|a| a.parse::<std::net::IpAddr>().is_err())
        {
            let what = format!(
                "`{address}` is not an address; a line of a hosts file has an address and names"
            );
            input.problem_of("not a line of a hosts file", column, &what);
            continue;
        }
        let mut any = false;
        for (column, name) in words {
            any = true;
            let bare = name.trim_end_matches('.');
            if !bare.contains(['.', ':'])
                || is_local(bare)
                || bare.parse::<std::net::IpAddr>().is_ok()
            {
                input.leave_out(Omission::LocalName, column, name);
            } else {
                input.take_word(name, false, None, None, column)?;
            }
        }
        if !any {
            input.problem_of(
                "an address without a name",
                column,
                &format!("`{address}` has no name after it; the file is read as a hosts file"),
            );
        }
    }
    Ok(())
}

/// Whether hosts files have this name for the machine itself.
fn is_local(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "localhost.localdomain",
        "localhost.localdomain4",
        "localhost6.localdomain6",
        "localhost.localdomain6",
    ]
    .contains(&name.as_str())
        || name.ends_with(".localhost")
        || name.ends_with(".localdomain")
}

/// The words of a line with the columns where they start, from 1.
pub(super) struct Words<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Words<'t> {
    pub(super) fn new(text: &'t str) -> Words<'t> {
        Words { text, at: 0 }
    }
}

impl<'t> Iterator for Words<'t> {
    type Item = (usize, &'t str);
    fn next(&mut self) -> Option<(usize, &'t str)> {
        let rest = &self.text[self.at..];
        let start = self.at + rest.len() - rest.trim_start().len();
        let rest = &self.text[start..];
        let word = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
        self.at = start + word.len();
        (!word.is_empty()).then_some((start + 1, word))
    }
}
