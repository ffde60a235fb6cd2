//! One subject a line: IPsum, FireHOL netsets, Spamhaus DROP, plain lists. What follows the first word is not read.

use super::Input;

/// Reads a plain list. `#` and `;` start comments; further columns are left alone.
pub(super) fn read(input: &mut Input) -> Result<(), String> {
    while let Some(line) = input.next()? {
        let text = line.split(['#', ';']).next().unwrap_or("");
        let Some(word) = text.split([' ', '\t', ',', '|']).find(|w| !w.is_empty()) else { continue };
        let column = line.find(word).unwrap_or(0) + 1;
        input.take_word(word, false, None, None, column)?;
    }
    Ok(())
}
