//! PeerGuardian lists: `name:first-last`.

use super::Input;

/// Reads a list: the range is after the last colon of each line; the name before it may contain
/// colons. Octets of three digits are read as in eMule's files.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match line.rsplit_once(':') {
            Some((name, range)) if range.contains('-') => {
                input.take_word(
                    &super::emule::unpadded_range(range),
                    false,
                    None,
                    None,
                    name.len() + 2,
                )?;
            }
            _ => input.problem_of(
                "not a line of a PeerGuardian list",
                1,
                &format!("`{}`: a line is written NAME:FIRST-LAST", line.trim()),
            ),
        }
    }
    Ok(())
}
