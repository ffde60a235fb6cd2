//! PeerGuardian lists: `name:first-last`.

use super::{Input, emule::unpadded_range};

/// Reads a line: the range is after the last colon; the name before it may contain colons. Octets
/// of three digits are read as in eMule's files.
pub(super) fn read_line(input: &mut Input, line: &str) -> Result<(), String> {
    match line.rsplit_once(':') {
        Some((name, range)) if range.contains('-') => {
            input.list_word(&unpadded_range(range), name.len() + 2)
        }
        _ => {
            let what = format!("`{}`: a line is written NAME:FIRST-LAST", line.trim());
            input.problem_of("not a line of a PeerGuardian list", 1, &what);
            Ok(())
        }
    }
}
