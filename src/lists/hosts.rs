//! Hosts files: an address and its names. The names are listed; the address is only the target of
//! the redirection.

use std::net::IpAddr;

use super::{Input, entry, report::Omission, text::words};

/// Reads a line of a hosts file. Names of one label and the machine's own names are left out.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    let mut words = words(line.split('#').next().unwrap_or("")).peekable();
    let Some((column, address)) = words.next() else {
        return Ok(());
    };
    if entry::zoned_address(address).is_none() {
        let what = format!(
            "`{address}` is not an address; a line of a hosts file has an address and names"
        );
        input.problem_of("not a line of a hosts file", column, &what);
        return Ok(());
    }
    if words.peek().is_none() {
        let what = format!("`{address}` has no name after it; the file is read as a hosts file");
        input.problem_of("an address without a name", column, &what);
    }
    for (column, name) in words {
        let bare = name.trim_end_matches('.');
        if !bare.contains(['.', ':']) || is_local(bare) || bare.parse::<IpAddr>().is_ok() {
            input.leave_out(Omission::LocalName, column, name);
        } else {
            input.list_word(name, column)?;
        }
    }
    Ok(())
}

/// Whether hosts files have this name for the machine itself.
fn is_local(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".localhost", ".localdomain"]
        .iter()
        .any(|parent| name.ends_with(parent))
        || matches!(
            name.as_str(),
            "localhost.localdomain4" | "localhost6.localdomain6" | "localhost.localdomain6"
        )
}
